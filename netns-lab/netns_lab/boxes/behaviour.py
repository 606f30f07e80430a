"""How a NAT behaves, in the words of RFC 4787: what mapping and filter depend on, and which kind does what.

::

    inside host          NAT box                       Internet
    10.0.0.2:4000  --->  203.0.113.9:X  --->  peer     mapping: what else must be equal for X to stay the same
    10.0.0.2:4000  <---  203.0.113.9:X  <---  anybody  filtering: what must have been sent to for this to pass

The kinds are named as people name them (RFC 3489); each is a row of :data:`KINDS`.  What is here is what a
box claims; ``nat_probe`` measures what it does.
"""

from dataclasses import dataclass, replace
from enum import IntEnum


class Depends(IntEnum):
    """What a mapping or a filter depends on, beyond the inside address and port; larger is stricter."""

    NOTHING = 0  # "endpoint-independent"
    ADDRESS = 1  # "address-dependent"
    ADDRESS_AND_PORT = 2  # "address and port-dependent"

    @property
    def words(self) -> str:
        """As RFC 4787 writes it."""
        return ("endpoint-independent", "address-dependent", "address and port-dependent")[self]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Of one NAT for UDP, or of several behind each other as seen from the inside host."""

    mapping: Depends
    filtering: Depends
    preserves_port: bool
    """The outside port is the inside host's, while nobody else has it."""
    overloads_port: bool = False
    """Two inside hosts can have the same outside port towards different peers (RFC 4787, section 4.2.1)."""
    hairpin: bool = False
    """Inside hosts reach each other by their outside addresses when both send."""


KINDS = {
    "full_cone": Behaviour(Depends.NOTHING, Depends.NOTHING, preserves_port=True),
    "address_restricted": Behaviour(Depends.NOTHING, Depends.ADDRESS, preserves_port=True),
    "port_restricted": Behaviour(Depends.NOTHING, Depends.ADDRESS_AND_PORT, preserves_port=True),
    "symmetric": Behaviour(Depends.ADDRESS_AND_PORT, Depends.ADDRESS_AND_PORT, preserves_port=False),
    # A Linux router: its mapping is independent until two hosts want the same port towards the same peer.
    "masquerade": Behaviour(
        Depends.NOTHING, Depends.ADDRESS_AND_PORT, preserves_port=True, overloads_port=True
    ),
    # RFC 6888: a carrier's NAT does as RFC 4787 says (REQ-1: independent mapping), should not filter (REQ-7),
    # and has too many subscribers on an address to keep their ports.
    "carrier": Behaviour(Depends.NOTHING, Depends.NOTHING, preserves_port=False),
}
"""One box each, without hairpin."""

CARRIER_GRADE = "carrier_grade"
BOXES = {
    **{kind: (kind,) for kind in KINDS if kind != "carrier"},
    CARRIER_GRADE: ("port_restricted", "carrier"),
}
"""What a topology file calls a kind -> the boxes that make it, from the inside out."""


BLOCKED_UDP = "blocked_udp"
"""No NAT, but no UDP either."""
ENDS: tuple[str | None, ...] = (None, *BOXES, BLOCKED_UDP)
"""What a node can be behind; None: nothing."""


def behaviour_of(kind: str, *, hairpin: bool = False) -> Behaviour:
    """What the inside hosts of a site with ``nat = kind`` see; KeyError: no such kind.

    Where the mapping depends on the peer, packets that turn round come from a port that the other host has
    never sent to, and a filter that depends on the port drops them: then hairpin makes no difference.
    """
    inner, *outer = (KINDS[box] for box in BOXES[kind])
    for box in outer:
        inner = behind(inner, box)
    blind = inner.mapping is not Depends.NOTHING and inner.filtering is Depends.ADDRESS_AND_PORT
    return replace(inner, hairpin=hairpin and not blind)


def behind(inner: Behaviour, outer: Behaviour) -> Behaviour:
    """Two NATs behind each other: the stricter counts; packets turn round at the outer one."""
    return Behaviour(
        max(inner.mapping, outer.mapping),
        max(inner.filtering, outer.filtering),
        preserves_port=inner.preserves_port and outer.preserves_port,
        overloads_port=inner.overloads_port or outer.overloads_port,
        hairpin=outer.hairpin,
    )
