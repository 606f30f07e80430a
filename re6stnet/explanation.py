"""``re6st why``: which way packets to a destination go, what it costs, and who answers there."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from re6st_core.errors import ConfigError, WireError
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.proving import Prover
from re6stnet.adapters.routing import BabelRouting
from re6stnet.adapters.status import RouteStatus, Why
from re6stnet.node import Node
from re6stnet.report import route_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Knows all parts, changes none."""

    own: Prefix
    network: Network
    node: Node
    routing: BabelRouting
    prover: Prover

    async def why(self, about: str) -> Why:
        """``about``: a prefix ``INT/LEN``, a subnet or an address.  Raises ConfigError for anything else."""
        wanted = destination(about, self.network)
        if self.own.contains(wanted):
            return self._why(self.own, (), reason="this is the node itself")
        routes = self._routes(wanted)
        if not routes:
            return self._why(wanted, (), reason="Babel has no route")
        prefix = next(iter(routes))
        proof = await self.prover.prove(prefix)
        return Why(
            destination=str(self.network.subnet(prefix)),
            prefix=prefix.cn,
            address=str(self.network.address(prefix)),
            routes=routes[prefix],
            rtt_ms=None if proof.rtt_us is None else proof.rtt_us / 1000,
            answered_by=proof.answered_by.cn if proof.answered_by else "",
            proven=proof.proven,
            reason=proof.reason,
        )

    def _why(self, prefix: Prefix, routes: tuple[RouteStatus, ...], *, reason: str) -> Why:
        return Why(
            destination=str(self.network.subnet(prefix)),
            prefix=prefix.cn,
            address=str(self.network.address(prefix)),
            routes=routes,
            rtt_ms=None,
            answered_by="",
            proven=False,
            reason=reason,
        )

    def _routes(self, wanted: Prefix) -> dict[Prefix, tuple[RouteStatus, ...]]:
        """Routes to the longest prefix that contains this one, the one in use first; or none."""
        peers = {tunnel.nonce: tunnel.peer.cn for tunnel in self.node.engine.tunnels}
        known = {prefix for prefix, _ in self.routing.routes if prefix.contains(wanted)}
        if not known:
            return {}
        longest = max(known, key=lambda prefix: prefix.length)
        found = [
            route_status(str(self.network.subnet(prefix)), peers.get(nonce, ""), route)
            for (prefix, nonce), route in self.routing.routes.items()
            if prefix == longest
        ]
        found.sort(key=lambda route: (not route.installed, route.metric))
        return {longest: tuple(found)}


def destination(text: str, network: Network) -> Prefix:
    """The prefix that a user means.  Raises ConfigError."""
    try:
        if ":" not in text:
            prefix = Prefix.from_cn(text)
            network.subnet(prefix)
            return prefix
        subnet = IPv6Network(text) if "/" in text else IPv6Network(IPv6Address(text))
        return network.prefix_of(subnet)
    except (WireError, ValueError) as exc:
        raise ConfigError(
            f"{text[:60]!r} is neither a prefix INT/LEN nor an address or subnet of {network}: {exc}"
        ) from exc
