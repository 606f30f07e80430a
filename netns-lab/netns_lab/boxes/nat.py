"""A NAT box of a given kind, made of nftables alone: one public address for a LAN, nothing comes in unasked.

A packet of an inside host A:a leaves as E:X towards P:p.  What remembers it::

    mapping   A:a -> X        the same X for all peers, looked up before conntrack picks a port of its own
    owner     X -> A:a        where packets from elsewhere go; X is nobody else's
    pairs     A:a . X         tells one's own port from another host's
    allowed   X . P [. p]     whom A:a has sent to: the filter

conntrack translates and carries ICMP errors; these sets, filled and refreshed by the packets themselves
behind the translation, decide what conntrack alone gets wrong.  They time out as conntrack's entries do,
which packets of both directions refresh (RFC 4787 REQ-6 allows it).  ``docs/decisions/0010-nat-kinds.md`` has
the reasons, and what stays inexact.

Unsolicited packets are dropped before conntrack confirms an entry: else an early packet of a peer that is
punching a hole would take the very mapping that the inside host needs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from netns_lab.boxes.behaviour import KINDS, Behaviour, Depends
from netns_lab.namespace import Machine

UDP_TIMEOUT_S = 300
"""RFC 4787 REQ-5: not under 2 minutes, 5 recommended."""

# Of the first packet of a flow, and of the answer to it: a pair of address and port, from where or to where.
_FIRST_FROM, _FIRST_TO = (
    "ct original ip saddr . ct original proto-src",
    "ct original ip daddr . ct original proto-dst",
)
_ANSWER_FROM, _ANSWER_TO = "ct reply ip saddr . ct reply proto-src", "ct reply ip daddr . ct reply proto-dst"
_TO_OUR_OUTSIDE = "fib daddr type local fib daddr . iif type != local"  # of packets that come from inside

_TABLE = """
define inside = "{inside}"
define outside = "{outside}"
table ip nat_box {{
    {sets}
    chain arriving {{
        type nat hook prerouting priority dstnat; policy accept;
        {arriving}
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        iifname $inside oifname $inside ct status dnat goto turning
        oifname $outside goto out
    }}
    chain turning {{
        {turning}
    }}
    chain out {{
        {out}
    }}
    chain translated {{
        type filter hook postrouting priority srcnat + 1; policy accept;
        {translated}
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state invalid drop
        ct state established,related accept
        iifname $inside oifname $outside accept
        ct status dnat accept
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname $inside meta l4proto udp {to_our_outside} drop
        iifname {{ "lo", $inside }} accept
    }}
}}
"""


def install_nat(
    box: Machine,
    kind: str,
    *,
    inside: str,
    outside: str,
    hairpin: bool = False,
    udp_timeout_s: int | None = None,
) -> None:
    """Turn a machine whose interfaces are set up into a NAT box of one of :data:`KINDS`.

    ``carrier_grade`` is two boxes, see :data:`netns_lab.boxes.behaviour.BOXES`.  ``udp_timeout_s``: how long
    a mapping lives without packets; default 300, for ``masquerade`` Linux's own 30 (unanswered) and 120.
    Raises KeyError for an unknown kind, RouterError when the kernel refuses.
    """
    nat = replace(KINDS[kind], hairpin=hairpin)
    if udp_timeout_s is None and not nat.overloads_port:
        udp_timeout_s = UDP_TIMEOUT_S
    # Packets that turn round on a bridge would come to the rules without the interface they came in by.
    box.sysctl({"net.ipv4.ip_forward": 1, "net.bridge.bridge-nf-call-iptables": 0})
    rules = ruleset(nat, inside=inside, outside=outside, udp_timeout_s=udp_timeout_s or 120)
    box.nft(rules)
    if udp_timeout_s is not None:
        names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
        box.sysctl({f"net.netfilter.{name}": udp_timeout_s for name in names}, must_exist=True)


def ruleset(nat: Behaviour, *, inside: str, outside: str, udp_timeout_s: int) -> str:
    """The nftables rules of a box that behaves so between two interfaces."""
    return _TABLE.format(
        inside=inside,
        outside=outside,
        sets=_lines(_sets(nat, udp_timeout_s), 1),
        arriving=_lines(_arriving(nat), 2),
        # The address that the packet was sent to is the one it must seem to come from (RFC 4787 REQ-9).
        turning=_lines(_translation(nat, "snat to ct original ip daddr", "snat to ct original ip daddr"), 2),
        out=_lines(_translation(nat, "masquerade", "masquerade to"), 2),
        translated=_lines(_translated(nat), 2),
        to_our_outside=_TO_OUR_OUTSIDE,
    )


def _lines(lines: Iterable[str], depth: int) -> str:
    return ("\n" + "    " * depth).join(lines)


def _owns_ports(nat: Behaviour) -> bool:
    """Whether an outside port is one inside host's, for all peers."""
    return nat.mapping is Depends.NOTHING and not nat.overloads_port


