"""What ``docs/evidence.md`` says around the figures: a section per benchmark, in order of appearance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A benchmark and the words around its figures."""

    benchmark: str
    heading: str
    text: str


SECTIONS = (
    Section(
        "data_plane",
        "Data plane",
        """\
Each system has four machines in a row of its own (namespaces, a cable between neighbours, no other way);
all are up at the same time and are visited in turn, in drawn order. *TCP*: one stream as received. *of
by hand*: ratio to the hand-made tunnel of the same kind in the same round. *added RTT*: small packets,
above the bare cable over as many hops. *CPU*: of the system's processes on all machines of the way, per
10^9 bytes. *RSS*: of its processes on the machine that needs most. Hops are proven by the hop limit of
the replies, for nebula and yggdrasil, which encrypt end to end and hide them, by the counters of the
cables. nebula relays over one node at most. Its MTU makes yggdrasil fast: it carries packets of 52 KB
over TCP; with packets of the size that the others have it is measured as well.""",
    ),
    Section(
        "throughput",
        "One tunnel of ours against the same tunnel by hand",
        """\
Two machines and one cable; pairs of samples in turn. The node is whole; the adapters alone show what the
one-port rules cost. A bound counts as missed when the whole interval is below it. Pairs of one run differ
by more than the rules cost, and nothing explains a ratio above 1: read these as "no loss to be seen".""",
    ),
    Section(
        "idle",
        "A node that carries nothing",
        """\
A node with twenty WireGuard tunnels, 20 ms each, none of which carries traffic: probes, Babel, selection.""",
    ),
    Section(
        "babel_reader",
        "Reading babeld's table",
        """\
From connecting until Python holds the best route per destination and the delta; the peer is the same in
plain Python. Then the interpreter's lock is held during the dump: babeld must not cut us off.""",
    ),
    Section(
        "switch",
        "The lab's switch",
        """\
Eight sites. *delay error*: from the sender's clock before it sends to the stamp of the receiving kernel,
less the delay of the path. *late*: what a frame left later than its link says, by the switch's own count.
"Lost unasked" leaves out what a link was told to lose.""",
    ),
    Section(
        "lab_build",
        "Building a lab",
        """\
From the first namespace to the last address, and back to nothing. *up*: a registry and the nodes, from
nothing until all have certificates and all daemons run; they are removed with all processes at work.""",
    ),
    Section(
        "simulator",
        "Choosing tunnels: ours and re6st's rule",
        """\
`netns-lab simulate` on the round-trip times between 490 PlanetLab hosts, both rules in the same run:
mean over all pairs after the last round, and ratios to the best relay path that the matrix has and to the
direct path.""",
    ),
    Section(
        "simulator_large",
        "Simulating ten thousand nodes",
        """\
A made-up world: it shows how a rule scales, not how fast an Internet is.""",
    ),
    Section(
        "model",
        "Node engines in virtual time",
        """\
`netns-lab model`: the real engines of dozens of nodes on a modelled Internet with NATs; the same outcome for
the same seed. A bound counts as missed when it is missed with one of the seeds.""",
    ),
)

HEAD = """\
# Evidence

Written by `make bench` from the files in [benchmarks/results](../benchmarks/README.md), never by hand.
Each figure belongs to the command, commit, date and machine beside it; `+` behind a commit: with changes
that were not committed yet. *load* is what others did on the machine before the run began (1-minute
average). In brackets: 95 % confidence intervals. All of it again: `make bench`; one part: `make bench
ARGS=data_plane`."""

SCENARIO_TEXT = """\
Real nodes, babeld and tunnels on the lab's Internet: `netns-lab run NAME --json`. A scenario that the node
is known not to pass yet is marked as expected to fail, with what it reached."""
