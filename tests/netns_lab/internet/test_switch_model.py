"""The switch in C does what its model in Python says, for any sequence of frames, changes and times."""

import itertools
import random
from collections.abc import Iterable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from netns_lab._native._switch import ffi, lib
from netns_lab.internet.switch_model import LINE_QUEUE_NS, Reason, SwitchModel, port_mac

PORTS = 3
POOL = 24  # small: the limits are reached
SEED = 0xFEDCBA9876543210
MILLISECOND = 1_000_000


def mac(port: int) -> bytes:
    return bytes.fromhex(port_mac(port).replace(":", ""))


def frame(source: int, to: int, number: int = 0, *, size: int = 20, kind: bytes = b"\x08\x00") -> bytes:
    return (mac(to) + mac(source) + kind + number.to_bytes(4, "big")).ljust(size, b"\0")


def arp(source: int) -> bytes:
    return b"\xff" * 6 + mac(source) + b"\x08\x06" + bytes(28)


def icmpv6(source: int, kind: int) -> bytes:
    header = bytes([0x60, 0, 0, 0, 0, 24, 58, 255]) + bytes(32)
    return b"\x33\x33\xff\0\0\1" + mac(source) + b"\x86\xdd" + header + bytes([kind]) + bytes(23)


Action = tuple[object, ...]


class NativeSwitch:
    """The C functions behind the interface of the model."""

    def __init__(self, ports: int = PORTS, pool: int = POOL, seed: int = SEED) -> None:
        self._ports = ports
        self._switch = ffi.gc(lib.sw_new(ports, pool, seed), lib.sw_free)

    def _apply(self, **fields: int) -> None:
        assert lib.sw_apply(self._switch, ffi.new("sw_change *", fields), 1) == -1

    def set_link(
        self,
        source: int,
        to: int,
        *,
        delay_ns: int = 0,
        jitter_ns: int = 0,
        pace: int = 0,
        loss: int = 0,
        mtu: int = 1500,
        reorder: bool = False,
    ) -> None:
        kind = lib.SW_SET_LINK
        self._apply(
            **{"kind": kind, "from": source, "to": to, "delay_ns": delay_ns, "jitter_ns": jitter_ns},
            **{"pace": pace, "loss": loss, "mtu": mtu, "on": reorder},
        )

    def set_cut(self, source: int, to: int, cut: bool) -> None:
        self._apply(**{"kind": lib.SW_SET_CUT, "from": source, "to": to, "on": cut})

    def set_silent(self, port: int, silent: bool) -> None:
        self._apply(**{"kind": lib.SW_SET_SILENT, "from": port, "on": silent})

    def set_line(self, port: int, up: int, down: int) -> None:
        self._apply(**{"kind": lib.SW_SET_LINE, "from": port, "pace": up, "down": down})

    def dropped(self) -> list[list[int]]:
        stats, ports = ffi.new("sw_stats *"), ffi.new("sw_port_stats[]", self._ports)
        lib.sw_read_stats(self._switch, stats, ports)
        return [list(port.dropped) for port in ports]

    def receive(self, source: int, data: bytes, now_ns: int) -> int:
        return int(lib.sw_receive(self._switch, source, data, len(data), now_ns))

    def next_due_ns(self) -> int:
        return int(lib.sw_next_due(self._switch))

    def take(self, now_ns: int) -> list[tuple[int, int, bytes]]:
        taken = []
        to, due, out = ffi.new("int *"), ffi.new("int64_t *"), ffi.new("uint8_t[2048]")
        while length := lib.sw_take(self._switch, now_ns, to, due, out):
            taken.append((due[0], to[0], bytes(ffi.buffer(out, length))))
        return taken


