"""The thread that probes tunnels: it decides as its reference in Python, and real kernels answer it."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import RouterError
from re6stnet._native._prober import ffi, lib
from re6stnet.adapters.prober import Prober
from re6stnet.engine.messages import TunnelAnswers, TunnelSilent
from re6stnet.engine.probing import MAX_TARGETS, Probing
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces
from tests.helpers.node_fakes import Collected

LEFT = IPv6Address("fe80::1")
PEER = IPv6Address("fe80::2")
OTHER = IPv6Address("fe80::3")
ECHO_REQUEST = 128
COMPARED = (
    "silent",
    "declared",
    "doubt",
    "srtt",
    "rttvar",
    "interval",
    "loss",
    "sent",
    "answered",
    "heard_sent",
)


class ByHand:
    """The C prober without its thread, and the reference: whatever is done is done to both and compared."""

    def __init__(self) -> None:
        self.prober = lib.prober_new()
        self.reference = Probing()

    def add(self, tag: int, now: int) -> None:
        added = lib.prober_add(self.prober, tag, b"", bytes(16), now) == 0
        assert added == self.reference.add(tag, now)

    def remove(self, tag: int, now: int) -> None:
        lib.prober_remove(self.prober, tag, now)
        self.reference.remove(tag, now)

    def use(self, tag: int, traffic: bool, now: int) -> None:
        lib.prober_use(self.prober, tag, traffic, now)
        self.reference.use(tag, now, traffic=traffic)

    def due(self) -> int | None:
        due = lib.prober_due(self.prober)
        assert (None if due < 0 else due) == self.reference.due
        return self.reference.due

    def step(self, now: int) -> list[tuple[int, int]]:
        sends = ffi.new("prober_send[]", MAX_TARGETS * 5)
        count = lib.prober_step(self.prober, now, sends, MAX_TARGETS * 5)
        sent = [(s.tag, s.seq) for s in sends[0:count]]
        assert sent == self.reference.step(now)
        return sent

    def answer(self, tag: int, seq: int, now: int) -> None:
        assert bool(lib.prober_answer(self.prober, tag, seq, now)) == self.reference.answer(tag, seq, now)

    def compare(self) -> None:
        news, late = ffi.new("prober_news[]", MAX_TARGETS), ffi.new("int64_t *")
        was_late = self.reference.late
        count = lib.prober_take(self.prober, news, late)
        told = [(n.tag, bool(n.silent), bool(n.witnessed)) for n in news[0:count]]
        assert told == self.reference.take()
        assert late[0] == was_late
        stats = ffi.new("prober_stats *")
        for target in self.reference.targets:
            assert lib.prober_get_stats(self.prober, target.tag, stats) == 0
            expected = [int(getattr(target, name)) for name in COMPARED]
            assert [getattr(stats, name) for name in COMPARED] == expected
            assert (stats.timeout, stats.need) == (target.timeout(self.reference.margin), target.need)


Step = tuple[str, int, int, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(("run", "run", "run", "slow", "late", "add", "remove", "use", "answer")),
        st.integers(1, 8),
        st.integers(-1, 1),
        st.integers(0, 400_000),
    ),
    max_size=200,
)


@given(STEPS, st.lists(st.one_of(st.none(), st.integers(0, 700_000)), min_size=1, max_size=50))
def test_the_thread_decides_as_its_reference(steps: list[Step], answers: list[int | None]) -> None:
    both = ByHand()
    now, fate, under_way = 1_000_000, 0, list[tuple[int, int, int]]()
    for number in range(1, 4):
        both.add(number, now)
    for kind, tag, flag, number in steps:
        match kind:
            case "run" | "slow" | "late":
                now = max(now, both.due() or now) + number // {"run": 1000, "slow": 10, "late": 1}[kind]
                for at, of, seq in sorted(w for w in under_way if w[0] <= now):
                    both.answer(of, seq, at)
                under_way = [w for w in under_way if w[0] > now]
                for of, seq in both.step(now):
                    after, fate = answers[fate % len(answers)], fate + 1
                    under_way += [] if after is None else [(now + after, of, seq)]
            case "add" if all(t.tag != 100 + number % 70 for t in both.reference.targets):
                both.add(100 + number % 70, now)
            case "remove":
                both.remove(tag, now)
            case "use":
                both.use(tag, bool(flag), now)
            case "answer":
                both.answer(tag, number % 40, now)
        both.compare()
    lib.prober_free(both.prober)


def test_the_thread_has_room_for_as_many_as_the_reference() -> None:
    both = ByHand()
    for tag in range(MAX_TARGETS + 3):
        both.add(tag, 1)
    both.remove(5, 1)
    both.compare()
    lib.prober_free(both.prober)


# --- with real kernels --------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[list[TestNamespace]]:
    """Two machines; only the left one has its link-local address yet."""
    with namespaces(2) as made:
        connect(*made)
        made[0].run("ip addr add fe80::1/64 dev wire nodad")
        yield made


@pytest.fixture
async def prober(ends: list[TestNamespace]) -> AsyncIterator[tuple[Prober, Collected]]:
    """Of the left one, which is entered."""
    told = Collected()
    made = Prober(told)
    with ends[0].entered():
        made.start()
        yield made, told
        made.close()


@contextlib.contextmanager
def raw_socket(end: TestNamespace, address: IPv6Address) -> Iterator[socket.socket]:
    """ICMPv6 from this address."""
    with end.entered():
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex("wire")
    with made:
        made.setblocking(False)
        made.bind((str(address), 0, 0, index))
        made.connect((str(LEFT), 0, 0, index))
        yield made


async def next_request(raw: socket.socket) -> tuple[int, bytes]:
    """The identifier of the next echo request, and what comes after it."""
    async with asyncio.timeout(5):
        while True:
            data = await asyncio.get_running_loop().sock_recv(raw, 100)
            if data[0] == ECHO_REQUEST:
                return int.from_bytes(data[4:6]), data[6:]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - something outside this process is waited for
            await asyncio.sleep(0.01)


@pytest.mark.root
async def test_a_peer_answers_falls_silent_and_answers_again(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    ends[1].run(f"ip addr add {PEER}/64 dev wire nodad")
    ends[1].run(f"ip addr add {OTHER}/64 dev wire nodad")
    probes.add("a", "wire", PEER)
    probes.add("b", "wire", OTHER)
    assert {await told.next(), await told.next()} == {TunnelAnswers("a"), TunnelAnswers("b")}
    ends[1].run(f"ip addr del {PEER}/64 dev wire")
    assert await told.next() == TunnelSilent("a", witnessed=True)
    ends[1].run(f"ip addr add {PEER}/64 dev wire nodad")
    assert await told.next() == TunnelAnswers("a")
    seen = probes.probes("a")
    assert seen is not None
    assert seen.rtt_us is not None
    assert 0 < seen.rtt_us < 1_000_000
    assert seen.answered < seen.sent
    assert not seen.silent
    assert told.waiting() == []


@pytest.mark.root
async def test_when_the_cable_is_cut_no_peer_is_accused(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    for nonce, address in (("a", PEER), ("b", OTHER)):
        ends[1].run(f"ip addr add {address}/64 dev wire nodad")
        probes.add(nonce, "wire", address)
    assert {await told.next(), await told.next()} == {TunnelAnswers("a"), TunnelAnswers("b")}
    ends[1].run("ip link set wire down")
    silent = {await told.next(), await told.next()}
    assert silent == {TunnelSilent("a", witnessed=False), TunnelSilent("b", witnessed=False)}


@pytest.mark.root
async def test_another_address_of_the_peer_is_not_an_answer(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    ends[1].run(f"ip addr add {OTHER}/64 dev wire nodad")
    probes.add("a", "wire", PEER)
    assert "64 bytes from fe80::3" in ends[0].run("ping -c 1 -W 5 fe80::3%wire")
    await until(lambda: (seen := probes.probes("a")) is not None and seen.sent > 2)
    seen = probes.probes("a")
    assert seen is not None
    assert seen.foreign == 0, "it does not even reach the thread"
    assert told.events == []


@pytest.mark.root
async def test_answers_that_were_guessed_count_for_nothing_and_a_flood_of_them_costs_little(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    ends[1].run(f"ip addr add {PEER}/64 dev wire nodad")
    ends[1].run("sysctl -qw net.ipv6.icmp.echo_ignore_all=1")
    with raw_socket(ends[1], PEER) as raw:
        probes.add("a", "wire", PEER)
        identifier, _ = await next_request(raw)
        before = os.times()
        for number in range(20_000):
            guess = struct.pack("!BBHHH", 129, 0, 0, identifier, number & 0xF) + os.urandom(16)
            with contextlib.suppress(OSError):
                raw.send(guess)
    await until(lambda: (seen := probes.probes("a")) is not None and seen.foreign >= 64)
    seen = probes.probes("a")
    assert seen is not None
    assert seen.foreign <= 64 * (seen.sent + 1), "read no faster than this"
    assert seen.answered == 0
    assert told.events == []
    assert os.times().user - before.user < 5


@pytest.mark.root
@pytest.mark.parametrize("forged", [OTHER, PEER])
async def test_who_floods_a_device_that_several_share_silences_nobody_else(
    ends: list[TestNamespace], prober: tuple[Prober, Collected], forged: IPv6Address
) -> None:
    """Between a probe and its answer there is time for more packets than its socket takes."""
    probes, told = prober
    for address in (PEER, OTHER):
        ends[1].run(f"ip addr add {address}/64 dev wire nodad")
    ends[1].run("sysctl -qw net.ipv6.icmp.echo_ignore_all=1")
    with raw_socket(ends[1], PEER) as answering, raw_socket(ends[1], forged) as flooding:
        probes.add("a", "wire", PEER)
        for _ in range(5):
            identifier, rest = await next_request(answering)
            for number in range(200):
                guess = struct.pack("!BBHHH", 129, 0, 0, identifier + 1 & 0xFFFF, number) + bytes(16)
                flooding.send(guess)
            answering.send(struct.pack("!BBHH", 129, 0, 0, identifier) + rest)
    seen = probes.probes("a")
    assert seen is not None
    assert seen.answered >= 4
    assert seen.foreign == 0
    assert told.events == [TunnelAnswers("a")]


@pytest.mark.root
async def test_a_device_that_does_not_exist_is_one_error(prober: tuple[Prober, Collected]) -> None:
    probes, _ = prober
    with pytest.raises(RouterError, match="re6stnone: "):
        probes.add("a", "re6stnone", PEER)
    assert probes.probes("a") is None


@pytest.mark.root
async def test_a_device_that_goes_away_is_silence(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    ends[1].run(f"ip addr add {PEER}/64 dev wire nodad")
    probes.add("a", "wire", PEER)
    assert await told.next() == TunnelAnswers("a")
    ends[0].run("ip link del wire")
    assert await told.next() == TunnelSilent("a", witnessed=False)
    probes.remove("a")
    probes.remove("a")
    assert probes.probes("a") is None


@pytest.mark.root
async def test_traffic_of_others_brings_more_probes(
    ends: list[TestNamespace], prober: tuple[Prober, Collected]
) -> None:
    probes, told = prober
    ends[1].run(f"ip addr add {PEER}/64 dev wire nodad")
    probes.add("a", "wire", PEER)
    assert await told.next() == TunnelAnswers("a")
    stats = ffi.new("prober_stats *")

    def interval() -> int:
        lib.prober_get_stats(probes._prober, probes._tags["a"], stats)
        return int(stats.interval)

    await until(lambda: interval() == 1_000_000)
    with ends[0].entered():
        flood = await asyncio.create_subprocess_exec(
            *["ping", "-q", "-i", "0.002", "-w", "10", "192.0.2.2"], stdout=asyncio.subprocess.DEVNULL
        )
    await until(lambda: interval() == 250_000)
    flood.kill()
    await flood.wait()


async def test_a_prober_that_finds_no_memory_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def prober_new() -> object:
            return ffi.NULL

    made = Prober(Collected())
    with monkeypatch.context() as patch:
        patch.setattr("re6stnet.adapters.prober.lib", Library)
        with pytest.raises(MemoryError):
            made.start()
    made.close()
