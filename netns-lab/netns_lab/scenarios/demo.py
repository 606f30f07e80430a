"""A registry and eight nodes form a mesh, and pairs that the Internet serves badly get a better way.

    registry   n1   n2   n3   n4   n5      public, UDP and TCP
    n6                                     UDP blocked: its tunnels must be OpenVPN over TCP
    n7   n8                                behind one NAT

Expected: every pair answers within seconds of the last daemon's start; WireGuard and OpenVPN tunnels both
exist; at least one pair is faster over a relay than directly.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from netns_lab.echo import Pair, Prober, Reply
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Figure, Story

REGISTRY = "registry"
ANSWER_WITHIN_S = 60.0
CONVERGE_WITHIN_S = 40.0
STABLE_ROUNDS = 3
# A pair counts as faster only when noise can't explain it.
FASTER_BY = 0.9


async def play(stage: Stage) -> None:
    """Tell the story on a lab that is built."""
    lab, mesh, story = stage.lab, stage.mesh, stage.story
    await form(mesh, story)
    complete = await every_pair_answers(mesh, story)
    await tunnels_of_both_kinds(lab, mesh, story)
    if not complete:
        return
    with story.step("measuring the direct paths"):
        direct = await direct_times(lab, mesh.nodes)
    overlay = await converge(mesh, story, direct)
    story.show(matrix(mesh.nodes, direct, overlay))
    await verdict_on_relays(mesh, story, direct, overlay)
    story.show(Text.from_ansi(f"n1: re6st status\n{await mesh.show('n1')}"))
    if (late_p99_us := lab.internet.stats().late_p99_us) is not None:
        story.figure("underlay_late_p99", Figure(late_p99_us / 1000, "ms"))
    namespace = mesh.machine(REGISTRY).namespace
    story.event(f"registry: {mesh.url}  (from this host: ip netns exec {namespace} curl {mesh.url})")


async def form(mesh: Mesh, story: Story) -> None:
    """Registry, enrolment, daemons."""
    with story.step(f"a registry, and {len(mesh.nodes)} nodes that join it with a token each") as step:
        await mesh.unless_one_dies(mesh.form(step.progress))
    story.event(f"registry answers at {mesh.url}; all daemons started")


async def every_pair_answers(mesh: Mesh, story: Story) -> bool:
    """Ask over the overlay until all have answered all; the clock runs from the last daemon's start."""
    began = story.elapsed()
    pairs = {(a, b): mesh.addresses[b] for a in mesh.nodes for b in mesh.nodes if a != b}
    with story.step("the mesh forms") as step:

        def on_answer(pair: Pair, missing: int) -> None:
            step.progress(f"{len(pairs) - missing} of {len(pairs)} pairs answer")

        async with Prober(mesh.machines, pairs) as prober:
            asking = prober.until_all_answer(interval_s=0.1, within_s=ANSWER_WITHIN_S, on_answer=on_answer)
            missing = await mesh.unless_one_dies(asking)
    took_s = story.elapsed() - began
    story.figure("every_pair_answers", Figure(None if missing else took_s, "s", at_most=10, target=True))
    story.figure("pairs_answering", Figure(len(pairs) - len(missing), "", at_least=len(pairs)))
    memory = {node: mesh.rss_mb(node) for node in mesh.nodes}
    story.event(
        "memory of the daemons in MB: " + ", ".join(f"{node} {mb:.1f}" for node, mb in memory.items())
    )
    story.figure("largest_daemon", Figure(max(memory.values()), "MB", at_most=70, target=True))
    silent = ", ".join(f"{a}-{b}" for a, b in sorted(missing))
    return story.expect(not missing, f"no answer within {ANSWER_WITHIN_S:g} s: {silent}")


async def tunnels_of_both_kinds(lab: Lab, mesh: Mesh, story: Story) -> None:
    """WireGuard and OpenVPN are both in use, and only OpenVPN where UDP is blocked."""
    every = {node: await mesh.tunnels(node) for node in mesh.nodes}
    for transport in ("wireguard", "openvpn"):
        # Each tunnel is seen by both of its ends.
        ends = sum(t.transport == transport and t.active for tunnels in every.values() for t in tunnels)
        story.figure(f"{transport}_tunnel_ends", Figure(ends, "", at_least=1))
    for node in mesh.nodes:
        if "udp" in lab.topology.site_of(node).blocked:
            transports = {tunnel.transport for tunnel in every[node] if tunnel.active}
            story.expect(
                transports == {"openvpn"}, f"{node}, without UDP, has tunnels of {transports or 'no kind'}"
            )


