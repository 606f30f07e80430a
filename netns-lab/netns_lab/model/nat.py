"""NAT boxes of the model: mappings, filters and their time-outs (RFC 4787), for each behaviour the lab knows.

    inside (10.0.0.2, 1194) --outbound--> mapping --> outside (198.18.0.7, 1194) --> remote
                            <--inbound--- filter  <---------------------------------

What a mapping and a filter depend on is the :class:`~netns_lab.boxes.behaviour.Behaviour` of the box.
"""

import math
import random
from dataclasses import dataclass, field

from netns_lab.boxes.behaviour import Behaviour, Depends

Address = tuple[int, int]
"""IPv4 address as a number, and port."""

FIRST_PORT, LAST_PORT = 1024, 65535
UDP_TIMEOUT_S = 120.0
"""RFC 4787 section 4.3, REQ-5: at least two minutes."""
TCP_TIMEOUT_S = 7440.0
"""RFC 5382 section 5, REQ-5: at least two hours and four minutes."""
_ANY: Address = (0, 0)


def part_of(remote: Address, depends: Depends) -> Address:
    """The part of a remote address that counts."""
    if depends is Depends.NOTHING:
        return _ANY
    return (remote[0], 0) if depends is Depends.ADDRESS else remote


@dataclass(slots=True)
class _Mapping:
    protocol: str
    inside: Address
    port: int
    out: tuple[str, int, Address]
    sent: dict[Address, float] = field(default_factory=dict)
    """Remotes to whom the inside host sent, and when last; infinite: it goes on sending."""

    def is_over(self, now: float) -> bool:
        return max(self.sent.values()) + timeout_s(self.protocol) < now


class Nat:
    """One box; ``outside``: its address as a number."""

    def __init__(self, behaviour: Behaviour, outside: int, rng: random.Random) -> None:
        self.behaviour = behaviour
        self.outside = outside
        self._rng = rng
        self._by_inside: dict[tuple[str, Address, Address], _Mapping] = {}
        self._by_outside: dict[tuple[str, int, Address], _Mapping] = {}

    def __len__(self) -> int:
        return len(self._by_outside)

    def outbound(
        self, protocol: str, inside: Address, remote: Address, now: float, *, keep: bool = False
    ) -> Address:
        """Send a packet out; return the source that the world sees.

        ``keep``: more packets follow, so often that nothing times out, until :meth:`release`.
        """
        key = self._key(protocol, inside, remote)
        mapping = self._by_inside.get(key)
        if mapping is None or mapping.is_over(now):
            self._forget_old(now)
            out = self._free(protocol, inside[1], remote)
            mapping = _Mapping(protocol, inside, out[1], out)
            self._by_inside[key] = self._by_outside[out] = mapping
        mapping.sent[remote] = math.inf if keep or mapping.sent.get(remote) == math.inf else now
        return self.outside, mapping.port

    def inbound(self, protocol: str, port: int, remote: Address, now: float) -> Address | None:
        """Where a packet to the outside port goes; None: nowhere."""
        mapping = self._by_outside.get(self._out(protocol, port, remote))
        if mapping is None or mapping.is_over(now):
            return None
        depends, oldest = self.behaviour.filtering, now - timeout_s(protocol)
        wanted = part_of(remote, depends)
        if any(part_of(to, depends) == wanted and at >= oldest for to, at in mapping.sent.items()):
            return mapping.inside
        return None

    def release(self, protocol: str, inside: Address, remote: Address, now: float) -> None:
        """The inside host no longer sends to this remote."""
        mapping = self._by_inside.get(self._key(protocol, inside, remote))
        if mapping is not None and mapping.sent.get(remote) == math.inf:
            mapping.sent[remote] = now

    def reboot(self) -> None:
        """Forget every mapping."""
        self._by_inside.clear()
        self._by_outside.clear()

    def _key(self, protocol: str, inside: Address, remote: Address) -> tuple[str, Address, Address]:
        # A box that shares its ports has a mapping for each remote, all with the same port if they can.
        depends = Depends.ADDRESS_AND_PORT if self.behaviour.overloads_port else self.behaviour.mapping
        return protocol, inside, part_of(remote, depends)

    def _out(self, protocol: str, port: int, remote: Address) -> tuple[str, int, Address]:
        return protocol, port, remote if self.behaviour.overloads_port else _ANY

    def _forget_old(self, now: float) -> None:
        for key in [k for k, m in self._by_inside.items() if m.is_over(now)]:
            del self._by_outside[self._by_inside.pop(key).out]

    def _free(self, protocol: str, wanted: int, remote: Address) -> tuple[str, int, Address]:
        """The inside host's own port if the box keeps it and it is free, else any."""
        if self.behaviour.preserves_port:
            out = self._out(protocol, wanted, remote)
            if out not in self._by_outside:
                return out
        while (
            out := self._out(protocol, self._rng.randint(FIRST_PORT, LAST_PORT), remote)
        ) in self._by_outside:
            pass
        return out


def timeout_s(protocol: str) -> float:
    """How long a mapping outlives its last packet."""
    return UDP_TIMEOUT_S if protocol == "udp" else TCP_TIMEOUT_S
