"""One open port: what arrives on UDP N reaches the tunnel of its sender, and all tunnels send from N.

    peer, wherever it is now --> N --+-- session known --> local port of that tunnel's device
    peer 192.0.2.2:1194 -------> N --+-- source known ---> the same
    stranger ------------------> N --+-- STUN, or unknown --> whoever listens on N (the reflector)
    tunnel's device, local port --> leaves as N

nftables rewrites the ports in place. It does so after the host's own filters when a packet arrives, and after
its source NAT when one leaves, so that the operator's rules see N alone. Connection tracking, where it is on,
keeps two one-way entries per tunnel; nothing depends on them. What a stranger sends straight to a tunnel's
port is dropped.

A peer whose address changes is followed without our doing: the kernel notes the number that a device gives to
each session when it leaves in a handshake, and by it finds the device of whatever comes back, from anywhere.
WireGuard then trusts what is authenticated, answers there, and the kernel takes handshakes from where it
answers. A stranger would have to guess 32 bits, and then be the peer; it takes nobody's place.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from re6st_core.address import Endpoint, IPAddress
from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters import nftables

Source = Endpoint | IPAddress
"""Where a tunnel's packets come from: address and port, or any port of an address."""

_SO_MARK: Final = 36
_LAST_PORT: Final = 65535

# Made by packets as they leave, and kept when the rules are replaced.  A session lives for 180 s at most.
# (nft 1.0.6 fails on an IPv6 address together with a port here.)
_KEPT: Final = """
  map session { type mark : inet_service; flags timeout; size 65536; }
  map moved4 { type ipv4_addr . inet_service : inet_service; flags timeout; size 4096; }
  map moved6 { type ipv6_addr : inet_service; flags timeout; size 4096; }
"""

# A Binding request (RFC 8489 section 5) begins with 0x0001, a WireGuard message with 0x01000000 to 0x04000000
# (Donenfeld, NDSS 2017, section 5.4): a peer that has a tunnel can still ask the reflector. Message 1 has the
# sender's number of the session; 2 that, then the receiver's; 3 and 4 the receiver's. The offset counts bits,
# the UDP header has 64. The mark is only the place to put a number: maps have no other type for it.
# TCP through us, and our own on the underlay, gets no segments for which a path may be too narrow (RFC 9293
# section 3.7.1): there those of the smallest packets that IPv6 passes, 1280 less its and TCP's headers.
_RULES: Final = """
  chain open_port {{
    @th,64,16 0x0001 accept
    @th,64,32 {{ 0x03000000, 0x04000000 }} meta mark set @th,96,32
    @th,64,32 0x02000000 meta mark set @th,128,32
    udp dport set meta mark map @session meta mark set 0 accept
    meta mark set 0
    udp dport set ip saddr . udp sport map @source4 accept
    udp dport set ip6 saddr . udp sport map @source6 accept
    udp dport set ip saddr . udp sport map @moved4 accept
    udp dport set ip6 saddr map @moved6 accept
    udp dport set ip saddr map @address4 accept
    udp dport set ip6 saddr map @address6 accept
  }}
  chain from_tunnel {{
    @th,64,32 {{ 0x01000000, 0x02000000 }} update @session {{ @th,96,32 timeout 240s : udp sport }}
    add @moved4 {{ ip daddr . udp dport timeout 120s : udp sport }}
    add @moved6 {{ ip6 daddr timeout 120s : udp sport }}
    udp sport set {port}
  }}
  chain arriving {{
    type filter hook input priority 200; policy accept;
    udp dport {port} goto open_port
    udp dport @local drop
  }}
  chain leaving {{
    type filter hook postrouting priority 300; policy accept;
    meta mark {mark} udp sport @local goto from_tunnel
  }}
  chain forwarded {{
    type filter hook forward priority 0; policy accept;
    oifname "re6st*" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
  }}
  chain underlay {{
    type filter hook output priority 0; policy accept;
    meta mark {mark} tcp flags & (syn | rst) == syn tcp option maxseg size set 1220
  }}
"""


def ruleset(port: int, mark: int, tunnels: Mapping[int, Collection[Source]]) -> str:
    """The nft input that makes the table of ``port`` one for these local ports and their sources.

    What it has learned of sessions stays.
    """
    table = _table(port)
    elements: dict[str, list[str]] = {name: [] for name in ("source4", "source6", "address4", "address6")}
    for local, sources in tunnels.items():
        for source in sources:
            if isinstance(source, Endpoint):
                elements[f"source{source.ip.version}"].append(f"{source.ip} . {source.port} : {local}")
            else:
                elements[f"address{source.version}"].append(f"{source} : {local}")
    sets = [("local", "set", "inet_service", list(map(str, tunnels)))]
    for name, entries in elements.items():
        key = f"ipv{name[-1]}_addr" + (" . inet_service" if name.startswith("source") else "")
        sets.append((name, "map", f"{key} : inet_service", entries))
    return "\n".join(
        [
            f"table inet {table} {{",
            *(_set(f"{kind} {name}", type_, ()) for name, kind, type_, _ in sets),
            _KEPT,
            f"}}\nflush table inet {table}",
            *(f"flush {kind} inet {table} {name}" for name, kind, _, _ in sets),
            f"table inet {table} {{",
            *(_set(f"{kind} {name}", type_, entries) for name, kind, type_, entries in sets),
            _RULES.format(port=port, mark=mark),
            "}\n",
        ]
    )


