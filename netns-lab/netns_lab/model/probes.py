"""A node's probes of its tunnels: when it learns that a peer's kernel answers, or no longer does.

Probes are not sent one by one: the moment of a verdict is drawn from what ``re6stnet/engine/probing.py``
takes.
"""

from functools import partial
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.babel import SAMPLE_S
from netns_lab.model.links import Link
from re6stnet.engine.messages import TunnelAnswers, TunnelSilent

if TYPE_CHECKING:
    from netns_lab.model.node import Node

SILENT_AFTER_S = 0.3, 0.55
"""Until a tunnel in use is called silent, besides two round trips."""
ANSWERS_AFTER_S = 0.05, 1.0
"""Until an answer of a tunnel that was silent, besides one round trip."""
PER_TUNNEL_S, BUDGET_S = 4.0, 60.0
"""Probes per second of a tunnel that carries routes, and of all."""
VERIFIED_AFTER_S = 0.2
"""Until a silence is verified when somebody else is heard."""


class Probes:
    """One node's; the shell's prober, as far as an engine can tell."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._works: dict[str, bool] = {}
        """What is, or is about to be, known of each tunnel."""
        self._unwitnessed: set[str] = set()

    def restart(self) -> None:
        """A new daemon: it knows nothing."""
        self._works.clear()
        self._unwitnessed.clear()
        for link in list(self._node.links.values()):
            self.look(link)

    def look(self, link: Link) -> None:
        """Whether packets pass may have changed."""
        works = link.works
        if works == self._works.get(link.name, False) or self._node.engine is None:
            return
        self._works[link.name] = works
        rtt_s = link.carrier.one_way_s(0) + link.carrier.one_way_s(1)
        after_s = ANSWERS_AFTER_S if works else SILENT_AFTER_S
        delay_s = self._node.mesh.rng.uniform(*after_s) + (1 if works else 2) * rtt_s
        self._node.later(delay_s, partial(self._judge, link, works))

    def forget(self, name: str) -> None:
        """The tunnel is gone."""
        self._works.pop(name, None)
        self._unwitnessed.discard(name)

    def sample(self) -> None:
        """Count what goes out all the time, for every ``SAMPLE_S``: probes, and answers to the peers'."""
        links = [link for link in self._node.links.values() if link.works and link.name in self._works]
        if self._node.engine is None or not links:
            return
        per_s = min(PER_TUNNEL_S, BUDGET_S / len(links))
        for link in links:
            size = wire.probe(openvpn=link.carrier.openvpn)
            self._node.mesh.ledger.add(self._node.name, "probes", 2 * per_s * SAMPLE_S * size)

    def _judge(self, link: Link, works: bool) -> None:
        node, name = self._node, link.name
        if node.links.get(name) is not link or not node.tunnels.holds(name) or self._works.get(name) != works:
            return
        if works:
            self._unwitnessed.discard(name)
            node.post(TunnelAnswers(name))
            for other in sorted(self._unwitnessed):
                node.later(VERIFIED_AFTER_S, partial(self._verify, other))
            return
        witnessed = any(k.works for n, k in node.links.items() if n != name and node.tunnels.holds(n))
        if not witnessed:
            self._unwitnessed.add(name)
        node.post(TunnelSilent(name, witnessed))

    def _verify(self, name: str) -> None:
        link = self._node.links.get(name)
        if link is not None and name in self._unwitnessed and not link.works:
            self._unwitnessed.discard(name)
            self._judge(link, works=False)
