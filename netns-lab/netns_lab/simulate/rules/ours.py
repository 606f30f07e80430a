"""Our rule: the node's own ``decide()``, fed with what a node knows.

Around it, in short form, what the engine does with a decision: it asks peers where they are, offers tunnels,
and closes the old tunnel of a swap only when the new one works and the table says that nobody is cut off.
"""

import random
from typing import ClassVar

from netns_lab.simulate.metric import OURS, Metric
from netns_lab.simulate.rules.rule import Limits
from netns_lab.simulate.senses import Senses
from netns_lab.simulate.traffic import OUR_BOOTSTRAP, OUR_CLOSE, OUR_QUESTION, OUR_REFUSAL, OUR_TUNNEL
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import BOOTSTRAP_REFRESH_S, MAX_QUESTIONS, SELECT_EVERY_S
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.peers import MAX_PEERS
from re6stnet.engine.selection import TunnelView, View, decide

BOOTSTRAP_PEERS = 8
"""Peers in an answer of the registry."""
_PARAMETERS = NetworkParameters(version=1)


class OurRule:
    """All nodes are reachable, so each may open all its tunnels."""

    metric: ClassVar[Metric] = OURS
    hello_s: ClassVar[float] = _PARAMETERS.hello_s
    round_s: ClassVar[float] = _PARAMETERS.tunnel_refresh_s

    def __init__(self, senses: Senses, limits: Limits, rng: random.Random) -> None:
        self._senses = senses
        self._limits = limits
        self._rng = rng
        self._round = 0
        length = max(16, (senses.nodes - 1).bit_length())
        self._prefixes = [Prefix(length, node) for node in range(senses.nodes)]
        self._known: list[dict[int, None]] = [{} for _ in range(senses.nodes)]
        """Peers whose endpoints each node has heard."""

    @staticmethod
    def may_hold(tunnels: int) -> bool:
        """The engine's own limit, for both kinds together."""
        return tunnels < MAX_TUNNELS

    def start(self) -> None:
        """Each node asks the registry, then opens tunnels and asks on until it has as many as it wants."""
        order = self._rng.sample(range(self._senses.nodes), self._senses.nodes)
        for node in order:
            self._ask_registry(node)
        self._fill(order, settling=True)

    def refresh(self) -> None:
        """One refresh of every node, and as many selections as missing tunnels need in that time."""
        self._round += 1
        order = self._rng.sample(range(self._senses.nodes), self._senses.nodes)
        often = self._round % round(BOOTSTRAP_REFRESH_S / self.round_s) == 0
        for node in order:
            if often or len(self._senses.tunnels(node)) < 2:
                self._ask_registry(node)
            self._select(node, refresh_due=True, refused=set())
        self._fill(order)

    def _fill(self, order: list[int], *, settling: bool = False) -> None:
        """What the selections between two refreshes do: nothing but for nodes that lack tunnels.

        ``settling``: Babel hears of new nodes meanwhile.
        """
        refused: dict[int, set[int]] = {}
        for _ in range(int(self.round_s / SELECT_EVERY_S)):
            order = [node for node in order if self._lacks(node)]
            if not order:
                break
            if settling:
                self._senses.settle()
            progress = False
            for node in order:
                progress |= self._select(node, refresh_due=False, refused=refused.setdefault(node, set()))
            if not progress:  # everybody is full, or refused
                break

    def _lacks(self, node: int) -> bool:
        return sum(self._senses.tunnels(node).values()) < self._limits.open

    def _select(self, node: int, *, refresh_due: bool, refused: set[int]) -> bool:
        """One selection of the engine; whether it did or learned anything.

        Peers that refused are not tried again in the same round.
        """
        tunnels = self._senses.tunnels(node)
        view = View(
            tunnels=tuple(self._tunnel_view(node, peer, own) for peer, own in tunnels.items()),
            candidates=tuple(
                self._prefixes[peer]
                for peer in self._known[node]
                if peer not in tunnels and peer not in refused
            ),
            client_count=self._limits.open,
            refresh_due=refresh_due,
            swapping=False,
        )
        decision = decide(view, rng=self._rng)
        learned = self._ask_endpoints(node) if refresh_due or self._lacks(node) else 0
        opened = 0
        for prefix in decision.open:
            if self._senses.open(node, prefix.value, opened=OUR_TUNNEL, refused=OUR_REFUSAL):
                opened += 1
                self._learn(prefix.value, node)
            else:
                refused.add(prefix.value)
        if opened or not decision.open:  # a newcomer that does not work leaves the old tunnel in place
            for name, _reason in decision.close:
                if self._senses.is_expendable(node, int(name)):
                    self._senses.close(node, int(name), OUR_CLOSE)
        return bool(learned or decision.open)

    def _tunnel_view(self, node: int, peer: int, own: bool) -> TunnelView:
        return TunnelView(
            tunnel=str(peer),
            peer=self._prefixes[peer],
            initiator=own,
            active=True,
            rtt_us=self._senses.rtt_us(node, peer),
            carried=self._senses.carried(node, peer),
            expendable=self._senses.is_expendable(node, peer),
        )

    def _ask_registry(self, node: int) -> None:
        for peer in self._senses.ask_registry(node, BOOTSTRAP_PEERS, OUR_BOOTSTRAP):
            self._learn(node, peer)

    def _ask_endpoints(self, node: int) -> int:
        before = len(self._known[node])
        for peer in self._senses.some_routed(node, MAX_QUESTIONS):
            if peer not in self._known[node] and peer not in self._senses.tunnels(node):
                self._senses.ask(node, peer, OUR_QUESTION)
                self._learn(node, peer)
        return len(self._known[node]) - before

    def _learn(self, node: int, peer: int) -> None:
        known = self._known[node]
        if peer not in known and len(known) >= MAX_PEERS:
            del known[next(iter(known))]
        known[peer] = None
