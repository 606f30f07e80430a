"""Round after round: nodes decide by what they know, tunnels change, routes settle, figures are taken.

rule (decides)  <-- Senses: noisy RTT, routes of the last round -- Overlay -- Underlay (the truth)
                                                                      |
                                         figures: paths against direct paths and the best relay paths
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from netns_lab.simulate.chance import chance
from netns_lab.simulate.connectivity import Loss, components, lost_nodes
from netns_lab.simulate.delays import Delays
from netns_lab.simulate.figures import Degree, PathFigures, Reference, Spread, path_figures
from netns_lab.simulate.ledger import Sent
from netns_lab.simulate.metric import Metric
from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import Metrics, find_routes
from netns_lab.simulate.rules import Limits, Rule
from netns_lab.simulate.senses import Noise, Senses, Table
from netns_lab.simulate.traffic import routing_bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """What a simulation is to do."""

    rule_name: str
    rule: type[Rule]
    metric: Metric
    limits: Limits
    rounds: int
    seed: int
    relay_us: int
    noise: Noise
    sample: int
    """To how many destinations paths are compared (from every node)."""
    losses: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class LossFigures:
    """What is left of the overlay without the lost nodes, before anything is repaired."""

    loss: Loss
    components: int
    largest: float
    """Share of the surviving nodes in the largest part."""


@dataclass(frozen=True, slots=True)
class Round:
    """Figures after one round; round 0 is the network as it came up."""

    number: int
    paths: PathFigures
    direct: Spread
    best: Spread
    """Of the best relay paths, by whatever nodes: no overlay can do better."""
    components: int
    largest: float
    degree: Degree
    control: Sent
    """Tunnel management in this round, bytes a node."""
    routing_bytes: float
    """Babel's, worked out (see :func:`netns_lab.simulate.traffic.routing_bytes`)."""
    losses: tuple[LossFigures, ...]


class Simulation:
    """One run; :meth:`run` can be called once."""

    def __init__(self, delays: Delays, settings: Settings) -> None:
        self._settings = settings
        self._underlays = delays.underlays()
        self.overlay = Overlay(delays.nodes)
        self._chance = {what: chance(settings.seed, what) for what in ("rule", "noise", "loss", "sample")}
        self.destinations = sorted(
            self._chance["sample"].sample(range(delays.nodes), min(settings.sample, delays.nodes))
        )
        self._references: dict[int, Reference] = {}
        self._metrics = Metrics(delays.nodes)
        self._round = 0
        self._senses = Senses(
            self.overlay, may_accept=self._may_accept, measure=self._measure, rng=self._chance["rule"]
        )
        self._rule = settings.rule(self._senses, settings.limits, self._chance["rule"])

    def run(self) -> Iterator[Round]:
        """Yield round 0, then as many rounds as wanted."""
        self._rule.start()
        yield self._look(0)
        for number in range(1, self._settings.rounds + 1):
            self._round = number
            self._rule.refresh()
            yield self._look(number)

    def _may_accept(self, node: int) -> bool:
        tunnels = len(self.overlay.peers(node))
        return self.overlay.accepted(node) < self._settings.limits.accept and self._settings.rule.may_hold(
            tunnels
        )

    def _measure(self, node: int, peer: int) -> int:
        """The RTT of this round, as the node would find it."""
        underlay = self._underlays[self._round % len(self._underlays)]
        (rtt_us,) = underlay.pairs_us(array("i", [node]), array("i", [peer]))
        return self._settings.noise.measure(rtt_us, self._chance["noise"])

    def _look(self, number: int) -> Round:
        settings, overlay = self._settings, self.overlay
        control = self._senses.ledger.close()
        paths = self._route(number)
        reference = self._reference(number)
        sizes = components(overlay)
        degree = Degree.of(overlay)
        return Round(
            number,
            paths,
            reference.direct,
            reference.best,
            len(sizes),
            sizes[0] / overlay.nodes,
            degree,
            control,
            routing_bytes(
                tunnels=degree.mean,
                destinations=overlay.nodes,
                hello_s=settings.rule.hello_s,
                round_s=settings.rule.round_s,
            ),
            tuple(map(self._without, settings.losses)),
        )

    def _route(self, number: int) -> PathFigures:
        """Let Babel measure and settle; nodes see its tables from now on."""
        underlay = self._underlays[number % len(self._underlays)]
        arcs = self.overlay.arcs()
        rtt_us = underlay.pairs_us(arcs.owner, arcs.to)
        noise, rng, metric = self._settings.noise, self._chance["noise"], self._settings.metric
        measured_us = array("i", (noise.measure(us, rng) for us in rtt_us))
        cost = array("i", map(metric.cost, measured_us))
        carried, paths = find_routes(
            arcs,
            cost=cost,
            rtt_us=rtt_us,
            sampled=self.destinations,
            relay_us=self._settings.relay_us,
            metrics=self._metrics,
        )
        self._senses.see(Table(arcs, measured_us, cost, carried, self._metrics))
        return path_figures(paths, self._reference(number), len(self.destinations))

    def _reference(self, number: int) -> Reference:
        """Direct and best paths to the sampled destinations in this round."""
        slice_ = number % len(self._underlays)
        if slice_ not in self._references:
            self._references[slice_] = Reference.of(
                self._underlays[slice_], self.destinations, self._settings.relay_us
            )
        return self._references[slice_]

    def _without(self, loss: Loss) -> LossFigures:
        gone = lost_nodes(self.overlay, loss, self._chance["loss"])
        sizes = components(self.overlay, gone)
        return LossFigures(loss, len(sizes), sizes[0] / sum(sizes) if sizes else 0.0)