_PORT = st.integers(0, PORTS - 1)
_PAIR = st.sampled_from([(a, b) for a in range(PORTS) for b in range(PORTS) if a != b])
_DURATION = st.one_of(st.integers(0, 40), st.integers(0, 50 * MILLISECOND), st.integers(0, 10**9))
# A frame of 100 bytes takes 0, 1 to 100 ms, or anything.
_PACE = st.one_of(st.just(0), st.integers(650_000_000, 65_000_000_000), st.integers(1, (1 << 44) - 1))
_LINK = st.fixed_dictionaries(
    {"delay_ns": _DURATION},
    optional={
        "jitter_ns": _DURATION,
        "pace": _PACE,
        "loss": st.integers(0, 1 << 31),
        "mtu": st.integers(60, 120),
        "reorder": st.booleans(),
    },
)
_KIND = st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x12\x34"])
_ORDINARY = _PAIR.flatmap(
    lambda pair: st.tuples(
        st.just(pair[0]),
        st.builds(frame, *map(st.just, pair), st.integers(0, 1 << 30), size=st.integers(14, 140), kind=_KIND),
    )
)
_STRANGE = st.one_of(
    st.tuples(_PORT, st.builds(frame, _PORT, st.integers(0, PORTS))),  # not its own address, or to no port
    st.tuples(_PORT, st.binary(max_size=60)),
    _PORT.flatmap(
        lambda port: st.tuples(
            st.just(port),
            st.one_of(
                st.builds(icmpv6, st.just(port), st.integers(130, 137)),
                st.builds(frame, st.just(port), _PORT, size=st.integers(1999, 2002)),
                st.binary(max_size=80).map(lambda rest: b"\xff" * 6 + mac(port) + b"\x86\xdd" + rest),
            ),
        )
    ),
)
_COPIES = st.integers(1, 12)
_ACTION = st.one_of(
    *[st.tuples(st.just("frame"), _ORDINARY, _COPIES)] * 4,
    st.tuples(st.just("frame"), _STRANGE, _COPIES),
    st.tuples(st.just("frame"), _PORT.map(lambda port: (port, arp(port))), st.sampled_from([1, 2, 300])),
    st.tuples(st.just("link"), _PAIR, _LINK),
    st.tuples(st.just("cut"), _PAIR, st.booleans()),
    st.tuples(st.just("silent"), _PORT, st.booleans()),
    st.tuples(st.just("line"), _PORT, _PACE, _PACE),
    *[st.tuples(st.just("wait"), _DURATION)] * 3,
)
_BEGINNING = st.tuples(
    *(
        st.tuples(st.just("link"), st.just((a, b)), _LINK)
        for a in range(PORTS)
        for b in range(PORTS)
        if a != b
    )
)


def apply(switch: SwitchModel | NativeSwitch, action: Action) -> None:
    match action:
        case "link", [int(source), int(to)], dict(link):
            switch.set_link(source, to, **link)
        case "cut", [int(source), int(to)], bool(cut):
            switch.set_cut(source, to, cut)
        case "silent", int(port), bool(silent):
            switch.set_silent(port, silent)
        case "line", int(port), int(up), int(down):
            switch.set_line(port, up, down)


def follow(model: SwitchModel, native: NativeSwitch, now: int, actions: Iterable[Action]) -> None:
    """Do the same to both and compare all that can be seen."""
    for action in actions:
        match action:
            case "frame", [int(port), bytes(data)], int(copies):
                for _ in range(copies):
                    assert model.receive(port, data, now) == native.receive(port, data, now)
            case "wait", int(duration):
                now += duration
                assert model.take(now) == native.take(now)
            case _:
                apply(model, action)
                apply(native, action)
        assert model.next_due_ns() == native.next_due_ns()
        assert model.dropped() == native.dropped()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 1 << 62),
    st.sampled_from([24, 2048]),
    _BEGINNING,
    st.lists(_ACTION, max_size=60),
)
def test_native_switch_follows_the_model(
    seed: int, now: int, pool: int, beginning: tuple[Action], actions: list[Action]
) -> None:
    model, native = SwitchModel(PORTS, pool, seed), NativeSwitch(PORTS, pool, seed)
    follow(model, native, now, [*beginning, *actions, ("wait", 1 << 61)])


