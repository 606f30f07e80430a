"""Who has which address of the Internet, told to each site in advance.  Pure: makes ``ip`` commands.

All of the Internet is one link, so without this each site would ask all others for the MAC address of each
one it wants to reach, over delays that no real ARP knows.  Sixty sites that start together ask 3,540 times,
208,860 frames, more than the switch holds; and the kernel keeps at most ``gc_thresh3`` learned neighbours,
1,024 by default, for all namespaces together.  Permanent entries do not count.

An address that changes hands is still found, by asking, where no entry names its former owner.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from netns_lab.internet.switch_model import port_mac


def introduce(
    interface: str, own: int, addresses: Sequence[Iterable[IPv4Address | IPv6Address]]
) -> Iterator[str]:
    """``ip`` commands for the site at port ``own``: who is behind each other port, at these addresses."""
    for port, of_port in enumerate(addresses):
        if port != own:
            for address in of_port:
                yield f"neigh replace {address} lladdr {port_mac(port)} dev {interface} nud permanent"
