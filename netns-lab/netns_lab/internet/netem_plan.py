"""The commands that make an Internet out of netem.  Pure: what it shall do in, text for the tools out.

In the Internet's namespace a bridge joins one cable per port; ``p0`` is its end of port 0::

    p0 --in--> nft: source, silent, cut, MTU, groups; class by p0 --> bridge --out--> p1
                                                            HTB 1:1    line down of port 1
                                                             +-- 1:2   netem: path from port 0
                                                             +-- 1:4   netem: path from port 2

The line up of a port is a TBF on the port's own interface.  What goes out at any port in class ``1:n+2``
(hexadecimal) came from port n.  nft chooses the class, because few kernels have every classifier of tc.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from netns_lab.internet.link import MTU_MAX, Line, Link
from netns_lab.internet.switch_model import HEADER, port_mac

BRIDGE = "wire"
_NO_LIMIT_MBIT = 100_000.0
_QUEUE_S = 0.1
_FRAMES = 8192  # in flight on a path without a rate, as in the switch
_CARRIED = "ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00", "ether type arp"
_NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"


@dataclass(slots=True)
class Wanted:
    """What the Internet shall do at the moment; ``ports`` are those that lead somewhere."""

    ports: Sequence[int]
    links: list[list[Link]]
    lines: list[Line]
    silent: set[int] = field(default_factory=set)
    cut: set[tuple[int, int]] = field(default_factory=set)


def cable(port: int) -> str:
    """The end of a port's cable that is on the bridge."""
    return f"p{port}"


def cables(interfaces: Sequence[tuple[str, str] | None]) -> Iterator[str]:
    """``ip -batch``: the bridge, and a cable to each (namespace, interface); None leads nowhere."""
    yield f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    yield f"link set {BRIDGE} up"
    for port, where in enumerate(interfaces):
        if where:
            namespace, interface = where
            # Frames as on a wire: not what TCP hands over for the network card to divide.
            yield f"link add {cable(port)} type veth peer name {interface} gso_max_segs 1 netns {namespace}"
            yield f"link set {cable(port)} master {BRIDGE} up"
            # Who is where is known: nothing to learn, nothing to flood that is not for all.
            yield f"link set {cable(port)} type bridge_slave learning off flood off"


def addresses(ports: Iterable[int]) -> Iterator[str]:
    """``bridge -batch``: the MAC address behind each port."""
    return (f"fdb replace {port_mac(port)} dev {cable(port)} master static" for port in ports)


def rules(wanted: Wanted) -> Iterator[str]:
    """``nft -f``: what is dropped where it comes in, and the class of what is not; replaces former rules."""
    mtus: dict[int, list[tuple[int, int]]] = {}
    for source, to in paths(wanted.ports):
        if (mtu := wanted.links[source][to].mtu) < MTU_MAX:
            mtus.setdefault(mtu, []).append((source, to))
    yield "table bridge lab"
    yield "delete table bridge lab"
    yield "table bridge lab {"
    macs = [f"{cable(port)} . {port_mac(port)}" for port in wanted.ports]
    yield from _set("sources", "ifname . ether_addr", macs)
    yield from _set("silent", "ifname", [cable(port) for port in sorted(wanted.silent)])
    yield from _set("cut", "ifname . ifname", _pairs(sorted(wanted.cut)))
    for mtu, pairs in sorted(mtus.items()):
        yield from _set(f"mtu_{mtu}", "ifname . ifname", _pairs(pairs))
    classes = ", ".join(f"{cable(port)} : {_class(port)}" for port in wanted.ports)
    yield f"  map class {{ type ifname : classid; elements = {{ {classes} }}; }}"
    yield "  chain forward {"
    yield "    type filter hook forward priority filter;"
    yield "    iifname . ether saddr != @sources drop"
    yield "    iifname @silent drop"
    yield "    oifname @silent drop"
    yield "    iifname . oifname @cut drop"
    for mtu in sorted(mtus):
        yield f"    ether type {{ ip, ip6 }} iifname . oifname @mtu_{mtu} meta length > {mtu} drop"
    yield "    meta priority set iifname map @class"
    yield from (f"    {each} accept" for each in (*_CARRIED, _NEIGHBOURS))
    yield "    drop"
    yield "  }"
    yield "}"


