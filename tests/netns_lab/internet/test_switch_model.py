"""The switch in C does what its model in Python says, for any sequence of frames, delays and times."""

from hypothesis import given, settings
from hypothesis import strategies as st

from netns_lab._native._switch import ffi, lib
from netns_lab.internet.switch_model import SwitchModel, port_mac

PORTS = 3
POOL = 24  # small: the limits are reached


def frame(to: int, number: int) -> bytes:
    return bytes.fromhex(port_mac(to).replace(":", "")) + bytes(6) + number.to_bytes(4, "big")


class NativeSwitch:
    """The C functions behind the interface of the model."""

    def __init__(self) -> None:
        self._switch = ffi.gc(lib.sw_new(PORTS, POOL), lib.sw_free)

    def set_delay(self, source: int, to: int, delay_ns: int) -> None:
        lib.sw_set_delay(self._switch, source, to, delay_ns)

    def receive(self, source: int, data: bytes, now_ns: int) -> int:
        return int(lib.sw_receive(self._switch, source, data, len(data), now_ns))

    def next_due_ns(self) -> int:
        return int(lib.sw_next_due(self._switch))

    def take(self, now_ns: int) -> list[tuple[int, bytes]]:
        taken = []
        to, out = ffi.new("int *"), ffi.new("uint8_t[2048]")
        while length := lib.sw_take(self._switch, now_ns, to, out):
            taken.append((to[0], bytes(ffi.buffer(out, length))))
        return taken


_PORT = st.integers(0, PORTS - 1)
_DATA = st.one_of(
    st.builds(frame, _PORT, st.integers(0, 1 << 30)),
    st.just(b"\xff" * 6 + bytes(10)),  # broadcast
    st.just(frame(PORTS, 0)),  # to no port
    st.binary(max_size=13),
    st.just(frame(1, 1) + bytes(2000)),  # too long
)
_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("delay"), _PORT, _PORT, st.integers(-1, 40)),
        st.tuples(st.just("frame"), _PORT, _DATA, st.integers(1, 12)),
        st.tuples(st.just("wait"), st.integers(0, 30)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(_ACTIONS)
def test_native_switch_follows_the_model(actions: list[tuple[object, ...]]) -> None:
    model, native = SwitchModel(PORTS, POOL), NativeSwitch()
    now = 0
    for kind, *values in [*actions, ("wait", 100)]:
        match kind, values:
            case "delay", [int(source), int(to), int(delay)]:
                model.set_delay(source, to, delay)
                native.set_delay(source, to, delay)
            case "frame", [int(source), bytes(data), int(copies)]:
                for _ in range(copies):
                    assert model.receive(source, data, now) == native.receive(source, data, now)
            case "wait", [int(duration)]:
                now += duration
                expected = model.take(now)
                # Frames of different pairs that are due at the same instant may leave in any order.
                taken = native.take(now)
                assert sorted(taken) == sorted((to, data) for _, to, data in expected)
        assert model.next_due_ns() == native.next_due_ns()


def test_a_lowered_delay_does_not_let_frames_overtake() -> None:
    native = NativeSwitch()
    native.set_delay(0, 1, 1000)
    native.receive(0, frame(1, 1), now_ns=0)
    native.set_delay(0, 1, 10)
    native.receive(0, frame(1, 2), now_ns=5)
    assert native.take(999) == []
    assert native.take(1000) == [(1, frame(1, 1)), (1, frame(1, 2))]


def test_a_cut_loses_what_is_in_flight_and_what_comes() -> None:
    native = NativeSwitch()
    native.set_delay(0, 1, 10)
    native.receive(0, frame(1, 1), now_ns=0)
    native.set_delay(0, 1, -1)
    assert native.receive(0, frame(1, 2), now_ns=1) == 0
    assert native.take(100) == []


def test_one_flooded_pair_leaves_buffers_for_the_others() -> None:
    native = NativeSwitch()
    native.set_delay(0, 1, 10)
    native.set_delay(0, 2, 10)
    accepted = sum(native.receive(0, frame(1, n), now_ns=0) for n in range(100))
    assert accepted == POOL // 4
    assert native.receive(0, frame(2, 0), now_ns=0) == 1
