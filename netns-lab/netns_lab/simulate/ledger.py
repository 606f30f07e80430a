"""Every byte that nodes would send, by node and by what for."""

from array import array
from collections import Counter
from dataclasses import dataclass

from netns_lab.simulate.traffic import Exchange


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes in one round: mean and maximum over the nodes, and the mean by what for."""

    mean: float
    most: int
    by_kind: dict[str, float]


class Ledger:
    """The bytes since the last :meth:`close`."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._open()

    def _open(self) -> None:
        self._sent = array("q", bytes(8 * self._nodes))
        self._kinds: Counter[str] = Counter()

    def add(self, exchange: Exchange, one: int, other: int | None = None) -> None:
        """Note one exchange: ``one`` began, ``other`` answered (None: the registry, not a node of ours)."""
        self._sent[one] += exchange.asked
        self._kinds[exchange.kind] += exchange.asked
        if other is not None:
            self._sent[other] += exchange.answered
            self._kinds[exchange.kind] += exchange.answered

    def close(self) -> Sent:
        """What was sent in this round; the next begins."""
        kinds = {kind: count / self._nodes for kind, count in sorted(self._kinds.items())}
        sent = Sent(sum(self._sent) / self._nodes, max(self._sent), kinds)
        self._open()
        return sent
