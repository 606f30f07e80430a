"""Settings of a site that are fine each by itself and make no sense together.  Pure."""

from collections.abc import Iterator

from netns_lab.topology.form import Table
from netns_lab.topology.model import Service, Site

MTU_MIN_IPV6 = 1280
_ON_THE_INTERNET = (
    *("address", "address6", "nat", "hairpin", "upnp", "blocked", "outbound", "inbound"),
    *("rate_mbit", "mtu", "jitter_ms", "loss", "city", "host"),
)


def note_contradictions(site: Site, ip: tuple[str, ...], table: Table) -> None:
    """Note all that a site, read from ``table`` and to have these versions of IP, says against itself."""
    if site.offline:
        for key in _ON_THE_INTERNET:
            if key in table.values:
                table.wrong(key, "an offline site has no Internet, leave it out")
        return
    for place, text in (*_nat(site, ip), *_addresses(site, ip), *_firewall(site)):
        table.wrong(place, text)


def _nat(site: Site, ip: tuple[str, ...]) -> Iterator[tuple[str | None, str]]:
    if site.nat:
        if "ipv4" not in ip:
            yield "nat", "a NAT translates IPv4, and `ip` has none"
        if site.inbound is not None:
            yield "inbound", "a NAT box lets nothing in unasked, leave it out"
        return
    for key, given in (("hairpin", site.hairpin), ("upnp", site.upnp)):
        if given:
            yield key, "only with a nat"
    if site.lan:
        yield "lan", "only with a nat, or offline"
    if len(site.nodes) > 1:
        yield "nodes", "several nodes need a nat, or to be offline"


def _addresses(site: Site, ip: tuple[str, ...]) -> Iterator[tuple[str | None, str]]:
    if site.address and "ipv4" not in ip:
        yield "address", "`ip` has no ipv4"
    if site.address6 and "ipv6" not in ip:
        yield "address6", '`ip` has no ipv6, add it: ip = ["ipv4", "ipv6"]'
    if "ipv6" in ip and site.mtu < MTU_MIN_IPV6:
        yield "mtu", f"{site.mtu} is less than IPv6 needs, {MTU_MIN_IPV6}"


def _firewall(site: Site) -> Iterator[tuple[str | None, str]]:
    for key, services in (("outbound", site.outbound or ()), ("inbound", site.inbound or ())):
        for service in services:
            if service.protocol in site.blocked:
                yield key, f"{service} can't pass where {service.protocol} is blocked"
            elif service.port is not None and Service(service.protocol) in services:
                yield key, f"{service} is part of {service.protocol}, which is in the list too"
