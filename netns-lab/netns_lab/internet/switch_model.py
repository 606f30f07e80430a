"""The discipline of ``_native/switch.c`` in plain Python: what the C must do, held to it by tests.

Pure: frames and times go in, frames come out.  Times in ns on any clock, rates as *pace*: 65536ths of a ns
per byte, 0 for no limit.  Everything in flight is one list here; the C keeps FIFOs in a heap.

Jitter that keeps the order is not drawn per packet: at many packets per jitter each would wait for the
slowest before it, all would have nearly the whole jitter and travel in bursts.  It walks instead between
random heights, one each two jitters: half of the jitter on average at any packet rate, and packets that are
close fare alike.
"""

from dataclasses import dataclass, field
from enum import IntEnum

MAC_PREFIX = bytes.fromhex("026c6162")  # locally administered; the port's number follows
HEADER, FRAME_MAX = 14, 2000
POOL_SHARE = 4  # one pair holds at most 1/POOL_SHARE of the pool
LINE_QUEUE_NS = 100_000_000
FLOOD_NS, FLOOD_BURST_NS = 3_906_250, 1_000_000_000  # per port: 256 group-addressed frames per second
_IP = (b"\x08\x00", b"\x86\xdd")
_ARP = b"\x08\x06"
_ICMPV6, _NEIGHBOUR = 58, (135, 136)
_MASK = (1 << 64) - 1


class Reason(IntEnum):
    """Why a frame was dropped."""

    MALFORMED = 0  # runt or too long
    SOURCE = 1  # not from the MAC address that belongs to its port
    UNKNOWN = 2  # addressed to no port
    MULTICAST = 3  # to a group address, and neither ARP nor neighbour discovery
    FLOOD = 4  # more of these than FLOOD_NS allows
    SILENT = 5  # its port, or the one it was for, is silent
    CUT = 6  # the pair is cut, or was while the frame was in flight
    MTU = 7  # larger than the path's MTU
    LOSS = 8  # chance
    RATE = 9  # too many were waiting for a line
    FULL = 10  # no buffer left, or the pair holds its share of them
    PORT = 11  # the receiving interface refused it: down or gone


def port_mac(port: int) -> str:
    """The MAC address that the host behind a port must have."""
    return (MAC_PREFIX + port.to_bytes(2, "big")).hex(":")


@dataclass(slots=True)
class _Rate:
    pace: int = 0
    free_ns: int = 0

    def pass_(self, length: int, at_ns: int) -> int | None:
        """When a frame that comes at that time is through; None: too many wait already."""
        if not self.pace:
            return at_ns
        start_ns = max(self.free_ns, at_ns)
        if start_ns - at_ns > LINE_QUEUE_NS:
            return None
        self.free_ns = start_ns + (length * self.pace >> 16)
        return self.free_ns


@dataclass(slots=True)
class _Pair:
    index: int
    rate: _Rate = field(default_factory=_Rate)
    delay_ns: int = 0
    jitter_ns: int = 0
    loss: int = 0
    mtu: int = 0  # 0: not set yet
    reorder: bool = False
    cut: bool = False
    generation: int = 0
    offered: int = 0
    last_due_ns: int = 0


@dataclass(slots=True)
class _Port:
    up: _Rate = field(default_factory=_Rate)
    down: _Rate = field(default_factory=_Rate)
    last_due_ns: int = 0
    waiting: int = 0
    flood_ns: int = 0
    silent: bool = False
    dropped: list[int] = field(default_factory=lambda: [0] * len(Reason))


@dataclass(slots=True)
class _Flight:
    due_ns: int
    serial: int
    source: int
    to: int
    generation: int
    frame: bytes
    at_port: bool = False  # on the line down


