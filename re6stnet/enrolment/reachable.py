"""Whether this host reaches the overlay already, by the kernel's routes.

``/proc/net/ipv6_route`` (net/ipv6/route.c, ``rt6_info_route``), one route a line:

    DESTINATION LENGTH SOURCE LENGTH NEXT-HOP METRIC REFERENCES USE FLAGS DEVICE      all numbers hexadecimal
"""

from collections.abc import Iterable
from ipaddress import IPv6Network

from re6st_core.errors import ConfigError
from re6st_core.prefix import Network

ROUTES = "/proc/net/ipv6_route"
_UP, _REJECT, _ANYCAST, _LOCAL = 0x1, 0x200, 0x100000, 0x80000000
_DEFAULTS = {IPv6Network("::/0"), IPv6Network("2000::/3")}


def overlay_reached(network: Network) -> bool:
    """Whether there is a route to the overlay other than a default one or one that refuses."""
    try:
        with open(ROUTES, encoding="ascii") as file:
            return any(overlaps(route, network) for route in usable_routes(file))
    except FileNotFoundError:
        return False  # a kernel without IPv6
    except OSError as exc:
        raise ConfigError(f"{ROUTES} cannot be read: {exc.strerror}") from exc


def overlaps(route: IPv6Network, network: Network) -> bool:
    """Whether a route leads into the network."""
    return route.overlaps(network.cidr)


def usable_routes(lines: Iterable[str]) -> Iterable[IPv6Network]:
    """Destinations behind some interface; not default routes, own addresses, nor refusals."""
    for line in lines:
        destination, length, *_, flags_text, device = line.split()
        flags = int(flags_text, 16)
        if not flags & _UP or flags & (_REJECT | _ANYCAST | _LOCAL) or device == "lo":
            continue
        route = IPv6Network((int(destination, 16), int(length, 16)))
        if route not in _DEFAULTS:
            yield route