def drawn(rng: random.Random) -> Iterator[Action]:
    """A lively Internet: links that lose and delay, lines that fill up, cuts, frames of all kinds."""
    pairs = [(a, b) for a in range(PORTS) for b in range(PORTS) if a != b]
    for _ in range(150):
        source, to = rng.choice(pairs)
        size, copies = rng.choice([20, 100, 110]), rng.randrange(1, 10)
        match rng.randrange(16):
            case 0:
                link = {
                    "delay_ns": rng.randrange(50 * MILLISECOND),
                    "jitter_ns": rng.choice([0, rng.randrange(9 * MILLISECOND)]),
                    "pace": rng.choice([0, rng.randrange(1 << 34)]),
                    "loss": rng.choice([0, rng.randrange(1 << 31)]),
                    "mtu": rng.choice([90, 1500]),
                    "reorder": rng.random() < 0.3,
                }
                yield "link", (source, to), link
            case 1:
                yield "cut", (source, to), rng.random() < 0.4
            case 2:
                yield "silent", source, rng.random() < 0.4
            case 3:
                yield "line", source, rng.choice([0, rng.randrange(1 << 34)]), rng.randrange(1 << 34)
            case 4:
                strange = [
                    frame(to, source),
                    frame(source, PORTS),
                    bytes(9),
                    icmpv6(source, rng.randrange(130, 140)),
                ]
                yield "frame", (source, rng.choice(strange)), 1
            case 5:
                yield "frame", (source, arp(source)), rng.choice([1, 1, 1, 300])
            case 6 | 7 | 8:
                yield "wait", rng.choice([rng.randrange(MILLISECOND), rng.randrange(200 * MILLISECOND)])
            case _:
                yield "frame", (source, frame(source, to, size=size)), copies
    yield "wait", 1 << 40


def test_long_runs_in_which_frames_are_dropped_for_every_reason() -> None:
    dropped = [0] * len(Reason)
    for seed in range(30):
        rng = random.Random(seed)
        pool = rng.choice([24, 2048])
        model, native = SwitchModel(PORTS, pool, seed), NativeSwitch(PORTS, pool, seed)
        follow(model, native, rng.randrange(1 << 50), drawn(rng))
        dropped = [sum(each) for each in zip(dropped, *model.dropped(), strict=True)]
    tame = {reason.name: dropped[reason] for reason in Reason if dropped[reason] < 10}
    assert tame == {"PORT": 0}  # the loop's


def test_frames_that_are_due_together_leave_in_the_order_in_which_they_began_to_wait() -> None:
    for switch in (SwitchModel(PORTS, POOL), NativeSwitch()):
        switch.set_line(1, 0, 1 << 16)  # 20 ns per frame
        switch.set_link(2, 0, delay_ns=20)
        switch.receive(0, frame(0, 1), now_ns=0)
        switch.receive(2, frame(2, 0), now_ns=0)
        assert switch.take(0) == []  # the first waits for the line down only now
        assert [to for _, to, _ in switch.take(20)] == [0, 1]


def test_frames_do_not_overtake_those_that_wait_for_a_line_that_got_fast() -> None:
    for switch in (SwitchModel(PORTS, POOL), NativeSwitch()):
        switch.set_line(1, 0, 1 << 16)
        for number in range(3):
            switch.receive(0, frame(0, 1, number), now_ns=0)
        assert switch.take(0) == []
        switch.set_line(1, 0, 0)
        switch.receive(0, frame(0, 1, 3), now_ns=1)
        assert switch.take(1) == []
        assert [due for due, _, _ in switch.take(100)] == [20, 40, 60, 60]


def test_a_lowered_delay_does_not_let_frames_overtake() -> None:
    native = NativeSwitch()
    native.set_link(0, 1, delay_ns=1000)
    native.receive(0, frame(0, 1, 1), now_ns=0)
    native.set_link(0, 1, delay_ns=10)
    native.receive(0, frame(0, 1, 2), now_ns=5)
    assert native.take(999) == []
    assert native.take(1000) == [(1000, 1, frame(0, 1, 1)), (1000, 1, frame(0, 1, 2))]


def test_a_cut_loses_what_is_in_flight_and_a_heal_brings_the_link_back() -> None:
    native = NativeSwitch()
    native.set_link(0, 1, delay_ns=10)
    native.receive(0, frame(0, 1, 1), now_ns=0)
    native.set_cut(0, 1, True)
    assert native.receive(0, frame(0, 1, 2), now_ns=1) == 0
    native.set_cut(0, 1, False)
    assert native.receive(0, frame(0, 1, 3), now_ns=2) == 1
    assert native.take(100) == [(12, 1, frame(0, 1, 3))]
    assert native.dropped()[0][Reason.CUT] == 2


