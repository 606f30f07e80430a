"""The discipline of ``_native/switch.c`` in plain Python: what the C must do, held to it by tests.

Pure: frames and times go in, frames come out.  Times in ns on any clock.
"""

from collections import deque
from dataclasses import dataclass, field

MAC_PREFIX = bytes.fromhex("026c6162")  # locally administered; the port's number follows
FRAME_MIN, FRAME_MAX = 14, 2000
POOL_SHARE = 4  # one pair holds at most 1/POOL_SHARE of the pool


def port_mac(port: int) -> str:
    """The MAC address that the host behind a port must have."""
    return (MAC_PREFIX + port.to_bytes(2, "big")).hex(":")


@dataclass(slots=True)
class _Pair:
    delay_ns: int = 0
    last_due_ns: int = 0
    frames: deque[tuple[int, bytes]] = field(default_factory=deque)  # (due_ns, frame)


class SwitchModel:
    """A switch of ``ports`` ports whose pairs delay frames; a negative delay cuts a pair."""

    def __init__(self, ports: int, pool_frames: int) -> None:
        self._ports = ports
        self._pool_frames = pool_frames
        self._pairs = {(a, b): _Pair() for a in range(ports) for b in range(ports)}

    def set_delay(self, source: int, to: int, delay_ns: int) -> None:
        """Applies to frames that arrive from now on; those in flight keep their time, or are cut."""
        self._pairs[source, to].delay_ns = delay_ns

    def receive(self, source: int, frame: bytes, now_ns: int) -> int:
        """A frame arrived on a port; returns to how many ports it is on its way."""
        if not FRAME_MIN <= len(frame) <= FRAME_MAX:
            return 0
        if frame[0] & 1:
            others = (port for port in range(self._ports) if port != source)
            return sum(self._enqueue(source, port, frame, now_ns) for port in others)
        to = int.from_bytes(frame[4:6], "big")
        if frame[:4] != MAC_PREFIX or to >= self._ports or to == source:
            return 0
        return self._enqueue(source, to, frame, now_ns)

    def next_due_ns(self) -> int:
        """When the next frame is due; -1: none in flight."""
        return min((pair.frames[0][0] for pair in self._pairs.values() if pair.frames), default=-1)

    def take(self, now_ns: int) -> list[tuple[int, int, bytes]]:
        """All frames due by now, as (due_ns, port, frame), in order of their due time."""
        due = []
        for (_, to), pair in self._pairs.items():
            while pair.frames and pair.frames[0][0] <= now_ns:
                due_ns, frame = pair.frames.popleft()
                if pair.delay_ns >= 0:
                    due.append((due_ns, to, frame))
        return sorted(due, key=lambda item: item[0])

    def _enqueue(self, source: int, to: int, frame: bytes, now_ns: int) -> int:
        pair = self._pairs[source, to]
        in_flight = sum(len(each.frames) for each in self._pairs.values())
        if pair.delay_ns < 0 or in_flight >= self._pool_frames:
            return 0
        if len(pair.frames) >= self._pool_frames // POOL_SHARE:
            return 0
        pair.last_due_ns = max(pair.last_due_ns, now_ns + pair.delay_ns)
        pair.frames.append((pair.last_due_ns, frame))
        return 1
