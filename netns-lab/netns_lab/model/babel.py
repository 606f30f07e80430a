"""One node's babeld: a distance vector, as old and as wrong as it would be (RFC 8966, babeld 1.12).

    neighbour's update --> feasible? (section 3.5.1) --> route --> selected --> our own update, a moment later
                              no: ask for a new seqno (section 3.8.2)

Updates wait as long as babeld lets them wait, travel as long as their tunnel takes, and get lost; what is
lost comes with the next periodic update.  Small changes of a metric are passed on only when they have grown.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from netns_lab.model import wire
from netns_lab.model.agenda import Agenda
from netns_lab.model.feasibility import SEQNOS, Distances, newer
from netns_lab.model.links import Link
from re6st_core.netparams import NetworkParameters

INFINITY = 65535
URGENT_S, CALM_HELLOS = 0.1, 1.0
"""How long babeld holds an update: a tenth of a second if urgent, else a hello interval, each within 25 %."""
UPDATE_S = 4.0
"""Interval of periodic updates."""
SMOOTHING_S = 4.0
"""Half-life of babeld's smoothed metric: a better route must stay better for about as long to be taken."""
RTT_DECAY = 85 / 256
SAMPLE_S = 60.0
"""How often the smoothed RTT is drawn anew; babeld does so each hello, which changes little."""
WORTH_TELLING = 0.05
"""Share by which a metric must change to be passed on; babeld does so with each periodic update."""
REQUEST_AGAIN_S = 2.0
MAX_REQUESTS = 1024

Update = tuple[int, int, int]
"""Destination, seqno, metric."""
Changes = dict[tuple[int, str], tuple[int, int] | None]
"""By destination and tunnel: metric and the neighbour's own metric; None: there is no route any more."""
Tell = Callable[[str, bool, int | None], None]
"""Tunnel, alive, RTT in microseconds."""


@dataclass(slots=True)
class Route:
    """A neighbour's route to a destination."""

    seqno: int
    refmetric: int
    metric: int


@dataclass(slots=True)
class Neighbour:
    """The other end of a tunnel that we hear."""

    link: Link
    peer: "Babel"
    cost: int = INFINITY
    rtt_s: float = 0.0


