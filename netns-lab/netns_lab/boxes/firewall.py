"""Firewalls: a transparent bridge between a node and the Internet, or rules on the NAT box of a site.

A bridge is a machine of its own, not a rule on the node: there a dropped packet would make ``sendto`` fail
with EPERM, and the node would know at once what on a real network it has to find out.

The rules keep no state (many kernels have none for bridges): an answer is known by its port, in TCP also by
its flags.  So an answer by UDP comes in only if its port is listed, as behind many a simple filter.
"""

from collections.abc import Iterable, Iterator

from netns_lab.namespace import Machine
from netns_lab.topology import Service, Site

# `meta l4proto` also matches later fragments, which have no ports.
_PROTOCOLS = {
    "udp": "meta l4proto udp",
    "tcp": "meta l4proto tcp",
    "icmp": "meta l4proto { icmp, ipv6-icmp }",
}
# Without these IPv6 would not even find its neighbour: they stand for what ARP is to IPv4.
_NEIGHBOURS = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
)
_ERRORS = (
    "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
)
_PONG = ("icmp type echo-reply accept", "icmpv6 type echo-reply accept")
_NO_FIRST = "tcp flags & (syn | ack) != syn"  # of no connection the first packet
_REST = "meta protocol { ip, ip6 } drop"


def install_firewall(box: Machine, site: Site, *, inside: str, outside: str, bridge: bool) -> None:
    """Filter what passes the machine between two of its interfaces; RouterError if the kernel refuses."""
    box.nft(firewall_rules(site, inside=inside, outside=outside, bridge=bridge))


def remove_firewall(box: Machine, *, bridge: bool) -> None:
    """Let everything pass that :func:`install_firewall` filtered; RouterError if there is no filter."""
    box.nft(f"delete table {'bridge' if bridge else 'inet'} firewall")


def firewall_rules(site: Site, *, inside: str, outside: str, bridge: bool) -> str:
    """The nftables rules of a site's firewall.

    On a NAT box they see packets as the inside does, and before the box's own rules.
    """
    lines = [_NEIGHBOURS, *(f"{_PROTOCOLS[protocol]} drop" for protocol in site.blocked)]
    lines += [f'iifname "{inside}" oifname "{outside}" jump leaving']
    lines += [f'iifname "{outside}" oifname "{inside}" jump entering']
    return f"""
        table {"bridge" if bridge else "inet"} firewall {{
            chain leaving {{
                {_statements(_leaving(site))}
            }}
            chain entering {{
                {_statements(_entering(site))}
            }}
            chain forward {{
                type filter hook forward priority filter - 10; policy accept;
                {_statements(lines)}
            }}
        }}
    """


def _leaving(site: Site) -> Iterator[str]:
    if site.outbound is None:
        return
    yield from (_match(service, "dport") for service in site.outbound)
    yield from (_answer(service, "sport") for service in site.inbound or ())
    yield from (*_ERRORS, _REST)


def _entering(site: Site) -> Iterator[str]:
    if site.outbound is None and site.inbound is None:
        return
    yield from (_match(service, "dport") for service in site.inbound or ())
    if site.outbound is None:
        yield f"{_NO_FIRST} accept"
        yield from _PONG
    else:
        yield from (_answer(service, "sport") for service in site.outbound)
    yield from (*_ERRORS, _REST)


def _match(service: Service, port: str) -> str:
    if service.port is None:
        return f"{_PROTOCOLS[service.protocol]} accept"
    return f"{service.protocol} {port} {service.port} accept"


def _answer(service: Service, port: str) -> str:
    """What comes back from a service."""
    if service.protocol == "icmp":
        return "\n".join(_PONG)
    from_port = "" if service.port is None else f"{service.protocol} {port} {service.port} "
    if service.protocol == "tcp":
        return f"{from_port}{_NO_FIRST} accept"
    return f"{from_port or _PROTOCOLS['udp']} accept"


def _statements(lines: Iterable[str]) -> str:
    return "\n                ".join(lines)


def install_ipv6_filter(box: Machine, *, inside: str, outside: str) -> None:
    """Let IPv6 out of a LAN and only answers in, as home routers do: routed, not translated."""
    box.nft(f"""
        table ip6 home {{
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                iifname "{inside}" oifname "{outside}" accept
            }}
            chain input {{
                type filter hook input priority filter; policy drop;
                ct state established,related accept
                iifname {{ "lo", "{inside}" }} accept
                {_NEIGHBOURS}
            }}
        }}
    """)


def set_silent(box: Machine, port: str, *, silent: bool) -> None:
    """Drop, or again let pass, every frame to and from a port of the bridge; it keeps its carrier."""
    table = f"table bridge silent_{port}"
    rules = f"""
        chain arriving {{
            type filter hook prerouting priority dstnat - 10; policy accept;
            iifname "{port}" drop
        }}
        chain leaving {{
            type filter hook postrouting priority srcnat + 10; policy accept;
            oifname "{port}" drop
        }}
    """
    box.nft(f"{table}\ndelete {table}\n" + f"{table} {{{rules}}}\n" * silent)


def clamp_segments(box: Machine) -> None:
    """Tell both ends of TCP the MTU of the way out, as the router of a line with a small MTU does."""
    box.nft("""
        table inet segments {
            chain forward {
                type filter hook forward priority mangle; policy accept;
                tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
            }
        }
    """)
