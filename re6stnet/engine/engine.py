"""The node's decisions: events in, commands and the time of the next timer out.  Pure.

shell --handle(event, now)--> Engine --commands--> shell
                               +- Negotiator   tunnels and their negotiation
                               +- Drainer      tunnels that end without losing a packet
                               +- PeerBook     who exists, where, when to try again
                               +- Health       which tunnels babeld may use
                               +- RouteTable   what Babel reaches, through which tunnel
                               +- Rounds       which peers are worth a tunnel; Distances: we, to others
                               +- decide()     selection
"""

import random
from collections.abc import Callable, Collection

from re6st_core.address import Endpoint
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import OPENVPN, WIREGUARD, Answer, Close, Drain, Offer
from re6st_core.prefix import Prefix
from re6stnet.engine.borders import may_cross
from re6stnet.engine.distances import Distances
from re6stnet.engine.draining import Drainer
from re6stnet.engine.health import Health
from re6stnet.engine.messages import (
    AddressesChanged,
    AskBootstrap,
    AskEndpoints,
    BootstrapFailed,
    Broken,
    Command,
    Created,
    DistancesTold,
    EndpointsChanged,
    EndpointsUnknown,
    Event,
    KeepRelay,
    NeighbourChanged,
    Originates,
    ParametersChanged,
    PeerMoved,
    PeerSeen,
    PeersLearned,
    Prepared,
    Probed,
    Received,
    Retired,
    Rotate,
    RoutesChanged,
    Started,
    Stopping,
    Timer,
    TrafficSeen,
    TunnelAnswers,
    TunnelSilent,
    Undeliverable,
)
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import LAST_RETRY_S, LONELY_RETRY_S, KnownPeer, PeerBook
from re6stnet.engine.rounds import Rounds
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.selection import UNREACHABLE_NODE_TUNNELS, Decision, TunnelView, View, decide
from re6stnet.engine.tunnel import UNDER_WAY, State, Tunnel

RELAY_BELOW = 2
"""A node with fewer working tunnels keeps a WebSocket to the registry (architecture §3)."""
BOOTSTRAP_REFRESH_S = 1200.0
"""How often a well-connected node shows itself to the registry, which forgets after three times as long."""
BOOTSTRAP_PAUSE_S, BOOTSTRAP_SPREAD_S = 2.0, 5.0
BOOTSTRAP_AGAIN_S = 20.0, 60.0
"""The longest pause while the registry does not answer: without tunnels, and with."""
BRIDGE_S = 30.0
"""How long, after the registry was away, a node that has enough tunnels tries peers that it does not reach:
the mesh may have fallen in two, each half content with itself."""
SELECT_EVERY_S = 5.0
SELECT_SOON_S = 0.05
"""Events come in bunches; one selection serves them all."""
SWAP_AFTER_S, SWAP_BEFORE_S = 5.0, 60.0
"""Babel smooths its metrics: routes through a new tunnel settle some seconds after it works, or never."""
SWAP_LIMIT_S = 120.0
"""A swap that takes longer ends, and the old tunnel stays: its newcomer comes and goes, and others wait."""
MAX_ATTEMPTS = 3
"""Offers of ours under way at one time.  All of them at once would take so long, on a host that is short of
processor time, that each meets its time-out, and the work would be done again and again."""
MAX_QUESTIONS = 8
"""Peers asked for their endpoints at one time."""
MAX_HINTS = 16
"""Peers named by others that refused us; they are asked first."""