async def direct_times(lab: Lab, nodes: tuple[str, ...]) -> dict[Pair, tuple[float, bool]]:
    """RTT of the underlay in ms for each unordered pair, and whether it was measured (else the matrix's)."""
    topology = lab.topology
    targets = {}
    for a, b in _unordered(nodes):
        for source, to in ((a, b), (b, a)):  # one direction is enough, and a NAT allows only one
            address = topology.direct_address(source, to)
            if address is not None:
                targets[source, to] = address
                break
    async with Prober(lab.machines, targets) as prober:
        replies = await prober.measure(count=3, interval_s=0.5, wait_s=0.5)
    times = {}
    for a, b in _unordered(nodes):
        reply = replies.get((a, b)) or replies.get((b, a))
        times[a, b] = (reply.rtt_ms, True) if reply else (topology.direct_rtt_ms(a, b), False)
    return times


async def converge(mesh: Mesh, story: Story, direct: Mapping[Pair, tuple[float, bool]]) -> dict[Pair, Reply]:
    """Measure the overlay until a pair has a better way and nothing moves for some rounds; the last round."""
    pairs = {(a, b): mesh.addresses[b] for a, b in direct}
    replies: dict[Pair, Reply] = {}
    with story.step("routes settle") as step, contextlib.suppress(TimeoutError):
        async with Prober(mesh.machines, pairs) as prober, asyncio.timeout(CONVERGE_WITHIN_S):
            stable = 0
            while stable < STABLE_ROUNDS or not faster(direct, replies):
                before = replies
                replies = await mesh.unless_one_dies(prober.measure(count=3, interval_s=0.5, wait_s=0.5))
                stable = stable + 1 if _same(before, replies) else 0
                step.progress(
                    f"{len(faster(direct, replies))} of {len(pairs)} pairs are faster than directly"
                )
    lost = ", ".join(f"{a}-{b}" for a, b in sorted(pairs.keys() - replies.keys()))
    story.expect(not lost, f"no answer any more: {lost}")
    return replies


async def verdict_on_relays(
    mesh: Mesh, story: Story, direct: Mapping[Pair, tuple[float, bool]], overlay: Mapping[Pair, Reply]
) -> None:
    """Name the pairs that gained, show the way of the one that gained most."""
    gained = sorted(faster(direct, overlay), key=lambda pair: overlay[pair].rtt_ms / direct[pair][0])
    story.figure("pairs_faster_over_a_relay", Figure(len(gained), "", at_least=1))
    names = {str(address): node for node, address in mesh.addresses.items()}
    for a, b in gained:
        now, then = overlay[a, b].rtt_ms, direct[a, b][0]
        story.event(f"{a}-{b}: {now:.0f} ms over {overlay[a, b].hops} hops, {then:.0f} ms directly")
    if gained:
        a, b = gained[0]
        argv = ["traceroute", "-6", "-n", "-q", "1", "-w", "2", "-m", "8", str(mesh.addresses[b])]
        output = await mesh.machine(a).call(argv, log=mesh.log(a))
        story.show(Text(f"{a}: {_with_names(output, names)}"))


def faster(direct: Mapping[Pair, tuple[float, bool]], overlay: Mapping[Pair, Reply]) -> list[Pair]:
    """The pairs that the overlay serves better than the Internet does, over a relay."""
    return [
        pair
        for pair, reply in overlay.items()
        if reply.hops > 1 and reply.rtt_ms < FASTER_BY * direct[pair][0]
    ]


def matrix(
    nodes: tuple[str, ...], direct: Mapping[Pair, tuple[float, bool]], overlay: Mapping[Pair, Reply]
) -> Table:
    """All pairs: overlay / direct."""
    table = Table("", *nodes[1:], title="RTT in ms: overlay / direct  (* from the topology, not measured)")
    for row, a in enumerate(nodes[:-1]):
        cells = [Text("")] * row
        for b in nodes[row + 1 :]:
            rtt_ms, measured = direct[a, b]
            reply = overlay.get((a, b))
            text = f"{f'{reply.rtt_ms:.0f}' if reply else '-'} / {rtt_ms:.0f}{'' if measured else '*'}"
            cells.append(Text(text, style="bold green" if (a, b) in faster(direct, overlay) else ""))
        table.add_row(a, *cells)
    return table


def _unordered(nodes: tuple[str, ...]) -> list[Pair]:
    return [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]


def _same(before: Mapping[Pair, Reply], after: Mapping[Pair, Reply]) -> bool:
    """Whether no pair has changed its way: same answers, times within 10 % or 5 ms."""
    return before.keys() == after.keys() and all(
        abs(after[pair].rtt_ms - before[pair].rtt_ms) <= max(5.0, 0.1 * before[pair].rtt_ms)
        for pair in before
    )


def _with_names(traceroute: str, names: Mapping[str, str]) -> str:
    """The output of traceroute with the node's name behind each address."""
    words = re.split(r"(\s+)", traceroute)
    return "".join(f"{word} ({names[word]})" if word in names else word for word in words)


SCENARIO = Scenario("a registry and eight nodes form a mesh that beats the direct paths", "demo.toml", play)