def test_a_silent_port_neither_sends_nor_receives() -> None:
    native = NativeSwitch()
    for source, to in ((0, 1), (1, 0), (2, 0)):
        native.set_link(source, to, delay_ns=10)
        native.receive(source, frame(source, to), now_ns=0)
    native.set_silent(1, True)
    assert native.receive(1, frame(1, 0), now_ns=1) == 0
    assert native.take(20) == [(10, 0, frame(2, 0))]
    native.set_silent(1, False)
    assert native.receive(1, frame(1, 0), now_ns=30) == 1
    assert native.take(40) == [(40, 0, frame(1, 0))]


def test_one_flooded_pair_leaves_buffers_for_the_others() -> None:
    native = NativeSwitch()
    native.set_link(0, 1, delay_ns=10)
    native.set_link(0, 2, delay_ns=10)
    accepted = sum(native.receive(0, frame(0, 1, n), now_ns=0) for n in range(100))
    assert accepted == POOL // 4
    assert native.receive(0, frame(0, 2), now_ns=0) == 1


def test_a_rate_spaces_frames_and_its_queue_holds_100_ms() -> None:
    native = NativeSwitch(pool=4096)
    native.set_link(0, 1, pace=10_000 << 16)  # 0.8 Mbit/s: a frame of 1000 bytes takes 10 ms
    accepted = sum(native.receive(0, frame(0, 1, n, size=1000), now_ns=0) for n in range(100))
    assert [due for due, _, _ in native.take(10**9)] == [10 * MILLISECOND * n for n in range(1, accepted + 1)]
    assert accepted == LINE_QUEUE_NS // (10 * MILLISECOND) + 1
    assert native.dropped()[0][Reason.RATE] == 100 - accepted


def test_frames_do_not_overtake_those_of_a_link_that_reordered_before() -> None:
    native = NativeSwitch()
    native.set_link(0, 1, delay_ns=1000, jitter_ns=1000, reorder=True)
    for number in range(3):
        native.receive(0, frame(0, 1, number), now_ns=0)
    native.set_link(0, 1)
    native.receive(0, frame(0, 1, 3), now_ns=1)
    assert native.take(2000)[-1][2] == frame(0, 1, 3)


def test_pairs_share_the_access_lines_of_their_ports() -> None:
    native = NativeSwitch(pool=4096)
    native.set_line(0, up=8_000 << 16, down=0)
    native.set_line(2, up=0, down=16_000 << 16)
    native.set_link(1, 2, delay_ns=MILLISECOND)
    native.receive(0, frame(0, 1, size=1000), now_ns=0)
    native.receive(0, frame(0, 2, size=1000), now_ns=0)  # waits for the one above
    native.receive(1, frame(1, 2, size=1000), now_ns=0)  # at the line of port 2 after 1 ms, through after 17
    taken = [(due, to) for due, to, _ in native.take(10**9)]
    assert taken == [(8 * MILLISECOND, 1), (17 * MILLISECOND, 2), (33 * MILLISECOND, 2)]


def test_larger_ip_packets_than_the_mtu_vanish_and_other_frames_do_not() -> None:
    native = NativeSwitch()
    native.set_link(0, 1, mtu=1400)
    for kind in (b"\x08\x00", b"\x86\xdd"):
        assert native.receive(0, frame(0, 1, size=1414, kind=kind), now_ns=0) == 1
        assert native.receive(0, frame(0, 1, size=1415, kind=kind), now_ns=0) == 0
    assert native.receive(0, frame(0, 1, size=1415, kind=b"\x08\x06"), now_ns=0) == 1
    assert native.dropped()[0][Reason.MTU] == 2


