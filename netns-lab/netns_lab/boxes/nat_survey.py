"""Everything about the NAT boxes, measured on one bench: each kind by STUN, each pair of kinds by opening.

Two places of each kind, one with hairpin and one without, two hosts in each; every pair is tried twice, so
that either end is once the first to send.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from netns_lab.boxes.behaviour import BOXES, ENDS, Behaviour, behaviour_of
from netns_lab.boxes.nat_bench import Bench, Host, Place
from netns_lab.boxes.nat_pairs import expected_behind_one_box, expected_direct
from netns_lab.boxes.nat_probe import Measured, Prober, measure
from netns_lab.boxes.punch import punch


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of box, with hairpin or without."""

    kind: str
    hairpin: bool
    measured: Measured

    @property
    def expected(self) -> Behaviour:
        """What it should do."""
        return behaviour_of(self.kind, hairpin=self.hairpin)

    @property
    def as_expected(self) -> bool:
        """Whether it does, also where a peer is early and two hosts have one port."""
        return (
            self.measured.behaviour == self.expected
            and self.measured.early_peer_harmless
            and self.measured.equal_ports_apart != self.expected.overloads_port
        )


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two hosts that tried to open a direct path, the one that is behind ``first`` a moment earlier."""

    first: str | None  # of ENDS
    second: str | None
    one_box: bool  # both behind the same
    hairpin: bool
    direct: bool
    expected: bool


def survey_kinds(kinds: Sequence[str]) -> list[KindRow]:
    """Measure kinds of :data:`BOXES`; RouterError when a box can't be made or nothing gets through."""
    places = [Place(kind, hairpin=hairpin, hosts=2) for kind in kinds for hairpin in (False, True)]
    with Bench(places) as bench, Prober(bench.server, bench.server_addresses) as prober:
        return [
            KindRow(place.kind or "", place.hairpin, measure(prober, *hosts))
            for place, hosts in zip(places, bench.hosts, strict=True)
        ]


def survey_pairs(ends: Sequence[str | None] = ENDS) -> list[PairRow]:
    """Try all pairs of what a node can be behind, then the pairs behind one box; RouterError as above."""
    half = len(ends)
    places = [
        Place(end, hairpin=hairpin, hosts=2 if end in BOXES else 1)
        for hairpin in (False, True)
        for end in ends
    ]
    with Bench(places) as bench, Prober(bench.server, bench.server_addresses) as prober:
        hosts: list[tuple[Host, Host]] = []
        found: list[tuple[str | None, str | None, bool, bool, bool]] = []
        for i, a in enumerate(ends):
            for j, b in enumerate(ends):
                there, here = bench.hosts[i][0], bench.hosts[half + j][0]
                expected = expected_direct(a, b)
                hosts += [(there, here), (here, there)]
                found += [(a, b, False, False, expected), (b, a, False, False, expected)]
        for place, inside in zip(places, bench.hosts, strict=True):
            if place.kind in BOXES:
                expected = expected_behind_one_box(place.kind, hairpin=place.hairpin)
                hosts += [(inside[0], inside[1]), (inside[1], inside[0])]
                found += [(place.kind, place.kind, True, place.hairpin, expected)] * 2
        return [
            PairRow(first, second, one_box, hairpin, direct, expected)
            for (first, second, one_box, hairpin, expected), direct in zip(
                found, punch(prober, hosts), strict=True
            )
        ]
