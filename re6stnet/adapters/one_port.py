"""One open port: what arrives on UDP N reaches the tunnel of its sender, and all tunnels send from N.

    peer 192.0.2.2:1194 --> N --+-- source known ------> local port of that tunnel's device
    stranger -------------> N --+-- STUN, or unknown --> whoever listens on N (the reflector)
    tunnel's device, local port --> leaves as N

nftables rewrites the ports in place. It does so after the host's own filters when a packet arrives, and after
its source NAT when one leaves, so that the operator's rules see N alone. Connection tracking, where it is on,
keeps two one-way entries per tunnel; nothing depends on them. What a stranger sends straight to a tunnel's
port is dropped.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from re6st_core.address import Endpoint, IPAddress
from re6st_core.errors import ConfigError, RouterError

Source = Endpoint | IPAddress
"""Where a tunnel's packets come from: address and port, or any port of an address."""

_SO_MARK: Final = 36
_TIMEOUT_S: Final = 10.0

# A Binding request (RFC 8489 section 5) begins with 0x0001, a WireGuard message with 0x0100 to 0x0400: a peer
# that has a tunnel can still ask the reflector. The offset counts bits, the UDP header has 64.
_RULES: Final = """
  chain arriving {{
    type filter hook input priority 200; policy accept;
    udp dport @local drop
    udp dport != {port} accept
    @th,64,16 0x0001 accept
    udp dport set ip saddr . udp sport map @source4 accept
    udp dport set ip6 saddr . udp sport map @source6 accept
    udp dport set ip saddr map @address4 accept
    udp dport set ip6 saddr map @address6 accept
  }}
  chain leaving {{
    type filter hook postrouting priority 300; policy accept;
    meta mark {mark} udp sport @local udp sport set {port}
  }}
"""


def ruleset(port: int, mark: int, tunnels: Mapping[int, Collection[Source]]) -> str:
    """The nft input that replaces the table of ``port`` by one for these local ports and their sources."""
    table = _table(port)
    elements: dict[str, list[str]] = {name: [] for name in ("source4", "source6", "address4", "address6")}
    for local, sources in tunnels.items():
        for source in sources:
            if isinstance(source, Endpoint):
                elements[f"source{source.ip.version}"].append(f"{source.ip} . {source.port} : {local}")
            else:
                elements[f"address{source.version}"].append(f"{source} : {local}")
    lines = [f"table inet {table}", f"delete table inet {table}", f"table inet {table} {{"]
    lines.append(_set("set local", "inet_service", map(str, tunnels)))
    for name, entries in elements.items():
        key = f"ipv{name[-1]}_addr" + (" . inet_service" if name.startswith("source") else "")
        lines.append(_set(f"map {name}", f"{key} : inet_service", entries))
    return "\n".join([*lines, _RULES.format(port=port, mark=mark), "}\n"])


class OnePort:
    """The nftables table of one node; ``enabled`` False (behind a NAT): local ports are used as they are."""

    def __init__(self, port: int, mark: int, *, enabled: bool = True) -> None:
        self._port = port
        self._mark = mark
        self._enabled = enabled
        self._tunnels: dict[int, tuple[Source, ...]] = {}
        self._lock = asyncio.Lock()

    async def start(self, tunnels: Mapping[int, Iterable[Source]] | None = None) -> None:
        """Begin with the adopted tunnels, replacing what an earlier daemon left.

        Raises ConfigError (nft missing, or not root), RouterError.
        """
        self._tunnels = {}
        for local, sources in (tunnels or {}).items():
            self._claim(local, sources)
        if self._enabled:
            await self._apply()
        else:
            await self.stop()

    async def set_sources(self, local_port: int, sources: Iterable[Source]) -> None:
        """From now on packets of these sources reach ``local_port``; a source has one tunnel, its newest."""
        self._claim(local_port, sources)
        await self._apply()

    async def remove(self, local_port: int) -> None:
        """Forget a local port; absence is fine."""
        if self._tunnels.pop(local_port, None) is not None:
            await self._apply()

    async def stop(self) -> None:
        """Remove the table; absence is fine."""
        table = _table(self._port)
        async with self._lock:
            await _nft(f"table inet {table}\ndelete table inet {table}\n")

    def _claim(self, local_port: int, sources: Iterable[Source]) -> None:
        claimed = tuple(dict.fromkeys(map(_bare, sources)))
        for local, others in self._tunnels.items():
            self._tunnels[local] = tuple(source for source in others if source not in claimed)
        self._tunnels[local_port] = claimed

    async def _apply(self) -> None:
        if self._enabled:
            async with self._lock:
                await _nft(ruleset(self._port, self._mark, self._tunnels))


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


async def _nft(text: str) -> None:
    """Run one transaction: all of it or nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            "nft", "-f", "-", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise ConfigError("program not found: nft: install the Debian package nftables") from exc
    except OSError as exc:
        raise RouterError(f"cannot start nft: {exc.strerror}") from exc
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, output = await process.communicate(text.encode())
    except TimeoutError as exc:
        process.kill()
        await process.wait()
        raise RouterError(f"nft did not end in {_TIMEOUT_S:g} s") from exc
    if process.returncode:
        message = output.decode(errors="replace").strip().partition("\n")[0]
        if "not permitted" in message:
            raise ConfigError("cannot change nftables: this needs root (CAP_NET_ADMIN)")
        raise RouterError(f"nft: {message or f'status {process.returncode}'}")