class Claims:
    """Who gets the packets of a source, when several tunnels have a claim to it.  Pure.

    Of an exact source its newest claim: the peer has begun anew. Of an address its oldest, because several
    peers may share one, and a tunnel that works is not to lose its packets to one that is only tried. The
    others wait until the owner gives it up.
    """

    def __init__(self) -> None:
        self._claimants: dict[Source, list[int]] = {}
        self._local_ports: set[int] = set()

    def claim(self, local_port: int, sources: Iterable[Source]) -> None:
        """Put these sources in the place of those that ``local_port`` has claimed before."""
        wanted = dict.fromkeys(map(_bare, sources))
        self._local_ports.add(local_port)
        self._give_up(local_port, keep=wanted)
        for source in wanted:
            claimants = self._claimants.setdefault(source, [])
            if isinstance(source, Endpoint) and local_port in claimants:
                claimants.remove(local_port)  # it becomes the newest
            if local_port not in claimants:
                claimants.append(local_port)

    def forget(self, local_port: int) -> bool:
        """Drop all claims of a local port; whether it was known."""
        self._give_up(local_port, keep=frozenset())
        known = local_port in self._local_ports
        self._local_ports.discard(local_port)
        return known

    def owned(self) -> dict[int, list[Source]]:
        """Each local port and the sources whose packets it gets."""
        result: dict[int, list[Source]] = {local_port: [] for local_port in sorted(self._local_ports)}
        for source, claimants in self._claimants.items():
            result[claimants[-1 if isinstance(source, Endpoint) else 0]].append(source)
        return result

    def _give_up(self, local_port: int, *, keep: Collection[Source]) -> None:
        for source in [s for s, claimants in self._claimants.items() if local_port in claimants]:
            if source not in keep:
                self._claimants[source].remove(local_port)
                if not self._claimants[source]:
                    del self._claimants[source]


class OnePort:
    """The nftables table of one node; ``enabled`` False (behind a NAT): local ports are used as they are."""

    def __init__(self, port: int, mark: int, *, enabled: bool = True) -> None:
        self._port = port
        self._mark = mark
        self._enabled = enabled
        self._claims = Claims()
        self._lock = asyncio.Lock()
        self._waiting: asyncio.Task[None] | None = None
        self._in_force: dict[int, list[Source]] | None = None
        """Sources of each local port, as the kernel has them; None: not known."""

    async def start(self, tunnels: Mapping[int, Iterable[Source]] | None = None) -> None:
        """Begin with the adopted tunnels, replacing what an earlier daemon left.

        Raises ConfigError (nft missing, or not root), RouterError.
        """
        self._claims, self._in_force = Claims(), None
        for local, sources in (tunnels or {}).items():
            self._claims.claim(local, sources)
        if self._enabled:
            await self._apply()
        else:
            await self.stop()

    async def set_sources(self, local_port: int, sources: Iterable[Source]) -> None:
        """From now on ``local_port`` claims these sources and no others; see :class:`Claims`."""
        self._claims.claim(local_port, sources)
        await self._apply()

    async def remove(self, local_port: int) -> None:
        """Forget a local port; absence is fine."""
        if self._claims.forget(local_port):
            await self._apply()

    async def stop(self) -> None:
        """Remove the table; absence is fine."""
        table = _table(self._port)
        async with self._lock:
            self._in_force = None
            await nftables.load(f"table inet {table}\ndelete table inet {table}\n")

    async def _apply(self) -> None:
        """Put the claims into force; all that come while another transaction runs go in one.

        A task of its own: who is cancelled while it waits does not leave the kernel behind the claims.
        """
        if not self._enabled:
            return
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._transaction())
        await asyncio.shield(self._waiting)

    async def _transaction(self) -> None:
        async with self._lock:
            self._waiting = None
            wanted = self._claims.owned()
            if wanted != self._in_force:
                self._in_force = None
                await nftables.load(ruleset(self._port, self._mark, wanted))
                self._in_force = wanted


def local_ports(port: int, count: int) -> tuple[int, ...]:
    """Ports for the tunnels of a node on ``port`` (1 to 65535): above it, or below where the numbers end.

    The farthest first: the nearest are what another node on this host is given as its open port.
    """
    if port + count <= _LAST_PORT:
        return tuple(range(port + count, port, -1))
    return tuple(range(port - count, port))


def bind_local_port(pool: Iterable[int], mark: int, *, used: Collection[int] = ()) -> socket.socket:
    """Bind the first free UDP port of ``pool``, for both address families, with ``mark`` on what it sends.

    The socket asks STUN; close it right before WireGuard binds the port.  Raises RouterError if none is free.
    """
    for port in pool:
        if port in used:
            continue
        bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            bound.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            bound.bind(("::", port))
        except PermissionError as exc:
            bound.close()
            raise ConfigError("cannot mark packets: this needs root (CAP_NET_ADMIN)") from exc
        except OSError:
            bound.close()
        else:
            return bound
    raise RouterError("all local UDP ports for tunnels are taken")


def _bare(source: Source) -> Source:
    """Without what nftables does not compare."""
    return Endpoint(source.ip, source.port, source.protocol) if isinstance(source, Endpoint) else source


def _table(port: int) -> str:
    return f"re6stnet_{port}"


def _set(head: str, kind: str, elements: Iterable[str]) -> str:
    entries = ", ".join(elements)
    return f"  {head} {{ type {kind}; {f'elements = {{ {entries} }};' if entries else ''} }}"
