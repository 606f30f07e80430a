"""What the node tells about itself: gathers the parts of ``Status`` (see adapters/status.py)."""

import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from babel_ctl.messages import Route
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.errors import PeerError
from re6st_core.prefix import Prefix
from re6stnet.adapters.explorer import Explorer
from re6stnet.adapters.prober import Prober
from re6stnet.adapters.registrar import Registrar
from re6stnet.adapters.relay import Relay
from re6stnet.adapters.routing import BabelRouting
from re6stnet.adapters.status import DaemonStatus, IdentityStatus, RouteStatus, Status, TunnelStatus
from re6stnet.adapters.tunnels import TunnelManager
from re6stnet.engine.messages import Rotate
from re6stnet.engine.tunnel import State, Tunnel
from re6stnet.membership import Membership
from re6stnet.node import Node
from re6stnet.ports import Post
from re6stnet.settings import Settings

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Knows all parts, changes none."""

    node: Node
    settings: Settings
    members: Membership
    registrar: Registrar
    routing: BabelRouting
    tunnels: TunnelManager
    prober: Prober
    explorer: Explorer
    babeld: BabeldSupervisor
    relay: Relay
    post: Post
    started: float
    """Monotonic seconds."""

    def status(self) -> Status:
        """The state of this moment."""
        identity = self.members.identity
        network, prefix = identity.network, identity.prefix
        parameters = self.node.engine.parameters
        return Status(
            identity=IdentityStatus(
                cn=prefix.cn,
                address=str(network.address(prefix)),
                subnet=str(network.subnet(prefix)),
                network=str(network),
                expires=identity.not_after.isoformat(),
            ),
            membership=self.members.status(
                f"{peer} was cut off: it originates {prefix}, which its certificate does not grant"
                for peer, prefix in self.node.accused.items()
            ),
            daemon=DaemonStatus(
                pid=os.getpid(),
                uptime_s=round(time.monotonic() - self.started, 1),
                rss_bytes=_rss(),
                version=version("re6st-mesh"),
                registry=self.settings.registry,
                registry_error=self.registrar.last_error,
                relay=self.relay.connected,
                endpoints=tuple(map(str, self.registrar.endpoints)),
                parameters=parameters.version,
                babeld=self.babeld.client.state.connected,
                babeld_pid=self.babeld.pid,
                selection_bytes=self.explorer.sent_bytes,
            ),
            tunnels=tuple(
                map(self._tunnel, [*self.node.engine.tunnels, *self.node.engine.draining.draining])
            ),
            routes=tuple(self._routes()),
        )

    def rotate(self, peer: str) -> str:
        """Begin to end the tunnel with a peer.  Raises WireError, PeerError."""
        engine = self.node.engine
        tunnel = engine.tunnels.with_peer(Prefix.from_cn(peer))
        if tunnel is None:
            raise PeerError(f"no tunnel with {peer[:40]}")
        if tunnel.state is not State.ACTIVE:
            raise PeerError(f"the tunnel with {tunnel.peer} is {tunnel.state.value}")
        self.post(Rotate(tunnel.peer))
        before = engine.draining.kept(tunnel.nonce)
        last = f" (the last time it did not want to: {before})" if before else ""
        return f"{tunnel.peer} is asked to end tunnel {tunnel.nonce[:8]}{last}"

    def _tunnel(self, tunnel: Tunnel) -> TunnelStatus:
        saved = self.tunnels.saved(tunnel.nonce)
        since = self.node.active_since.get(tunnel.nonce)
        process = saved.process if saved else None
        probes = self.prober.probes(tunnel.nonce)
        return TunnelStatus(
            tunnel=tunnel.nonce,
            peer=tunnel.peer.cn,
            transport=tunnel.transport,
            device=saved.device if saved else "",
            state=tunnel.state.value,
            role="client" if tunnel.initiator else "server",
            rtt_ms=None if tunnel.rtt_us is None else tunnel.rtt_us / 1000,
            probe_rtt_ms=None if probes is None or probes.rtt_us is None else probes.rtt_us / 1000,
            loss=None if probes is None or probes.rtt_us is None else round(probes.loss, 3),
            endpoint=str(tunnel.endpoint or ""),
            since_s=None if since is None else round(time.monotonic() - since, 1),
            pid=process["pid"] if process else None,
            destinations=len(self.node.engine.routes.carried(tunnel.nonce)),
        )

    def _routes(self) -> list[RouteStatus]:
        peers = {t.nonce: t.peer.cn for t in self.node.engine.tunnels}
        return [
            route_status(self._subnet(prefix), peers.get(nonce, ""), route)
            for (prefix, nonce), route in self.routing.routes.items()
        ]

    def _subnet(self, prefix: Prefix) -> str:
        return str(self.members.identity.network.subnet(prefix))


def route_status(destination: str, peer: str, route: Route) -> RouteStatus:
    """One route of Babel; ``peer``: whose tunnel it goes through."""
    return RouteStatus(
        destination=destination,
        peer=peer,
        via=str(route.via),
        device=route.interface,
        metric=route.metric,
        installed=route.installed,
    )


def _rss() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
