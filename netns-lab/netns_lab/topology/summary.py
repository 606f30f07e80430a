"""What a topology means, spelled out: every address given, every path counted; as JSON has it.  Pure."""

import statistics
from collections.abc import Sequence

from netns_lab.internet.link import Link
from netns_lab.topology.model import MTU_MAX, TRANSPORTS, Node, Site, Topology

Summary = dict[str, object]


def summary(topology: Topology) -> Summary:
    """All of it; what is not there is left out."""
    links = [link for row in paths(topology) for link in row]
    return {
        "title": topology.title,
        "internet": str(topology.internet),
        "internet6": str(topology.internet6),
        "registry": topology.registry,
        "sites": [_site(site) for site in topology.sites],
        "nodes": [_node(topology, node) for node in topology.node_list],
        "paths": {
            "count": len(links),
            "delay_ms": _spread([link.delay_ms for link in links]),
            "jitter_ms": _spread([link.jitter_ms for link in links]),
            "loss": _spread([link.loss for link in links]),
            "mtu": min((link.mtu for link in links), default=MTU_MAX),
            "with_a_rate": sum(link.rate_mbit is not None for link in links),
            "reordering": sum(link.reorder for link in links),
        },
    }


def paths(topology: Topology) -> list[list[Link]]:
    """The paths between sites that are on the Internet, those of one site in a row."""
    online = [i for i, site in enumerate(topology.sites) if not site.offline]
    return [[topology.links[a][b] for b in online if a != b] for a in online]


def boxes(site: Site) -> list[str]:
    """What is between the nodes of a site and the Internet, a phrase each."""
    phrases = []
    if site.nat:
        phrases.append(f"NAT {site.nat}{' with hairpin' * site.hairpin}")
    if site.upnp:
        phrases.append({"present": "UPnP", "lying": "UPnP that lies"}[site.upnp])
    if site.offline:
        phrases.append("offline")
    phrases += [f"LAN {lan}" for lan in (site.lan, site.lan6) if lan]
    if site.blocked:
        phrases.append(f"{', '.join(site.blocked)} blocked")
    for services, direction in ((site.outbound, "out"), (site.inbound, "in")):
        if services is not None:
            phrases.append(f"{direction} only {', '.join(map(str, services)) or 'answers'}")
    return phrases


def line(site: Site) -> list[str]:
    """What is particular about the access line of a site, a phrase each."""
    phrases = [f"{site.rate_mbit:g} Mbit/s"] if site.rate_mbit else []
    phrases += [f"MTU {site.mtu}"] if site.mtu < MTU_MAX else []
    phrases += [f"jitter {site.jitter_ms:g} ms"] if site.jitter_ms else []
    phrases += [f"loss {100 * site.loss:g} %"] if site.loss else []
    return phrases


def programs(node: Node) -> list[str]:
    """What is particular about the programs of a node, a phrase each."""
    phrases = [f"only {', '.join(node.transports)}"] if set(node.transports) != set(TRANSPORTS) else []
    phrases += [f"client count {node.client_count}"] if node.client_count is not None else []
    phrases += [f"clock {node.clock_offset_s:+g} s"] if node.clock_offset_s else []
    return [*phrases, " ".join(node.options)] if node.options else phrases


def _site(site: Site) -> Summary:
    fields: Summary = {
        "name": site.name,
        "nodes": list(site.nodes),
        "address": site.address,
        "address6": site.address6,
        "nat": site.nat,
        "hairpin": site.hairpin if site.nat else None,
        "lan": site.lan,
        "lan6": site.lan6,
        "offline": site.offline or None,
        "upnp": site.upnp,
        "blocked": list(site.blocked) or None,
        "outbound": None if site.outbound is None else [str(service) for service in site.outbound],
        "inbound": None if site.inbound is None else [str(service) for service in site.inbound],
        "rate_mbit": site.rate_mbit,
        "mtu": site.mtu,
        "jitter_ms": site.jitter_ms,
        "loss": site.loss,
        "city": site.city,
        "host": site.host,
        "machines": list(site.machines),
    }
    plain = (str, int, float, list)
    return {
        key: value if isinstance(value, plain) else str(value)
        for key, value in fields.items()
        if value is not None
    }


def _node(topology: Topology, node: Node) -> Summary:
    address, address6 = topology.address_of(node.name), topology.address6_of(node.name)
    return {
        "name": node.name,
        "site": node.site,
        **({"address": str(address)} if address else {}),
        **({"address6": str(address6)} if address6 else {}),
        "transports": list(node.transports),
        "options": list(node.options),
        **({} if node.client_count is None else {"client_count": node.client_count}),
        "clock_offset_s": node.clock_offset_s,
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "min": round(min(values), 6),
        "median": round(statistics.median(values), 6),
        "max": round(max(values), 6),
    }
