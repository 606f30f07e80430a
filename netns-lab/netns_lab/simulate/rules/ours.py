"""Our rule: the node's own ``Scout`` and ``decide()``, fed with what a node knows.

Around them, in short form, what the engine does: it learns where peers are, probes and asks some of them,
offers tunnels, and closes the old tunnel of a swap only when the new one works and the table says that nobody
is cut off.
"""

import random
from array import array
from typing import ClassVar

from netns_lab.simulate.metric import OURS, Metric
from netns_lab.simulate.paths import INFINITE
from netns_lab.simulate.rules.rule import Limits
from netns_lab.simulate.senses import Senses
from netns_lab.simulate.traffic import (
    OUR_BOOTSTRAP,
    OUR_CLOSE,
    OUR_DISTANCES,
    OUR_PROBE,
    OUR_QUESTION,
    OUR_REFUSAL,
    OUR_TUNNEL,
)
from re6st_core.netparams import NetworkParameters
from re6stnet.engine.engine import BOOTSTRAP_REFRESH_S, MAX_QUESTIONS, SELECT_EVERY_S
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.peers import MAX_PEERS
from re6stnet.engine.scouting import ACCEPTED, ANSWERED, Scout, draw_sample
from re6stnet.engine.selection import Offered, Survey, TunnelView, View, decide, expected, least_missed

BOOTSTRAP_PEERS = 8
"""Peers in an answer of the registry."""
TRIES = 2
"""Requests of a probe; the shortest RTT counts."""
NAMED_PEERS = 24
"""Peers in such an answer."""
_PARAMETERS = NetworkParameters(version=1)


class _Node:
    """What one node remembers."""

    def __init__(self) -> None:
        self.known: dict[int, None] = {}
        """Peers whose endpoints it has heard."""
        self.scout: Scout[int] = Scout()
        self.drawn: set[int] = set()
        """Peers of tunnels that were opened by chance."""
        self.answered = 0
        """Questions for its distances in this round."""
        self.accepted = 0
        """Tunnels of others in this round."""