class SwitchModel:
    """A switch of ``ports`` ports; what it drops is counted at the port that the frame came from."""

    def __init__(self, ports: int, pool_frames: int, seed: int = 0) -> None:
        self._pool_frames = pool_frames
        self._seed = seed
        self._serial = 0
        self._flights: list[_Flight] = []
        self._pairs = {(a, b): _Pair(a * ports + b) for a in range(ports) for b in range(ports)}
        self._ports = [_Port() for _ in range(ports)]

    def set_link(
        self,
        source: int,
        to: int,
        *,
        delay_ns: int = 0,
        jitter_ns: int = 0,
        pace: int = 0,
        loss: int = 0,  # in 2^31sts
        mtu: int = 1500,
        reorder: bool = False,
    ) -> None:
        """Applies to frames that arrive from now on; those in flight keep their time."""
        pair = self._pairs[source, to]
        pair.delay_ns, pair.jitter_ns, pair.rate.pace = delay_ns, jitter_ns, pace
        pair.loss, pair.mtu, pair.reorder = loss, mtu, reorder

    def set_cut(self, source: int, to: int, cut: bool) -> None:
        """Cut one direction of a pair, with what is in flight on it, or heal it."""
        pair = self._pairs[source, to]
        pair.cut = cut
        pair.generation += cut

    def set_silent(self, port: int, silent: bool) -> None:
        """Drop what comes from a port, and what is due at it or came from it; or no longer."""
        self._ports[port].silent = silent

    def set_line(self, port: int, up: int, down: int) -> None:
        """Set the paces of a port's access line."""
        self._ports[port].up.pace, self._ports[port].down.pace = up, down

    def dropped(self) -> list[list[int]]:
        """For each port and each reason, how many frames that came from it were dropped."""
        return [port.dropped for port in self._ports]

    def receive(self, source: int, frame: bytes, now_ns: int) -> int:
        """A frame arrived on a port; returns to how many ports it is on its way."""
        destinations = self._destinations(source, frame, now_ns)
        if isinstance(destinations, Reason):
            return self._drop(source, destinations)
        at_ns = self._ports[source].up.pass_(len(frame), now_ns)
        if at_ns is None:
            return self._drop(source, Reason.RATE)
        return sum(self._send(source, to, frame, at_ns) for to in destinations)

    def next_due_ns(self) -> int:
        """When the next frame is due; -1: none in flight."""
        return min((flight.due_ns for flight in self._flights), default=-1)

    def take(self, now_ns: int) -> list[tuple[int, int, bytes]]:
        """All frames due by now, as (due_ns, port, frame), in the order in which they leave."""
        taken = []
        while self._flights:
            flight = min(self._flights, key=lambda each: (each.due_ns, each.serial))
            if flight.due_ns > now_ns:
                break
            self._flights.remove(flight)
            if self._arrives(flight):
                taken.append((flight.due_ns, flight.to, flight.frame))
        return taken

    def _destinations(  # noqa: PLR0911 - one reason after the other, as in the C
        self, source: int, frame: bytes, now_ns: int
    ) -> list[int] | Reason:
        """The ports that a frame is for, or why it is dropped at once."""
        port = self._ports[source]
        to = int.from_bytes(frame[4:6], "big")
        if not HEADER <= len(frame) <= FRAME_MAX:
            return Reason.MALFORMED
        if frame[6:12] != MAC_PREFIX + source.to_bytes(2, "big"):
            return Reason.SOURCE
        if port.silent:
            return Reason.SILENT
        if frame[0] & 1:
            if not _searches_neighbour(frame):
                return Reason.MULTICAST
            if port.flood_ns > now_ns + FLOOD_BURST_NS:
                return Reason.FLOOD
            port.flood_ns = max(port.flood_ns, now_ns) + FLOOD_NS
            return [other for other in range(len(self._ports)) if other != source]
        known = frame[:4] == MAC_PREFIX and to < len(self._ports) and to != source
        return [to] if known else Reason.UNKNOWN

    def _drop(self, source: int, reason: Reason) -> int:
        self._ports[source].dropped[reason] += 1
        return 0

    def _send(self, source: int, to: int, frame: bytes, at_ns: int) -> int:
        pair = self._pairs[source, to]
        if pair.cut:
            return self._drop(source, Reason.CUT)
        if pair.mtu and len(frame) > pair.mtu + HEADER and frame[12:14] in _IP:
            return self._drop(source, Reason.MTU)
        luck = 0
        if pair.loss or pair.reorder:
            luck = self._chance(pair, 0, pair.offered)
            pair.offered = (pair.offered + 1) & 0xFFFFFFFF
        if luck >> 33 < pair.loss:
            return self._drop(source, Reason.LOSS)
        through_ns = pair.rate.pass_(len(frame), at_ns)
        if through_ns is None:
            return self._drop(source, Reason.RATE)
        held = sum((flight.source, flight.to) == (source, to) for flight in self._flights)
        if held >= self._pool_frames // POOL_SHARE or len(self._flights) >= self._pool_frames:
            return self._drop(source, Reason.FULL)
        if pair.reorder:
            due_ns = through_ns + pair.delay_ns + (pair.jitter_ns * (luck & 0xFFFF) >> 16)
        else:
            due_ns = max(pair.last_due_ns, through_ns + pair.delay_ns + self._wander(pair, through_ns))
        pair.last_due_ns = max(pair.last_due_ns, due_ns)
        self._flights.append(_Flight(due_ns, self._serial, source, to, pair.generation, frame))
        self._serial += 1
        return 1

    def _arrives(self, flight: _Flight) -> bool:
        """Whether a frame that is due leaves the switch now."""
        pair, port = self._pairs[flight.source, flight.to], self._ports[flight.to]
        port.waiting -= flight.at_port
        if flight.generation != pair.generation:
            self._drop(flight.source, Reason.CUT)
        elif port.silent or self._ports[flight.source].silent:
            self._drop(flight.source, Reason.SILENT)
        elif flight.at_port or not (port.down.pace or port.waiting):
            return True
        elif (through_ns := port.down.pass_(len(flight.frame), flight.due_ns)) is None:
            self._drop(flight.source, Reason.RATE)
        else:
            port.last_due_ns = flight.due_ns = max(port.last_due_ns, through_ns)
            port.waiting += 1
            flight.at_port, flight.serial = True, self._serial
            self._serial += 1
            self._flights.append(flight)
        return False

    def _chance(self, pair: _Pair, stream: int, index: int) -> int:
        """64 random bits for each (seed, pair, stream, index): the finisher of splitmix64."""
        x = self._seed + ((pair.index << 1 | stream) << 32 | index) * 0x9E3779B97F4A7C15 & _MASK
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
        return x ^ x >> 31

    def _wander(self, pair: _Pair, at_ns: int) -> int:
        """What is added to the delay of a frame that passes at that time."""
        if not pair.jitter_ns:
            return 0
        step, into_ns = divmod(at_ns, step_ns := 2 * pair.jitter_ns)
        left = self._chance(pair, 1, step & 0xFFFFFFFF) & 0xFFFF
        right = self._chance(pair, 1, (step + 1) & 0xFFFFFFFF) & 0xFFFF
        return pair.jitter_ns * ((left * (step_ns - into_ns) + right * into_ns) // step_ns) >> 16


def _searches_neighbour(frame: bytes) -> bool:
    """ARP, or IPv6 neighbour discovery: all that sites need to say to everybody."""
    if frame[12:14] == _ARP:
        return True
    return (
        frame[12:14] == b"\x86\xdd" and len(frame) > 54 and frame[20] == _ICMPV6 and frame[54] in _NEIGHBOUR
    )
