"""Rounds of selection: probe some candidates, ask some of those how far destinations are, compare.  Pure.

    begin() --Probe--> probed() --AskDistances--> told() --> swaps, made one after the other

A round whose answers do not come is given up when the next one begins.
"""

import random
from array import array
from collections import deque
from collections.abc import Mapping

from re6st_core.address import Protocol
from re6st_core.distance_wire import NO_ROUTE, tag
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import AskDistances, Command, DistancesTold, PeerSeen, Probe, Probed
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import PeerBook
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.scouting import Sample, Scout, draw_sample
from re6stnet.engine.selection import Offered, Survey, Swap, View, decide, expected, least_missed

ROUND_S = 30.0
FIRST_ROUND_S = 30.0
"""After the start: the first tunnels work by then, and Babel has heard of others."""


class Rounds:
    """Of one node.  ``traffic``: bytes sent to each destination lately; ``swaps``: those still to be made."""

    def __init__(
        self,
        own: Prefix,
        parameters: NetworkParameters,
        tunnels: Negotiator,
        peers: PeerBook,
        routes: RouteTable,
        *,
        rng: random.Random,
    ) -> None:
        self._own = own
        self.parameters = parameters
        self._tunnels = tunnels
        self._peers = peers
        self._routes = routes
        self._rng = rng
        self.scout: Scout[Prefix] = Scout()
        self.traffic: Mapping[Prefix, int] = {}
        self.swaps: deque[Swap[Prefix]] = deque()
        self._chosen: set[str] = set()
        """Tunnels that were not drawn at random."""
        self._begin_at: float | None = None
        self._asked: tuple[Prefix, ...] = ()
        self._sample: Sample[Prefix] | None = None
        """While peers are being asked: about what."""

    def start(self, *, now: float) -> None:
        """The node has begun to work."""
        self._begin_at = now + FIRST_ROUND_S * self._rng.uniform(0.5, 1.5)

    def next_deadline(self) -> float | None:
        """Monotonic seconds when a round is due; None: never."""
        return self._begin_at

    def is_due(self, now: float) -> bool:
        """Whether a round is to begin."""
        return self._begin_at is not None and self._begin_at <= now

    def begin(self, view: View[Prefix], *, now: float) -> list[Command]:
        """Probe those of whom we know an endpoint, and not how far they are."""
        self._begin_at = now + ROUND_S * self._rng.uniform(0.9, 1.1)
        self._sample = None
        self.swaps.clear()
        self._tunnels.accepted = 0
        self._chosen = {nonce for nonce in self._chosen if self._tunnels.get(nonce) is not None}
        places = {
            p: e for p in view.candidates if (e := self._peers.get(p).endpoint(Protocol.UDP)) is not None
        }
        peers = self.scout.whom_to_probe(places, now=now, rng=self._rng)
        if not peers:
            return self._ask(view, now)
        return [Probe(tuple((peer, places[peer]) for peer in peers))]

    def probed(self, event: Probed, view: View[Prefix], *, now: float) -> list[Command]:
        """Note what the probes found, and ask the most promising."""
        for peer, rtt_us in event.rtt_us:
            self.scout.probed(peer, None if rtt_us is None else self._cost(rtt_us), now=now)
            if rtt_us is None:
                self._peers.doubt(peer)
        return self._ask(view, now)

    def _ask(self, view: View[Prefix], now: float) -> list[Command]:
        metrics = {peer: self._routes.metric(peer) for peer in view.candidates}
        routed = {peer: metric for peer, metric in metrics.items() if metric < NO_ROUTE}
        self._asked = tuple(self.scout.whom_to_ask(routed, now=now, rng=self._rng))
        reachable = [prefix for prefix in self._routes.reachable if prefix != self._own]
        named = [t.peer for t in view.tunnels if t.active and self._routes.is_reachable(t.peer)]
        traffic = {d: sent for d, sent in self.traffic.items() if self._routes.is_reachable(d)}
        self._sample = sample = draw_sample(reachable, [*named, *self._asked], traffic, rng=self._rng)
        held = least_missed(view, sample.weight, self._via(view, sample))
        peers = *self._asked, *(t.peer for t in held)
        if not peers:
            return []
        return [AskDistances(peers, tuple(map(tag, sample.destinations)))]

    def told(self, event: DistancesTold, view: View[Prefix], *, now: float) -> None:
        """Compare, and note the swaps that are worth it."""
        answers = dict(event.answers)
        for answer in answers.values():
            named = (peer for peer in answer.peers if self._routes.is_reachable(peer.prefix))
            self._peers.hear(PeerSeen(peer.prefix, peer.endpoints) for peer in named)
        sample, self._sample = self._sample, None
        if sample is None:
            return
        by_peer = {t.peer: t.tunnel for t in view.tunnels if t.active}
        offers, held = [], {}
        for peer, answer in answers.items():
            if len(answer.metrics) != len(sample.destinations):
                continue
            metrics = array("i", answer.metrics)
            if peer in by_peer:
                cost = self._cost(self._rtt_us(by_peer[peer]))
                held[by_peer[peer]] = Offered(peer, cost, metrics, answer.room)
            elif (known := self.scout.cost(peer)) is not None:
                offers.append(Offered(peer, known, metrics, answer.room, self._routes.metric(peer)))
        survey = Survey(sample.weight, self._via(view, sample), tuple(offers), held)
        self.scout.note(expected(survey))
        with_room = {offer.peer for offer in offers if offer.room}
        for peer in self._asked:
            if peer not in with_room:
                self.scout.in_vain(peer, now=now)
        self.swaps = deque(decide(view.with_survey(survey, self.scout.may_swap(now)), rng=self._rng).swaps)

    def began(self, swap: Swap[Prefix], nonce: str, *, now: float) -> None:
        """The first half of a swap is under way: this is the new tunnel."""
        self._chosen.add(nonce)
        old = self._tunnels.get(swap.tunnel)
        if old is not None:
            self.scout.swapped(old.peer, now=now)

    def was_drawn(self, nonce: str) -> bool:
        """Whether a tunnel was opened by chance; those of an earlier daemon count as such."""
        return nonce not in self._chosen

    def _via(self, view: View[Prefix], sample: Sample[Prefix]) -> "dict[str, array[int]]":
        names = [t.tunnel for t in view.tunnels if t.active]
        return {name: self._routes.metrics_via(name, sample.destinations) for name in names}

    def _cost(self, rtt_us: int) -> int:
        return self.parameters.tunnel_cost(rtt_us)

    def _rtt_us(self, nonce: str) -> int:
        tunnel = self._tunnels.get(nonce)
        return (tunnel.rtt_us or 0) if tunnel is not None else 0