class OurRule:
    """All nodes are reachable, so each may open all its tunnels; traffic goes to all alike."""

    metric: ClassVar[Metric] = OURS
    hello_s: ClassVar[float] = _PARAMETERS.hello_s
    round_s: ClassVar[float] = 30.0

    def __init__(self, senses: Senses, limits: Limits, rng: random.Random) -> None:
        self._senses = senses
        self._limits = limits
        self._rng = rng
        self._round = 0
        self._all = range(senses.nodes)
        self._nodes = [_Node() for _ in self._all]

    @staticmethod
    def may_hold(tunnels: int) -> bool:
        """The engine's own limit, for both kinds together."""
        return tunnels < MAX_TUNNELS

    def start(self) -> None:
        """Each node asks the registry, then opens tunnels and asks on until it has as many as it wants."""
        order = self._rng.sample(self._all, len(self._all))
        for node in order:
            self._ask_registry(node)
        self._fill(order, settling=True)

    def refresh(self) -> None:
        """One round of every node, and as many selections as missing tunnels need in that time."""
        self._round += 1
        order = self._rng.sample(self._all, len(self._all))
        often = self._round % round(BOOTSTRAP_REFRESH_S / self.round_s) == 0
        for node in order:
            self._nodes[node].answered = self._nodes[node].accepted = 0
        for node in order:
            if often or len(self._senses.tunnels(node)) < 2:
                self._ask_registry(node)
            self._select(node, self._survey(node), refused=set())
        self._fill(order)

    def _fill(self, order: list[int], *, settling: bool = False) -> None:
        """What the selections between two rounds do: nothing but for nodes that lack tunnels.

        ``settling``: Babel hears of new nodes meanwhile.
        """
        refused: dict[int, set[int]] = {}
        for _ in range(int(self.round_s / SELECT_EVERY_S) * (10 if settling else 1)):
            order = [node for node in order if self._lacks(node)]
            if not order:
                break
            if settling:
                self._senses.settle()
            progress = False
            for node in order:
                learned = self._ask_endpoints(node)
                progress |= self._select(node, None, refused=refused.setdefault(node, set())) or bool(learned)
            if not progress:  # everybody is full, or refused
                break

    def _lacks(self, node: int) -> bool:
        return sum(self._senses.tunnels(node).values()) < self._limits.open

    def _select(self, node: int, survey: Survey[int] | None, *, refused: set[int]) -> bool:
        """One selection of the engine; whether it did anything.

        Peers that refused are not tried again in the same round.
        """
        decision = decide(self._view(node, refused, survey), rng=self._rng)
        for peer in decision.open:
            if self._open(node, peer):
                self._nodes[node].drawn.add(peer)
                self._nodes[node].scout.drew()
            else:
                refused.add(peer)
        for swap in decision.swaps:
            old = int(swap.tunnel)
            # A newcomer that does not work leaves the old tunnel in place.
            if self._open(node, swap.peer) and self._senses.is_expendable(node, old):
                self._senses.close(node, old, OUR_CLOSE)
                self._nodes[node].drawn.discard(old)
                self._nodes[node].scout.swapped(old, now=self._now)
        return bool(decision.open)

    def _view(self, node: int, refused: set[int], survey: Survey[int] | None) -> View[int]:
        tunnels, known = self._senses.tunnels(node), self._nodes[node].known
        return View(
            tunnels=tuple(self._tunnel_view(node, peer, own) for peer, own in tunnels.items()),
            candidates=tuple(peer for peer in known if peer not in tunnels and peer not in refused),
            client_count=self._limits.open,
            survey=survey,
            may_swap=self._nodes[node].scout.may_swap(self._now),
        )

    @property
    def _now(self) -> float:
        return self._round * self.round_s

    def _open(self, node: int, peer: int) -> bool:
        opened = self._senses.open(node, peer, opened=OUR_TUNNEL, refused=OUR_REFUSAL)
        if opened:
            self._learn(peer, node)
            self._nodes[peer].accepted += 1
        return opened

    def _tunnel_view(self, node: int, peer: int, own: bool) -> TunnelView[int]:
        return TunnelView(
            tunnel=str(peer),
            peer=peer,
            initiator=own,
            active=True,
            drawn=peer in self._nodes[node].drawn,
            wanted=False,
            carried=self._senses.carried(node, peer),
            expendable=self._senses.is_expendable(node, peer),
        )

    # --- what a round finds out -------------------------------------------------------------------------

    def _survey(self, node: int) -> Survey[int]:
        """Probe some, ask some of those, as the engine's rounds do."""
        tunnels, scout = self._senses.tunnels(node), self._nodes[node].scout
        candidates = [peer for peer in self._nodes[node].known if peer not in tunnels]
        for peer in scout.whom_to_probe(candidates, now=self._now, rng=self._rng):
            rtt_us = min(self._senses.probe(node, peer, OUR_PROBE) for _ in range(TRIES))
            scout.probed(peer, self.metric.cost(rtt_us), now=self._now)
        ours = self._senses.metrics(node, array("i", candidates))
        metrics = dict(zip(candidates, ours, strict=True))
        asked = scout.whom_to_ask(metrics, now=self._now, rng=self._rng)
        sample = draw_sample(self._all, [*tunnels, *asked], {}, rng=self._rng)
        destinations = array("i", sample.destinations)
        via = {str(peer): row for peer, row in self._senses.metrics_via(node, destinations).items()}
        costs = {peer: cost for peer in asked if (cost := scout.cost(peer)) is not None}
        found = (self._ask(node, p, c, destinations, route=metrics[p]) for p, c in costs.items())
        offers = tuple(offer for offer in found if offer is not None)
        held = {}
        for t in least_missed(self._view(node, set(), None), sample.weight, via):
            cost = self.metric.cost(self._senses.rtt_us(node, t.peer) or 0)
            if (offer := self._ask(node, t.peer, cost, destinations)) is not None:
                held[t.tunnel] = offer
        survey = Survey(sample.weight, via, offers, held)
        scout.note(expected(survey))
        with_room = {offer.peer for offer in offers if offer.room}
        for peer in asked:
            if peer not in with_room:
                scout.in_vain(peer, now=self._now)
        return survey

    def _ask(
        self, node: int, peer: int, cost: int, destinations: "array[int]", *, route: int = INFINITE
    ) -> Offered[int] | None:
        """A peer's distances; it names some peers, too.  None: it has answered enough in this round."""
        if not self._senses.is_routed(node, peer):
            return None
        self._nodes[peer].answered += 1
        if self._nodes[peer].answered > ANSWERED:
            self._senses.ask_in_vain(node, OUR_DISTANCES)
            return None
        metrics = self._senses.ask_metrics(node, peer, destinations, OUR_DISTANCES)
        known = list(self._nodes[peer].known)
        for other in self._rng.sample(known, min(NAMED_PEERS, len(known))):
            if other != node:
                self._learn(node, other)
        return Offered(
            peer, cost, metrics, self._senses.has_room(peer) and self._nodes[peer].accepted < ACCEPTED, route
        )

    def _ask_registry(self, node: int) -> None:
        for peer in self._senses.ask_registry(node, BOOTSTRAP_PEERS, OUR_BOOTSTRAP):
            self._learn(node, peer)

    def _ask_endpoints(self, node: int) -> int:
        before = len(self._nodes[node].known)
        for peer in self._senses.some_routed(node, MAX_QUESTIONS):
            if peer not in self._nodes[node].known and peer not in self._senses.tunnels(node):
                self._senses.ask(node, peer, OUR_QUESTION)
                self._learn(node, peer)
        return len(self._nodes[node].known) - before

    def _learn(self, node: int, peer: int) -> None:
        known = self._nodes[node].known
        if peer not in known and len(known) >= MAX_PEERS:
            del known[next(iter(known))]
        known[peer] = None
