"""Give every site its addresses: those the file states, and for the others the next that are free.  Pure.

With IPv6, the first /64 of its Internet is for the sites themselves; the n-th after it is for the LAN behind
the NAT box of the n-th site, if it has one, as providers route a prefix to a home.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netns_lab.topology.form import Table
from netns_lab.topology.model import CARRIER_SPACE, FIRST_NODE, OVERLAY, Site, Topology
from netns_lab.topology.sites import Draft
from re6st_core.errors import ConfigError

INTERNET, INTERNET6 = "203.0.113.0/24", "2001:db8:1::/48"
_LANS = IPv4Network("192.168.0.0/16")


@dataclass(frozen=True, slots=True)
class Underlay:
    """The two Internets, and the table that says so."""

    internet: IPv4Network
    internet6: IPv6Network
    table: Table


def read_underlay(document: Table) -> Underlay:
    """The keys ``internet`` and ``internet6``, with their defaults."""
    internet = document.network4("internet", INTERNET) or IPv4Network(INTERNET)
    internet6 = document.network6("internet6", INTERNET6) or IPv6Network(INTERNET6)
    if internet.overlaps(CARRIER_SPACE):
        document.wrong("internet", f"{internet} overlaps the network of carriers, {CARRIER_SPACE}")
    if internet6.prefixlen > 63:
        document.wrong("internet6", f"{internet6} has no room for LANs: a prefix of 63 bits at most")
        internet6 = IPv6Network(INTERNET6)
    if internet6.overlaps(OVERLAY):
        document.wrong("internet6", f"{internet6} overlaps the network of the mesh, {OVERLAY}")
    return Underlay(internet, internet6, document)


def give_addresses(drafts: list[Draft], underlay: Underlay) -> tuple[Site, ...]:
    """The sites with all of their addresses; what is stated is checked against the rest."""
    _stated_fit(drafts, underlay)
    free4 = _free4(drafts, underlay)
    free6 = _free6(drafts, underlay)
    sites = []
    for number, draft in enumerate(drafts, 1):
        site = draft.site
        online4 = not site.offline and "ipv4" in draft.ip
        online6 = not site.offline and "ipv6" in draft.ip
        behind = site.nat is not None or site.offline
        sites.append(
            replace(
                site,
                address=(site.address or next(free4, None)) if online4 else None,
                address6=(site.address6 or next(free6, None)) if online6 else None,
                lan=site.lan or _lan(number, draft) if behind and "ipv4" in draft.ip else None,
                lan6=_lan6(number, draft, underlay) if behind and "ipv6" in draft.ip else None,
            )
        )
    _lans_fit(sites, drafts, underlay)
    _all_have_one(sites, drafts, underlay)
    return tuple(sites)


def with_address(topology: Topology, port: int, address: IPv4Address | IPv6Address) -> Topology:
    """The topology with another public address for the site of a port.

    Raises ConfigError when the site has none of that version, or the new one does not fit.
    """
    before = topology.sites[port]
    key = "address" if isinstance(address, IPv4Address) else "address6"
    network = topology.internet if isinstance(address, IPv4Address) else _first64(topology.internet6)
    if getattr(before, key) is None:
        raise ConfigError(f"site {before.name} has no public IPv{address.version} address that could change")
    if address not in network or address in _not_usable(network):
        raise ConfigError(f"{address} is not an address of the Internet, {network}")
    for site in topology.sites:
        if getattr(site, key) == address:
            raise ConfigError(f"{address} is the address of site {site.name}")
    if isinstance(address, IPv4Address):
        after = replace(before, address=address)
    else:
        after = replace(before, address6=address)
    return replace(topology, sites=tuple(after if site is before else site for site in topology.sites))


def _stated_fit(drafts: list[Draft], underlay: Underlay) -> None:
    """Stated addresses are of the Internet, usable, and given once."""
    owners: dict[IPv4Address | IPv6Address, str] = {}
    first64 = _first64(underlay.internet6)
    for draft in drafts:
        site, table = draft.site, draft.table
        if site.address and site.address not in underlay.internet:
            table.wrong("address", f"{site.address} is not in the Internet, {underlay.internet}")
        elif site.address in _not_usable(underlay.internet):
            table.wrong("address", f"{site.address} is not an address that a machine can have")
        if site.address6 and site.address6 not in first64:
            table.wrong("address6", f"{site.address6} is not in {first64}, the part of the sites themselves")
        elif site.address6 in _not_usable(first64):
            table.wrong("address6", f"{site.address6} is not an address that a machine can have")
        for key, address in (("address", site.address), ("address6", site.address6)):
            if address is None:
                continue
            if address in owners:
                table.wrong(key, f"{address} is that of site {owners[address]} already")
            owners.setdefault(address, site.name)


def _first64(internet6: IPv6Network) -> IPv6Network:
    return IPv6Network((internet6.network_address, 64))


def _not_usable(network: IPv4Network | IPv6Network) -> tuple[IPv4Address | IPv6Address, ...]:
    """Addresses that no machine can have: that of the network (in IPv6, of all routers), and of all."""
    if isinstance(network, IPv6Network):
        return (network.network_address,)
    return (network.network_address, network.broadcast_address) if network.prefixlen < 31 else ()


def _free4(drafts: list[Draft], underlay: Underlay) -> Iterator[IPv4Address]:
    stated = {draft.site.address for draft in drafts}
    return (address for address in underlay.internet.hosts() if address not in stated)


def _free6(drafts: list[Draft], underlay: Underlay) -> Iterator[IPv6Address]:
    stated = {draft.site.address6 for draft in drafts}
    first = underlay.internet6.network_address
    return (first + i for i in range(1, 1 << 32) if first + i not in stated)


def _lan(number: int, draft: Draft) -> IPv4Network | None:
    """192.168.<n>.0/24 of the n-th site."""
    if number < 256:
        return IPv4Network((_LANS.network_address + (number << 8), 24))
    draft.table.wrong(None, 'no network is left for its LAN, state one: lan = "10.1.2.0/24"')
    return None


def _lan6(number: int, draft: Draft, underlay: Underlay) -> IPv6Network | None:
    if number < 1 << 64 - underlay.internet6.prefixlen:
        return IPv6Network((underlay.internet6.network_address + (number << 64), 64))
    draft.table.wrong(None, f"no /64 is left in {underlay.internet6} for its LAN, enlarge internet6")
    return None


def _lans_fit(sites: list[Site], drafts: list[Draft], underlay: Underlay) -> None:
    """LANs have room, and overlap nothing; two homes may well have the very same one, as in real life."""
    seen: dict[IPv4Network, str] = {}
    for site, draft in zip(sites, drafts, strict=True):
        lan = site.lan
        if lan is None:
            continue
        if lan.num_addresses < FIRST_NODE + len(site.nodes) + 1:  # the last is for broadcasts
            draft.table.wrong("lan", f"{lan} is too small: nodes begin at address {FIRST_NODE} of it")
        for taken, whose in ((underlay.internet, "the Internet"), (CARRIER_SPACE, "the network of carriers")):
            if lan.overlaps(taken):
                draft.table.wrong("lan", f"{lan} overlaps {whose}, {taken}")
        for other, name in seen.items():
            if other != lan and other.overlaps(lan):
                draft.table.wrong("lan", f"{lan} overlaps {other}, the LAN of site {name}")
        seen.setdefault(lan, site.name)


def _all_have_one(sites: list[Site], drafts: list[Draft], underlay: Underlay) -> None:
    for site, draft in zip(sites, drafts, strict=True):
        if "ipv4" in draft.ip and not site.offline and site.address is None:
            underlay.table.wrong(
                "internet",
                f"{underlay.internet} has no address left for site {site.name}, enlarge it "
                f"(198.18.0.0/15 has 131070)",
            )
            return
