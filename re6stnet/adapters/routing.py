"""What babeld tells, in the engine's words: whether a peer is heard on its tunnel, and which way routes go.

A tunnel is recognised by its device, or, on OpenVPN's server device which several clients share, by the
link-local address that its peer derives from the tunnel's name.  While babeld is away nothing is reported as
lost: the fault is ours, and the kernel's routes stay.

A neighbour announces a prefix as its own with metric 0; what it relays costs something.  Also with the router
id of its own prefix: babeld drops what comes back with its own id, so nobody can make it relay that.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from babel_ctl.client import BabelClient
from babel_ctl.messages import Delta, Neighbour, Route
from re6st_core.errors import WireError
from re6st_core.prefix import Network, Prefix
from re6stnet.engine.messages import NeighbourChanged, Originates, RouteChange, RoutesChanged
from re6stnet.ports import Post

INFINITY = 65535
"""RFC 8966 §2.3: an unreachable metric or cost."""
RECOVERY_S = 15.0
"""How long a babeld that came back may take to hear a neighbour again."""

Hold = Callable[[Iterable[Route], Iterable[Route]], None]
Key = tuple[str, IPv6Address]


def link_local(name: str, prefix: Prefix) -> IPv6Address:
    """The link-local address of one end of a tunnel: fe80:: and 64 bits of a hash of tunnel and node."""
    digest = hashlib.sha256(f"re6st link-local\0{name}\0{prefix.cn}".encode()).digest()
    return IPv6Address(b"\xfe\x80" + bytes(6) + digest[:8])


class BabelRouting:
    """Follows one babeld; ``bind`` and ``unbind`` say which neighbour belongs to which tunnel."""

    def __init__(
        self, network: Network, post: Post, *, hold: Hold = lambda *_: None, recovery_s: float = RECOVERY_S
    ) -> None:
        """``hold`` hears of every route that changed or was removed, whosever it is."""
        self._network = network
        self._post = post
        self._hold = hold
        self._recovery_s = recovery_s
        self._tunnels: dict[Key, str] = {}
        self._keys: dict[str, Key] = {}
        self._alive: set[str] = set()
        self._recovering: asyncio.TimerHandle | None = None
        self._client: BabelClient | None = None
        self.routes: dict[tuple[Prefix, str], Route] = {}
        self._router_ids: dict[str, str] = {}
        """By tunnel: what the neighbour calls itself."""
        self._originated: dict[str, set[Prefix]] = {}
        """By tunnel: what the engine was told of."""

    def bind(self, nonce: str, device: str, peer_address: IPv6Address) -> None:
        """The neighbour ``peer_address`` on ``device`` is the peer of this tunnel."""
        self._tunnels[device, peer_address] = nonce
        self._keys[nonce] = (device, peer_address)
        if self._client is not None:  # babeld may have heard it before we knew whose it is
            self._neighbours(
                n for n in self._client.neighbours() if _key(n.interface, n.address) == self._keys[nonce]
            )
            self._routes(
                (r for r in self._client.routes() if _key(r.interface, r.via) == self._keys[nonce]), ()
            )

    def unbind(self, nonce: str) -> None:
        """The tunnel is gone, and its routes with it."""
        key = self._keys.pop(nonce, None)
        if key is not None and self._tunnels.get(key) == nonce:
            del self._tunnels[key]
        self._alive.discard(nonce)
        self._router_ids.pop(nonce, None)
        self._originated.pop(nonce, None)
        self._forget([key for key in self.routes if key[1] == nonce])

    def _forget(self, gone: list[tuple[Prefix, str]]) -> None:
        for key in gone:
            del self.routes[key]
        if gone:
            self._post(RoutesChanged(tuple(RouteChange(*key, None) for key in gone)))

    async def follow(self, client: BabelClient) -> None:
        """Report changes until cancelled."""
        self._client = client
        connections = 0
        try:
            while True:
                delta = await client.wait_delta()
                away = delta.state.connections != connections or not delta.state.connected
                if away and (self._alive or self.routes):
                    self._away()
                connections = delta.state.connections
                self._apply(delta)
        finally:
            if self._recovering is not None:
                self._recovering.cancel()
                self._recovering = None

    def _apply(self, delta: Delta) -> None:
        self._neighbours(delta.neighbours.changed)
        changed, removed = list(delta.routes.changed), list(delta.routes.removed)
        self._hold(changed, removed)
        self._routes(changed, removed)
        if self._recovering is None:
            for neighbour in delta.neighbours.removed:
                self._lost(self._tunnels.get(_key(neighbour.interface, neighbour.address)))

    def _neighbours(self, neighbours: Iterable[Neighbour]) -> None:
        for neighbour in neighbours:
            nonce = self._tunnels.get(_key(neighbour.interface, neighbour.address))
            if nonce is None:
                continue
            if neighbour.cost < INFINITY:
                self._alive.add(nonce)
                self._post(NeighbourChanged(nonce, True, neighbour.rtt_us))
            elif self._recovering is None:
                self._lost(nonce)

    def _lost(self, nonce: str | None) -> None:
        """A neighbour is heard no more, unless babeld has it twice: once from before a flush.

        babeld 1.12 keeps such a one until it has missed sixteen hellos.
        """
        if nonce is not None and nonce in self._alive and nonce not in self._heard():
            self._alive.discard(nonce)
            self._post(NeighbourChanged(nonce, False))

    def _heard(self) -> set[str | None]:
        """Tunnels on which babeld hears a neighbour now."""
        neighbours = self._client.neighbours() if self._client is not None else ()
        return {self._tunnels.get(_key(n.interface, n.address)) for n in neighbours if n.cost < INFINITY}

    def _away(self) -> None:
        """babeld died or was restarted: wait before believing that anybody is lost."""
        if self._recovering is not None:
            self._recovering.cancel()
        self._recovering = asyncio.get_running_loop().call_later(self._recovery_s, self._recovered)

    def _recovered(self) -> None:
        self._recovering = None
        if self._client is None or not self._client.state.connected:
            self._away()
            return
        for nonce in self._alive - self._heard():
            self._lost(nonce)
        found = {self._route_key(route) for route in self._client.routes() if route.metric < INFINITY}
        self._forget([key for key in self.routes if key not in found])

    def _routes(self, changed: Iterable[Route], removed: Iterable[Route]) -> None:
        changes: list[RouteChange] = []
        for route in removed if self._recovering is None else ():
            if (key := self._route_key(route)) is not None and self.routes.pop(key, None) is not None:
                changes.append(RouteChange(*key, None))
        for route in changed:
            self._look_at_origin(route)
            if (key := self._route_key(route)) is None:
                continue
            metric = route.metric if route.metric < INFINITY else None
            if metric is not None:
                self.routes[key] = route
            elif self._recovering is not None or self.routes.pop(key, None) is None:
                continue
            refmetric = route.refmetric if metric is not None else 0
            changes.append(RouteChange(*key, metric, route.installed, refmetric))
        if changes:
            # The newly installed ones last: what replaces must win over what is replaced.
            self._post(RoutesChanged(tuple(sorted(changes, key=lambda c: c.installed))))

    def _look_at_origin(self, route: Route) -> None:
        """Tell the engine once if the neighbour announces this prefix as its own."""
        nonce = self._tunnels.get(_key(route.interface, route.via))
        if nonce is None or route.refmetric >= INFINITY or not isinstance(route.prefix, IPv6Network):
            return
        if route.refmetric == 0:
            self._router_ids[nonce] = route.router_id
        elif route.router_id != self._router_ids.get(nonce):
            return
        try:
            prefix = self._network.prefix_of(route.prefix)
        except WireError:
            return
        told = self._originated.setdefault(nonce, set())
        if prefix not in told:
            told.add(prefix)
            self._post(Originates(nonce, prefix))

    def _route_key(self, route: Route) -> tuple[Prefix, str] | None:
        nonce = self._tunnels.get(_key(route.interface, route.via))
        if nonce is None or not isinstance(route.prefix, IPv6Network) or route.source.prefixlen:
            return None
        try:
            prefix = self._network.prefix_of(route.prefix)
        except WireError:
            return None  # a default route, or a foreign prefix
        return (prefix, nonce) if prefix.length else None  # the whole network is nobody's


def _key(interface: str, address: IPv6Address | IPv4Address) -> Key:
    return interface, address if isinstance(address, IPv6Address) else IPv6Address(0)