def _remembers(nat: Behaviour) -> bool:
    # Without independent mapping no filter lets a turned packet through, so there is nothing to know.
    return _owns_ports(nat) or (nat.hairpin and nat.mapping is Depends.NOTHING)


def _sets(nat: Behaviour, udp_timeout_s: int) -> Iterator[str]:
    memory = f"flags dynamic,timeout; timeout {udp_timeout_s}s"
    if _remembers(nat):
        yield f"map mapping {{ type ipv4_addr . inet_service : inet_service; {memory}; size 65535; }}"
        yield f"map owner {{ type inet_service : ipv4_addr . inet_service; {memory}; size 65535; }}"
        yield f"set pairs {{ type ipv4_addr . inet_service . inet_service; {memory}; size 65535; }}"
        peer = {Depends.ADDRESS: "ipv4_addr", Depends.ADDRESS_AND_PORT: "ipv4_addr . inet_service"}
        if nat.filtering in peer:
            yield f"set allowed {{ type inet_service . {peer[nat.filtering]}; {memory}; size 262144; }}"


def _arriving(nat: Behaviour) -> Iterator[str]:
    if not _remembers(nat):
        return
    to_owner = "dnat to udp dport map @owner"
    if nat.filtering is Depends.NOTHING:
        yield f"iifname $outside fib daddr type local meta l4proto udp {to_owner}"
    elif nat.filtering is Depends.ADDRESS:
        yield f"iifname $outside fib daddr type local udp dport . ip saddr @allowed {to_owner}"
    # Address and port: whom the inside host has sent to is in conntrack already.
    if nat.hairpin:
        yield f"iifname $inside {_TO_OUR_OUTSIDE} meta l4proto udp {to_owner}"


def _translation(nat: Behaviour, translate: str, translate_to: str) -> Iterator[str]:
    """Which port a new flow leaves from; the rules see first packets only."""
    if _owns_ports(nat):
        yield f"meta l4proto udp {translate_to} : ip saddr . udp sport map @mapping"
        yield f"udp sport @owner {translate} random"
    yield translate if nat.preserves_port else f"{translate} fully-random"


def _translated(nat: Behaviour) -> Iterator[str]:
    """Every packet, behind the translation: remember it, and drop what the choice of port got wrong."""
    if not _remembers(nat):
        return
    udp_out = "iifname $inside meta l4proto udp"
    if _owns_ports(nat):
        own = f"{_FIRST_FROM} . udp sport"
        first = f"{udp_out} ct direction original"
        # conntrack drew another host's port, or a second port at the same moment: the next try draws again.
        yield f"{first} udp sport @owner {own} != @pairs drop"
        yield f"{first} {_FIRST_FROM} @mapping {own} != @pairs drop"
    for direction, host, peer in (("original", _FIRST_FROM, _FIRST_TO), ("reply", _ANSWER_FROM, _ANSWER_TO)):
        yield f"{udp_out} ct direction {direction} {_remember(nat, host, 'udp sport', peer)}"
    udp_in = "iifname $outside meta l4proto udp"
    yield f"{udp_in} ct direction original {_remember(nat, _ANSWER_FROM, 'ct original proto-dst', None)}"
    yield f"{udp_in} ct direction reply {_remember(nat, _FIRST_FROM, 'ct reply proto-dst', None)}"
    if nat.hairpin and nat.filtering is not Depends.NOTHING:
        # Only here the sender's outside port is known; whoever drops it has remembered it above.
        sender = "ip saddr" if nat.filtering is Depends.ADDRESS else "ip saddr . udp sport"
        pair = f"ct original proto-dst . {sender}"
        yield f"{udp_out} oifname $inside ct direction original ct state new {pair} != @allowed drop"


def _remember(nat: Behaviour, host: str, port: str, peer: str | None) -> str:
    """Statements that enter or refresh a mapping, and open the filter to a peer that was sent to."""
    statements = [
        f"update @mapping {{ {host} : {port} }}",
        f"update @owner {{ {port} : {host} }}",
        f"update @pairs {{ {host} . {port} }}",
    ]
    if peer is not None and nat.filtering is not Depends.NOTHING:
        if nat.filtering is Depends.ADDRESS:
            peer = peer.partition(" . ")[0]
        statements.append(f"update @allowed {{ {port} . {peer} }}")
    return " ".join(statements)