class Babel:
    """Routes of one node, by the index of the destination; ``on_routes`` gets changes in bunches."""

    def __init__(
        self,
        node: int,
        name: str,
        *,
        agenda: Agenda,
        rng: random.Random,
        parameters: NetworkParameters,
        ledger: wire.Ledger,
        jitter_s: Callable[[], float],
        tell: Tell,
        on_routes: Callable[[Changes], None],
        moved: Callable[[int], None],
        seqno: int,
    ) -> None:
        """``moved`` gets a destination to which the way changes; ``seqno``: as the state file has it."""
        self.node = node
        self._name = name
        self._agenda = agenda
        self._rng = rng
        self._parameters = parameters
        self._ledger = ledger
        self._jitter_s = jitter_s
        self._tell = tell
        self._on_routes = on_routes
        self._moved = moved
        self.running = True
        self.neighbours: dict[str, Neighbour] = {}
        self.routes: dict[int, dict[str, Route]] = {}
        self.selected: dict[int, str] = {}
        self._distances = Distances()
        self.seqno = seqno
        self._pending: set[int] = set()
        self._flush_at: float | None = None
        self._told: dict[int, int] = {}
        self._reconsidering: set[int] = set()
        self._changes: Changes = {}
        self._requested: dict[tuple[int, int], float] = {}
        self._unsatisfied: dict[int, int] = {}
        """Seqnos that neighbours wait for: what brings them is passed on at once."""
        self._missing: set[int] = set()
        self._sampled_at = agenda.now

    # --- neighbours -------------------------------------------------------------------------------------

    def up(self, link: Link, peer: "Babel") -> None:
        """A neighbour is heard on a tunnel."""
        if not self.running:
            return
        neighbour = self.neighbours[link.name] = Neighbour(link, peer)
        self._measure(neighbour)
        self._tell(link.name, True, round(neighbour.rtt_s * 1e6))
        self._send_all(neighbour)
        if (back := peer.neighbours.get(link.name)) is not None:
            peer._send_all(back)

    def down(self, name: str, *, tell: bool = True) -> None:
        """A neighbour is lost, or (``tell`` false) its interface flushed."""
        if self.neighbours.pop(name, None) is None:
            return
        if tell and self.running:
            self._tell(name, False, None)
        for destination in [d for d, routes in self.routes.items() if name in routes]:
            self._drop(destination, name)

    def stop(self) -> None:
        """babeld is gone, without a word; its tables with it."""
        self.running = False
        self.neighbours.clear()
        self.routes.clear()
        self.selected.clear()
        self._changes.clear()

    def sample(self) -> None:
        """Measure all neighbours anew, and count what goes out all the time; for every ``SAMPLE_S``."""
        elapsed_s, self._sampled_at = self._agenda.now - self._sampled_at, self._agenda.now
        hellos = elapsed_s / self._parameters.hello_s
        updates = wire.BABEL_UPDATE * (len(self.selected) + 1) * self._parameters.hello_s / UPDATE_S
        for name, neighbour in list(self.neighbours.items()):
            tlvs = wire.BABEL_HELLO + wire.BABEL_IHU / 3 + updates
            size = wire.babel_packet(round(tlvs), openvpn=neighbour.link.carrier.openvpn)
            self._ledger.add(self._name, "babel", hellos * size)
            self._measure(neighbour)
            self._tell(name, True, round(neighbour.rtt_s * 1e6))
        self._distances.forget_old(self.selected, self._agenda.now)

    def _measure(self, neighbour: Neighbour) -> None:
        """Draw the smoothed RTT, set the cost by it, and pass on what that changes much."""
        carrier = neighbour.link.carrier
        base_s = carrier.one_way_s(0) + carrier.one_way_s(1)
        # Two ways' noise, smoothed exponentially: its variance shrinks by decay / (2 - decay).
        noise_s = self._jitter_s() * (2 * RTT_DECAY / (2 - RTT_DECAY)) ** 0.5
        neighbour.rtt_s = max(self._rng.gauss(base_s, noise_s), base_s / 2) if noise_s else base_s
        cost = self._cost(neighbour.rtt_s)
        if neighbour.cost < INFINITY and abs(cost - neighbour.cost) <= WORTH_TELLING * neighbour.cost:
            return
        neighbour.cost = cost
        name = neighbour.link.name
        for destination, routes in self.routes.items():
            if (route := routes.get(name)) is not None:
                route.metric = min(route.refmetric + cost, INFINITY)
                self._note(destination, name)
                self._consider(destination)

    def _cost(self, rtt_s: float) -> int:
        """babeld's: a base, and between two RTTs a penalty that grows evenly (RFC 9616 section 4.3)."""
        p = self._parameters
        share = (rtt_s * 1000 - p.rtt_min_ms) / (p.rtt_max_ms - p.rtt_min_ms)
        return p.rxcost + round(p.max_rtt_penalty * min(max(share, 0.0), 1.0))

    # --- updates ----------------------------------------------------------------------------------------

    def receive(self, name: str, updates: list[Update]) -> None:
        """A neighbour's update has arrived."""
        neighbour = self.neighbours.get(name)
        if neighbour is None or not self.running:
            return
        for destination, seqno, refmetric in updates:
            if destination != self.node:
                self._heard(neighbour, destination, seqno, refmetric)

    def _heard(self, neighbour: Neighbour, destination: int, seqno: int, refmetric: int) -> None:
        name = neighbour.link.name
        route = self.routes.get(destination, {}).get(name)
        if refmetric >= INFINITY:
            if route is not None:
                self._drop(destination, name)
            return
        metric = min(refmetric + neighbour.cost, INFINITY)
        if not self._distances.is_feasible(destination, seqno, refmetric):
            self._ask_if_good(neighbour, destination, metric)
            if route is not None and self.selected.get(destination) != name:
                self._drop(destination, name)
            elif route is not None:
                route.refmetric, route.metric = refmetric, metric
                self._note(destination, name)
                self._consider(destination)
            return
        if route is None:
            self.routes.setdefault(destination, {})[name] = Route(seqno, refmetric, metric)
        elif (route.seqno, route.refmetric, route.metric) == (seqno, refmetric, metric):
            return
        else:
            route.seqno, route.refmetric, route.metric = seqno, refmetric, metric
        self._note(destination, name)
        self._consider(destination)

    def _consider(self, destination: int) -> None:
        """Take the best feasible route: at once if we have none, else when it has been better for a while."""
        routes = self.routes.get(destination, {})
        current = self.selected.get(destination)
        if current is not None and current in routes:
            if any(r.metric < routes[current].metric for n, r in routes.items() if n != current):
                self._reconsider_later(destination)
            wanted = self._unsatisfied.get(destination)
            if wanted is not None and not newer(wanted, routes[current].seqno):
                del self._unsatisfied[destination]
                self._announce(destination, urgent=True)
            else:
                self._announce_if_changed(destination, routes[current].metric)
            return
        self._select(destination)

    def _select(self, destination: int) -> None:
        routes = self.routes.get(destination, {})
        feasible = [
            (r.metric, n)
            for n, r in routes.items()
            if self._distances.is_feasible(destination, r.seqno, r.refmetric)
        ]
        before = self.selected.get(destination)
        if not feasible:
            if before is not None and before not in routes:
                del self.selected[destination]
                self._moved(destination)
                self._announce(destination, urgent=True)
                self._ask_all(destination)
            return
        metric, name = min(feasible)
        if before is not None and before in routes and routes[before].metric <= metric:
            return
        if before == name:
            return
        self.selected[destination] = name
        if before is not None and before in routes:
            self._note(destination, before)
        self._note(destination, name)
        self._moved(destination)
        self._announce(destination, urgent=True)

    def _reconsider_later(self, destination: int) -> None:
        if destination in self._reconsidering:
            return
        if not self._reconsidering:
            self._agenda.after(SMOOTHING_S, self._reconsider)
        self._reconsidering.add(destination)

    def _reconsider(self) -> None:
        waiting, self._reconsidering = self._reconsidering, set()
        for destination in sorted(waiting):
            if self.running:
                self._select(destination)

    def _drop(self, destination: int, name: str) -> None:
        routes = self.routes[destination]
        del routes[name]
        if not routes:
            del self.routes[destination]
        self._note(destination, name)
        if self.selected.get(destination) == name:
            self._select(destination)

    # --- what we tell -----------------------------------------------------------------------------------

    def _announce_if_changed(self, destination: int, metric: int) -> None:
        told = self._told.get(destination)
        if told is None or abs(metric - told) > WORTH_TELLING * told:
            # Much worse is urgent, the rest waits for the next periodic update.
            self._announce(destination, urgent=told is not None and metric >= told + 512, calm_s=UPDATE_S)

    def _announce(self, destination: int, *, urgent: bool, calm_s: float | None = None) -> None:
        self._pending.add(destination)
        delay_s = URGENT_S if urgent else calm_s or CALM_HELLOS * self._parameters.hello_s
        at = self._agenda.now + delay_s * self._rng.uniform(0.75, 1.25)
        if self._flush_at is None or at < self._flush_at:
            self._flush_at = at
            self._agenda.at(at, partial(self._flush, at))

    def _flush(self, at: float) -> None:
        if self._flush_at != at or not self.running:
            return
        self._flush_at = None
        pending, self._pending = sorted(self._pending), set()
        for neighbour in list(self.neighbours.values()):
            self._send(neighbour, pending)

    def _send_all(self, neighbour: Neighbour) -> None:
        self._send(neighbour, [self.node, *self.selected])

    def _send(self, neighbour: Neighbour, destinations: list[int]) -> None:
        updates = [u for d in destinations if (u := self._update(neighbour, d)) is not None]
        if updates:
            self._carry(
                neighbour,
                wire.BABEL_UPDATE * len(updates),
                partial(neighbour.peer.receive, neighbour.link.name, updates),
                partial(self._send, neighbour, destinations),
            )

    def _update(self, neighbour: Neighbour, destination: int) -> Update | None:
        if destination == self.node:
            return destination, self.seqno, 0
        name = self.selected.get(destination)
        if name is None:
            self._told.pop(destination, None)
            return destination, self._distances.seqno(destination), INFINITY
        if name == neighbour.link.name:
            return None  # split horizon
        route = self.routes[destination][name]
        self._told[destination] = route.metric
        self._distances.told(destination, route.seqno, route.metric)
        return destination, route.seqno, route.metric

    def _carry(
        self, neighbour: Neighbour, size: int, arrive: Callable[[], None], again: Callable[[], None]
    ) -> None:
        """Send a packet into a tunnel; a lost one is made good by the next periodic one."""
        link = neighbour.link
        loss = link.carrier.loss()
        self._ledger.add(self._name, "babel", wire.babel_packet(size, openvpn=link.carrier.openvpn))
        if link.carries(self.node) and not (loss and self._rng.random() < loss):
            self._agenda.after(link.carrier.one_way_s(link.end(self.node)), arrive)
            return

        def repeat() -> None:
            if self.neighbours.get(link.name) is neighbour:
                again()

        self._agenda.after(self._rng.uniform(0.0, UPDATE_S), repeat)

    # --- requests for a seqno ---------------------------------------------------------------------------

    def _ask_if_good(self, neighbour: Neighbour, destination: int, metric: int) -> None:
        """An unfeasible route is worth a request if we have none, or one that is much worse."""
        name = self.selected.get(destination)
        if name is None or self.routes[destination][name].metric >= metric + 512:
            self._request(neighbour, destination, self._distances.wanted(destination))
        if name is None:
            self._expect_periodic(destination)

    def _ask_all(self, destination: int) -> None:
        for neighbour in list(self.neighbours.values()):
            self._request(neighbour, destination, self._distances.wanted(destination))
        self._expect_periodic(destination)

    def _expect_periodic(self, destination: int) -> None:
        """Without a route, the neighbours' next periodic updates matter, though they say nothing new."""
        if destination in self._missing:
            return
        self._missing.add(destination)

        def due() -> None:
            self._missing.discard(destination)
            if destination not in self.selected and self.running:
                for name, neighbour in list(self.neighbours.items()):
                    neighbour.peer.tell_again(name, destination)

        self._agenda.after(UPDATE_S * self._rng.uniform(0.75, 1.25), due)

    def tell_again(self, name: str, destination: int) -> None:
        """Send one destination's periodic update into a tunnel, if we have a route."""
        neighbour = self.neighbours.get(name)
        if neighbour is not None and (destination in self.selected or destination == self.node):
            self._send(neighbour, [destination])

    def _request(self, neighbour: Neighbour, destination: int, seqno: int, hops: int = 32) -> None:
        arrive = partial(neighbour.peer.requested, neighbour.link.name, destination, seqno, hops)
        again = partial(self._request, neighbour, destination, seqno, hops)
        self._carry(neighbour, wire.BABEL_REQUEST, arrive, again)

    def requested(self, name: str, destination: int, seqno: int, hops: int) -> None:
        """A neighbour wants a route to a destination that is as new as this (section 3.8.1.2)."""
        if not self.running or name not in self.neighbours:
            return
        if destination == self.node:
            if newer(seqno, self.seqno):
                self.seqno = (self.seqno + 1) % SEQNOS
            self._announce(destination, urgent=True)
            return
        via = self.selected.get(destination)
        if via is None:
            return
        if not newer(seqno, self.routes[destination][via].seqno):
            self._announce(destination, urgent=True)
            return
        key = destination, seqno
        if via == name or hops <= 1 or self._agenda.now - self._requested.get(key, -1e9) < REQUEST_AGAIN_S:
            return
        self._requested[key] = self._agenda.now
        self._unsatisfied[destination] = seqno
        if len(self._requested) > MAX_REQUESTS:
            self._requested.pop(next(iter(self._requested)))
        self._request(self.neighbours[via], destination, seqno, hops - 1)

    # --- what the daemon hears --------------------------------------------------------------------------

    def _note(self, destination: int, name: str) -> None:
        if not self._changes:
            self._agenda.after(0.01, self._report)
        route = self.routes.get(destination, {}).get(name)
        self._changes[destination, name] = None if route is None else (route.metric, route.refmetric)

    def _report(self) -> None:
        changes, self._changes = self._changes, {}
        if changes and self.running:
            self._on_routes(changes)