class Engine:
    """One node.

    ``rng`` only spreads choices; ``new_nonce`` (32 hexadecimal digits) must be unguessable; ``client_count``
    and ``max_clients`` override the network's parameters; ``transports``: what tunnels may be made of;
    ``usable``: whether a tunnel may go to an endpoint; ``country``: where we are; ``neighbours``: peers that
    we are to have a tunnel with.
    """

    def __init__(
        self,
        own: Prefix,
        parameters: NetworkParameters,
        *,
        rng: random.Random,
        new_nonce: Callable[[], str],
        client_count: int | None = None,
        max_clients: int | None = None,
        transports: Collection[str] = (WIREGUARD, OPENVPN),
        usable: Callable[[Endpoint], bool] = lambda _endpoint: True,
        country: str | None = None,
        neighbours: Collection[Prefix] = (),
    ) -> None:
        self._own = own
        self._rng = rng
        self._client_count = client_count
        self._max_clients = max_clients
        self.parameters = parameters
        self._neighbours = frozenset(neighbours) - {own}
        self.peers = PeerBook(
            own,
            lambda e: usable(e) and may_cross(country, e.country, self.parameters.same_country),
        )
        self.routes = RouteTable()
        self.tunnels = Negotiator(own, self.peers, rng=rng, new_nonce=new_nonce)
        self.tunnels.transports = transports
        self.health = Health(self.tunnels)
        self.rounds = Rounds(own, parameters, self.tunnels, self.peers, self.routes, rng=rng)
        self.distances = Distances(own, self.tunnels, self.peers, self.routes, rng=rng)
        self.draining = Drainer(own, self.tunnels, self.peers, self.routes, rng=rng)
        self._follow(parameters)
        self._relay = False
        self._stopping = False
        self._select_at: float | None = None
        self._refresh_at = 0.0
        self._bootstrap_at: float | None = None
        self._bootstrap_asked = float("-inf")
        self._registry_away = False
        self._bridge_until = float("-inf")
        self._bootstrap_failures = 0
        self._asking: set[Prefix] = set()
        self._hints: tuple[Prefix, ...] = ()
        self._swap: tuple[str, str, float] | None = None
        """(new, old, until): the old tunnel goes when the new one has worked for ``SWAP_AFTER_S``."""

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """Take in one event at monotonic time ``now``; return what the shell must do, in this order."""
        commands = self._dispatch(event, now)
        if not self._stopping:
            commands += self._due(now)
        return commands

    def next_timer(self) -> float | None:
        """When the shell must deliver a ``Timer``, monotonic seconds; None: never."""
        if self._stopping:
            return None
        times = [self._select_at, self._bootstrap_at, self.tunnels.next_deadline()]
        times += [self.health.next_deadline(), self.rounds.next_deadline(), self.draining.next_deadline()]
        return min((t for t in times if t is not None), default=None)

    # --- events -----------------------------------------------------------------------------------------

    def _dispatch(self, event: Event, now: float) -> list[Command]:  # noqa: PLR0911, PLR0912, PLR0915 - a table of kinds
        match event:
            case Started():
                return self._start(event, now)
            case EndpointsChanged():
                self.tunnels.endpoints = event.endpoints
                self._select_soon(now)
            case AddressesChanged():
                self._bootstrap_at, self._bootstrap_failures = now, 0
            case ParametersChanged():
                return self._changed(self._obey(event.parameters, now), now)
            case PeersLearned():
                self._learn(event, now)
            case BootstrapFailed():
                self._registry_away = True
                self._bootstrap_again(now, failed=True)
            case EndpointsUnknown():
                self._asking.discard(event.peer)
                self.peers.failed(event.peer, now=now, rng=self._rng)
            case Received(message=Offer() as offer):
                if offer.endpoints:
                    self.peers.learn([PeerSeen(offer.sender, offer.endpoints)])
                return self.tunnels.offered(offer, event.serial, now=now)
            case Received(message=Answer() as answer):
                if answer.refusal:  # who is full names others, newest first
                    self._hints = (*answer.alternatives, *self._hints)[:MAX_HINTS]
                return self._changed(self.tunnels.answered(answer, event.serial, now=now), now)
            case Received(message=Close() as close):
                ended = self.draining.closed(close, now=now) or self.tunnels.closed(close, now=now)
                return self._changed(ended, now)
            case Received(message=Drain() as drain):
                return self._changed(self.draining.received(drain, now=now), now)
            case PeerMoved():
                if (moved := self.tunnels.get(event.tunnel)) is not None:
                    moved.endpoint = event.endpoint
            case Retired():
                self.draining.retired(event.tunnel)
            case Rotate():
                tunnel = self.tunnels.with_peer(event.peer)
                return self.draining.ask(tunnel, "rotation was asked for", now=now) if tunnel else []
            case Prepared():
                return self._changed(self.tunnels.prepared(event, now=now), now)
            case Created():
                self.tunnels.created(event, now=now)
                return self._changed([], now)
            case Undeliverable():
                return self._failed(event.tunnel, f"undeliverable: {event.reason}", now)
            case Broken():
                self.draining.broken(event.tunnel, now=now)
                tunnel = self.tunnels.get(event.tunnel)
                return (
                    self._changed(
                        self.tunnels.broken(tunnel, event.reason, narrow=event.narrow, now=now), now
                    )
                    if tunnel
                    else []
                )
            case NeighbourChanged():
                return self._neighbour(event, now)
            case TunnelAnswers():
                if self.health.cut_off:
                    self.peers.hope(now=now, rng=self._rng)
                return self._changed(self.health.answered(event.tunnel, now=now), now)
            case TunnelSilent():
                return self._silent(event, now)
            case RoutesChanged():
                if turned := self.routes.apply(event.changes):
                    self.distances.turned(turned)
                    self._select_soon(now)
            case Originates():
                return self._changed(self.tunnels.originates(event, now=now), now)
            case Probed():
                return self.rounds.probed(event, self._view(now), now=now)
            case DistancesTold():
                self.rounds.told(event, self._view(now), now=now)
                self._select_soon(now)
            case TrafficSeen():
                self.rounds.traffic = dict(event.sent)
            case Timer():
                pass
            case Stopping():
                self._stopping = True
                return [
                    *self.draining.stop(),
                    *(
                        command
                        for tunnel in list(self.tunnels)
                        for command in self.tunnels.drop(tunnel, "the node stops", now=now, failed=False)
                    ),
                ]
        return []

    def _obey(self, parameters: NetworkParameters, now: float) -> list[Command]:
        self._follow(parameters)
        commands = self.tunnels.revoke(parameters.revoked, now=now) + self.tunnels.leave_forbidden(now=now)
        self.peers.recheck()
        return commands

    def _follow(self, parameters: NetworkParameters) -> None:
        self.parameters = self.rounds.parameters = parameters
        limit = parameters.max_clients if self._max_clients is None else self._max_clients
        self.tunnels.max_clients = limit

    def _start(self, event: Started, now: float) -> list[Command]:
        for record in event.adopted:
            self.tunnels.adopt(record, now=now)
            self.health.adopt(record.tunnel, now=now)
        self._refresh_at = now + self.parameters.tunnel_refresh_s
        self.rounds.start(now=now)
        self._select_soon(now)
        # Even with adopted tunnels: they may all be dead, and the answer also tells our own address.
        self._bootstrap_at = now
        return self._want_relay(now)

    def _learn(self, event: PeersLearned, now: float) -> None:
        before = len(self.peers)
        self.peers.learn(event.peers)
        self._asking -= {seen.prefix for seen in event.peers}
        if len(self.peers) > before:
            self._bootstrap_failures = 0
        if event.by_registry and self._registry_away:
            self._registry_away, self._bridge_until = False, now + BRIDGE_S
            self.peers.hope(now=now, rng=self._rng)
        if event.by_registry:
            self.health.underlay_works(now=now)
        self._bootstrap_again(now)
        self._select_soon(now)

    def _silent(self, event: TunnelSilent, now: float) -> list[Command]:
        commands = self.health.silent(event.tunnel, event.witnessed, now=now)
        if self.health.cut_off:
            self._bootstrap_soon(now)  # the answer tells whether it is we who are cut off, and who else lives
        elif commands:
            self._bootstrap_soon(now + self._rng.uniform(0.0, BOOTSTRAP_SPREAD_S))
        return self._changed(commands, now)

    def _neighbour(self, event: NeighbourChanged, now: float) -> list[Command]:
        if not self.tunnels.neighbour(event, now=now):
            return []
        self._select_soon(now)
        return self._want_relay(now)

    def _failed(self, nonce: str, reason: str, now: float) -> list[Command]:
        tunnel = self.tunnels.get(nonce)
        if tunnel is None:
            return []
        return self._changed(self.tunnels.drop(tunnel, reason, now=now), now)

    def _changed(self, commands: list[Command], now: float) -> list[Command]:
        self._select_soon(now)
        return commands + self._want_relay(now)

    # --- what time brings -------------------------------------------------------------------------------

    def _due(self, now: float) -> list[Command]:
        commands = self.health.due(now)
        for tunnel in self.health.given_up(now):
            commands += self.tunnels.drop(tunnel, "silent, while the registry answers", now=now, failed=False)
        commands += self.tunnels.timed_out(now=now)
        if commands:
            self._select_soon(now)
            commands += self._want_relay(now)
        commands += self.draining.due(now=now)
        if self._bootstrap_at is not None and self._bootstrap_at <= now:
            self._bootstrap_at, self._bootstrap_asked = None, now
            commands.append(AskBootstrap())
        if self.rounds.is_due(now):
            commands += self.rounds.begin(self._view(now), now=now)
        if self._select_at is not None and self._select_at <= now:
            self._select_at = now + SELECT_EVERY_S
            commands += self._select(now)
        return commands

    def _select_soon(self, now: float) -> None:
        soon = now + SELECT_SOON_S
        self._select_at = soon if self._select_at is None else min(self._select_at, soon)

    def _bootstrap_again(self, now: float, *, failed: bool = False) -> None:
        """Ask the registry again: soon, then ever more rarely, while we hang by fewer than two tunnels.

        Later too: it learns that we live, to name us to newcomers, and tells if our address has changed.
        """
        connected = len(self.tunnels.active()) >= RELAY_BELOW and not self.health.cut_off
        if connected and not failed:
            delay_s = BOOTSTRAP_REFRESH_S
        else:
            delay_s = min(2.0**self._bootstrap_failures, BOOTSTRAP_AGAIN_S[connected])
            self._bootstrap_failures = min(self._bootstrap_failures + 1, 6)
        self._bootstrap_at = now + delay_s * self._rng.uniform(0.75, 1.25)

    def _bootstrap_soon(self, at: float) -> None:
        """We have lost tunnels: what was planned when we had them is void."""
        self._bootstrap_failures = 0
        if self._bootstrap_at is not None:  # else the question is on its way
            self._bootstrap_at = min(self._bootstrap_at, max(at, self._bootstrap_asked + BOOTSTRAP_PAUSE_S))

    def _want_relay(self, now: float) -> list[Command]:
        wanted = len(self.tunnels.active()) < RELAY_BELOW
        if self._relay and not wanted:
            # Answers come back the way the offers went.
            wanted = any(t.state in UNDER_WAY for t in self.tunnels)
        if wanted == self._relay:
            return []
        self._relay = wanted
        self.peers.last_retry_s = LONELY_RETRY_S if wanted else LAST_RETRY_S
        if wanted:
            self._bootstrap_soon(now)
            self.peers.hope(now=now, rng=self._rng)
        return [KeepRelay(wanted)]

    # --- selection --------------------------------------------------------------------------------------

    def _select(self, now: float) -> list[Command]:
        swapped = self._end_swap(now)
        refresh_due = self._refresh_at <= now and self._swap is None
        # Nothing is missing, too many or due: the view, by far the dearest part, need not be made.
        content = not refresh_due and self.tunnels.opened() == self._wanted_tunnels()
        content = content and all(map(self.tunnels.with_peer, self._neighbours))
        if content and self._swap is None and now < self._bridge_until:
            return swapped + self._bridge(now)
        if content and self._swap is None and self.rounds.swaps:
            return swapped + self._begin_swap(now)
        decision: Decision[Prefix] = Decision() if content else decide(self._view(now), rng=self._rng)
        commands: list[Command] = swapped + self._ask_endpoints(now)
        under_way = sum(t.initiator and t.state in UNDER_WAY for t in self.tunnels)
        if decision.open and under_way >= MAX_ATTEMPTS:
            return commands  # the end of one of them brings the next selection
        for prefix in decision.open[: MAX_ATTEMPTS - under_way]:
            self.rounds.scout.drew()
            commands += self.tunnels.open(self.peers.get(prefix), now=now)
        if refresh_due:
            self._refresh_at = now + self.parameters.tunnel_refresh_s
        new = self.tunnels.with_peer(decision.open[0]) if decision.open else None
        for nonce, reason in decision.close:
            old = self.tunnels.get(nonce)
            if new is not None:
                self._swap = (new.nonce, nonce, now + SWAP_LIMIT_S)
            elif old is not None and not decision.open and not self.draining.asking:
                commands += self.draining.ask(old, reason, now=now)
        return commands

    def _bridge(self, now: float) -> list[Command]:
        """Try one peer that Babel does not reach; one that is too many goes when it works."""
        beyond = [
            p for p in self.peers if self._is_candidate(p, now) and not self.routes.is_reachable(p.prefix)
        ]
        if not beyond:
            return []
        peer = self._rng.choice(beyond)
        commands = self.tunnels.open(peer, now=now)
        if (new := self.tunnels.with_peer(peer.prefix)) is not None:
            self._swap = (new.nonce, "", now + SWAP_LIMIT_S)
        return commands

    def _begin_swap(self, now: float) -> list[Command]:
        swap = self.rounds.swaps.popleft()
        peer = self.peers.get(swap.peer)
        if self.tunnels.get(swap.tunnel) is None or not self._is_candidate(peer, now):
            return []
        commands = self.tunnels.open(peer, now=now)
        if (new := self.tunnels.with_peer(peer.prefix)) is not None:
            self._swap = (new.nonce, swap.tunnel, now + SWAP_LIMIT_S)
            self.rounds.began(swap, new.nonce, now=now)
        return commands

    def _end_swap(self, now: float) -> list[Command]:
        """The old tunnel goes once routes through the new one have settled and nobody needs it."""
        if self._swap is None:
            return []
        *names, until = self._swap
        new, old = map(self.tunnels.get, names)
        working_s = now - new.since if new is not None and new.state is State.ACTIVE else 0.0
        late = working_s > SWAP_BEFORE_S or now >= until
        if new is None or late or (old is None and (self._swap[1] or working_s)):
            self._swap = None  # one of them has failed, or the old one proves to be needed: it stays
        elif old is not None and working_s >= SWAP_AFTER_S and self.draining.expendable(old.nonce, now=now):
            self._swap = None
            return self.draining.ask(old, f"replaced by {new.peer}", now=now)
        return []

    def _view(self, now: float) -> View[Prefix]:
        return View(
            tunnels=tuple(self._tunnel_view(t, now) for t in self.tunnels if t.state is not State.SILENT),
            candidates=tuple(p.prefix for p in self.peers if self._is_candidate(p, now)),
            client_count=self._wanted_tunnels(),
            swapping=self._swap is not None,
            neighbours=self._neighbours,
        )

    def _wanted_tunnels(self) -> int:
        wanted = self.parameters.client_count if self._client_count is None else self._client_count
        served = any(not t.initiator and t.state is State.ACTIVE for t in self.tunnels)
        return wanted if served or self.tunnels.endpoints else min(wanted, UNREACHABLE_NODE_TUNNELS)

    def _tunnel_view(self, tunnel: Tunnel, now: float) -> TunnelView[Prefix]:
        return TunnelView(
            tunnel=tunnel.nonce,
            peer=tunnel.peer,
            initiator=tunnel.initiator,
            active=tunnel.state is State.ACTIVE,
            drawn=self.rounds.was_drawn(tunnel.nonce),
            wanted=self._swap is not None and tunnel.nonce in self._swap[:2],
            carried=len(self.routes.carried(tunnel.nonce)),
            expendable=self.draining.expendable(tunnel.nonce, now=now),
        )

    def _is_candidate(self, peer: KnownPeer, now: float) -> bool:
        """Known where, not waited for, no tunnel yet, and one of the two can reach the other."""
        if not peer.endpoints_known or not peer.may_be_tried(now) or self.tunnels.with_peer(peer.prefix):
            return False
        relayed = peer.relayed and self._relay
        can_tell = relayed or bool(peer.endpoints) or self.routes.is_reachable(peer.prefix)
        return can_tell and bool(peer.endpoints or self.tunnels.endpoints)

    def _ask_endpoints(self, now: float) -> list[Command]:
        """Ask some routed peers, of which we know no more than the route, where they are."""
        enough = self.tunnels.opened() >= self._wanted_tunnels() and self._refresh_at > now
        unknown: list[Prefix] = []
        first = [*self._neighbours, *(() if enough else self._hints)]
        routed = [prefix for prefix in first if self.routes.is_reachable(prefix)]
        for prefix in routed if enough else (*routed, *self.routes.reachable):
            if len(unknown) + len(self._asking) >= MAX_QUESTIONS:
                break
            if prefix == self._own or prefix in self._asking or prefix in unknown:
                continue
            if self.tunnels.with_peer(prefix) is not None:
                continue
            peer = self.peers.get(prefix)
            if not peer.endpoints_known and peer.may_be_tried(now):
                unknown.append(prefix)
        self._asking.update(unknown)
        return [AskEndpoints(prefix) for prefix in unknown]