def test_losses_are_as_many_as_asked_for_and_the_same_for_the_same_seed() -> None:
    def lost(seed: int) -> list[bool]:
        native = NativeSwitch(seed=seed)
        native.set_link(0, 1, loss=(1 << 31) // 10)
        fate = []
        for n in range(20_000):
            fate.append(native.receive(0, frame(0, 1, n), now_ns=n) == 0)
            native.take(n)
        return fate

    assert lost(1) == lost(1) != lost(2)
    assert 1_800 <= sum(lost(1)) <= 2_200


def delays(native: "Jittery", spacing_ns: int, count: int = 4000) -> list[int]:
    """What each frame of a steady flow is delayed by, in the order in which they leave."""
    arrived = []
    for n in range(count):
        assert native.receive(0, frame(0, 1, n), now_ns=n * spacing_ns) == 1
        arrived += native.take(n * spacing_ns)
    arrived += native.take(1 << 60)
    numbers = [int.from_bytes(data[14:18], "big") for _, _, data in arrived]
    assert sorted(numbers) == list(range(count))
    overtaken = any(earlier > later for earlier, later in itertools.pairwise(numbers))
    assert overtaken == native.reorders
    return [due - number * spacing_ns for (due, _, _), number in zip(arrived, numbers, strict=True)]


class Jittery(NativeSwitch):
    """10 ms and up to 2 ms from port 0 to port 1."""

    def __init__(self, *, reorders: bool) -> None:
        super().__init__(pool=32768)
        self.reorders = reorders
        self.set_link(0, 1, delay_ns=10 * MILLISECOND, jitter_ns=2 * MILLISECOND, reorder=reorders)


def test_jitter_keeps_order_and_its_mean_at_any_packet_rate() -> None:
    for spacing_ns in (20_000, MILLISECOND, 10 * MILLISECOND):
        seen = delays(Jittery(reorders=False), spacing_ns)
        assert min(seen) >= 10 * MILLISECOND
        assert max(seen) < 12 * MILLISECOND
        assert max(seen) - min(seen) > MILLISECOND
        assert abs(sum(seen) / len(seen) - 11 * MILLISECOND) < 0.3 * MILLISECOND


def test_jitter_reorders_only_where_asked() -> None:
    seen = delays(Jittery(reorders=True), MILLISECOND // 4)
    assert min(seen) >= 10 * MILLISECOND
    assert max(seen) < 12 * MILLISECOND
    assert abs(sum(seen) / len(seen) - 11 * MILLISECOND) < 0.1 * MILLISECOND


def test_only_arp_and_neighbour_discovery_are_flooded_and_not_without_end() -> None:
    native = NativeSwitch(pool=4096)
    assert native.receive(0, arp(0), now_ns=0) == PORTS - 1
    assert native.receive(0, icmpv6(0, 135), now_ns=0) == PORTS - 1
    assert native.receive(0, icmpv6(0, 133), now_ns=0) == 0  # router solicitation
    assert native.receive(0, icmpv6(0, 135)[:54], now_ns=0) == 0
    sent = sum(native.receive(0, arp(0), now_ns=0) > 0 for _ in range(1000))
    assert sent == 256 - 1
    assert native.receive(1, arp(1), now_ns=0) == PORTS - 1  # each port has its own share
    assert native.receive(0, arp(0), now_ns=10**9) == PORTS - 1
    assert native.dropped()[0][Reason.MULTICAST] == 2
    assert native.dropped()[0][Reason.FLOOD] == 1000 - sent


def test_frames_under_a_foreign_address_are_dropped() -> None:
    native = NativeSwitch()
    assert native.receive(0, frame(2, 1), now_ns=0) == 0
    assert native.dropped()[0][Reason.SOURCE] == 1


def test_a_wrong_change_is_named_and_none_is_applied() -> None:
    switch = ffi.gc(lib.sw_new(PORTS, POOL, 0), lib.sw_free)
    good = {"kind": lib.SW_SET_CUT, "from": 0, "to": 1, "on": 1}
    for wrong in (
        {"kind": lib.SW_SET_CUT, "from": 0, "to": PORTS},
        {"kind": lib.SW_SET_CUT, "from": -1, "to": 0},
        {"kind": lib.SW_SET_CUT, "from": 1, "to": 1},
        {"kind": lib.SW_SET_LINK, "from": 0, "to": 1, "mtu": 0},
        {"kind": lib.SW_SET_LINK, "from": 0, "to": 1, "mtu": 1500, "delay_ns": -1},
        {"kind": lib.SW_SET_LINK, "from": 0, "to": 1, "mtu": 1500, "loss": (1 << 31) + 1},
        {"kind": lib.SW_SET_LINE, "from": 0, "pace": -1},
        {"kind": 99, "from": 0, "to": 1},
    ):
        assert lib.sw_apply(switch, ffi.new("sw_change[]", [good, wrong]), 2) == 1, wrong
    data = frame(0, 1)
    assert lib.sw_receive(switch, 0, data, len(data), 0) == 1  # not cut


def test_reasons_have_the_same_numbers_in_c() -> None:
    assert {reason: int(getattr(lib, f"SW_{reason.name}")) for reason in Reason} == {
        r: r.value for r in Reason
    }
    assert len(Reason) == lib.SW_REASONS