def queues(wanted: Wanted) -> Iterator[str]:
    """``tc -batch``: the line down of each port, and in it the path from each other port."""
    for to in wanted.ports:
        yield f"qdisc add dev {cable(to)} root handle 1: htb"
        yield line_down(to, wanted.lines[to])
        for source in wanted.ports:
            if source != to:
                yield from path(source, to, wanted.links[source][to])


def path(source: int, to: int, link: Link) -> Iterator[str]:
    """``tc -batch``: a path that did not exist."""
    htb = f"rate 8kbit ceil {_bit(_NO_LIMIT_MBIT)} cburst {_burst(_NO_LIMIT_MBIT)} quantum 1514"
    yield f"class replace dev {cable(to)} parent 1:1 classid {_class(source)} htb {htb}"
    yield change_path("add", source, to, link)


def change_path(verb: str, source: int, to: int, link: Link) -> str:
    """``tc``: ``add`` a path's netem, or ``change`` it, which leaves in place what is in flight."""
    where = f"dev {cable(to)} parent {_class(source)} handle {source + 2:x}:"
    return f"qdisc {verb} {where} netem {netem(link)}"


def empty_path(source: int, to: int, link: Link) -> Iterator[str]:
    """``tc -batch``: lose what is in flight on a path."""
    yield f"qdisc del dev {cable(to)} parent {_class(source)}"
    yield change_path("add", source, to, link)


def line_down(port: int, line: Line) -> str:
    """``tc``: the rate at which a port receives, of all paths together."""
    rate_mbit = line.down_mbit or _NO_LIMIT_MBIT
    htb = f"rate {_bit(rate_mbit)} burst {_burst(rate_mbit)} cburst {_burst(rate_mbit)} quantum 1514"
    return f"class replace dev {cable(port)} parent 1: classid 1:1 htb {htb}"


def line_up(interface: str, line: Line) -> str:
    """``tc`` in the port's own namespace: the rate at which it sends; no line but a fifo without a limit."""
    if line.up_mbit is None:
        return f"qdisc replace dev {interface} root pfifo"
    tbf = f"rate {_bit(line.up_mbit)} burst {_burst(line.up_mbit)} latency 100ms"
    return f"qdisc replace dev {interface} root tbf {tbf}"


def netem(link: Link) -> str:
    """netem's own words for a link; all of them each time, because what is left out would stay as it was.

    netem's jitter is to both sides of the delay, ours above it.  It keeps the order only if there is a rate.
    """
    delay_us, jitter_us = round(link.delay_ms * 1000), round(link.jitter_ms * 1000)
    rate_mbit, frames = link.rate_mbit, _FRAMES
    if rate_mbit is not None:
        seconds = (delay_us + jitter_us) / 1e6 + _QUEUE_S
        frames = max(2, math.ceil(rate_mbit * 1e6 * seconds / 8 / (MTU_MAX + HEADER)))
    elif jitter_us and not link.reorder:
        rate_mbit = _NO_LIMIT_MBIT
    delay = f"delay {delay_us + jitter_us // 2}us {jitter_us // 2}us"
    return f"limit {frames} {delay} loss random {100 * link.loss:.7g}% rate {_bit(rate_mbit or 0)}"


def paths(ports: Iterable[int]) -> Iterator[tuple[int, int]]:
    """All pairs of two of these ports, in both directions."""
    known = list(ports)
    return ((source, to) for source in known for to in known if source != to)


def _class(source: int) -> str:
    return f"1:{source + 2:x}"


def _burst(rate_mbit: float) -> int:
    """Bytes that may go at once: what the rate allows in 1 ms, two frames at least."""
    return max(2 * (MTU_MAX + HEADER), math.ceil(rate_mbit * 1e3 / 8))


def _bit(rate_mbit: float) -> str:
    return f"{round(rate_mbit * 1e6)}bit"


def _pairs(pairs: Iterable[tuple[int, int]]) -> list[str]:
    return [f"{cable(source)} . {cable(to)}" for source, to in pairs]


def _set(name: str, kind: str, elements: Sequence[str]) -> Iterator[str]:
    filled = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    yield f"  set {name} {{ type {kind};{filled} }}"
