"""The stories the model tells: those of the lab, by the same names, and some that need no kernel."""

from collections import Counter
from collections.abc import Callable

from netns_lab.boxes.behaviour import BOXES
from netns_lab.boxes.nat_pairs import expected_direct
from netns_lab.model.node import Node, Settings
from netns_lab.model.stage import Result, Stage
from netns_lab.model.underlay import Firewall
from re6st_core.peer_wire import OPENVPN, WIREGUARD

MEMBERSHIP = "issue 4: parameters spread from node to node"
TRAVERSAL = "issue 5: two nodes behind NATs open at once"
CLOCK = "issue 5: a node without trusted time gets tunnels"
BOOTSTRAP = "issue 5: bootstrap from cached peers"
HEAL = "issue 4: peers that came back are tried soon"
ROTATION = "issue 4: both ends agree before a tunnel is flushed"
RETRY_S = 300.0 * 1.25
"""The longest that an engine waits before it tries a peer again."""

Story = Callable[[Stage], Result]


def cold_start(stage: Stage) -> Result:
    """All nodes start within two seconds, with nothing but the registry's address."""
    stage.populate()
    took_s = stage.until_reached(within_s=120)
    stage.figure("full_reach", took_s, "s", at_most=60)
    return stage.end()


def relay_dies(stage: Stage) -> Result:
    """The node that carries most paths vanishes without a word."""
    stage.populate()
    stage.form()
    relay = _busiest(stage)
    relay.kill()
    outage_s = stage.watch(120)
    stage.figure("longest_outage", outage_s, "s", at_most=20)
    stage.figure("blackout", outage_s, "s", at_most=1)
    return stage.end()


def link_flaps(stage: Stage) -> Result:
    """For ten minutes the path between two sites is cut again and again, for seconds."""
    stage.populate()
    stage.form()
    worst_s = 0.0
    for _ in range(20):
        link = stage.rng.choice(list(stage.mesh.links.values()))
        one, other = (stage.mesh.nodes[i] for i in link.nodes)
        stage.mesh.cut([one], [other])
        worst_s = max(worst_s, stage.watch(stage.rng.uniform(0.5, 12.0)))
        stage.mesh.heal()
        worst_s = max(worst_s, stage.watch(stage.rng.uniform(5.0, 30.0)))
    stage.figure("longest_outage", worst_s, "s", at_most=20)
    return stage.end()


def partition(stage: Stage) -> Result:
    """The Internet falls into two halves for ten minutes, the registry in one of them."""
    stage.populate()
    stage.form()
    halves: tuple[list[Node], list[Node]] = ([], [])
    sites = sorted({n.host.site for n in stage.mesh.nodes})
    other = set(stage.rng.sample(sites, len(sites) // 2))
    for node in stage.mesh.nodes:
        halves[node.host.site in other].append(node)
    # In each half somebody can be reached by strangers, else no tunnel can be made there.
    groups = [half for half in halves if any(n.registrar.endpoints and n.host.firewall.udp for n in half)]
    stage.mesh.cut(*halves)
    stage.mesh.underlay.cut({stage.mesh.registry.host.site}, other)
    stage.mesh.refresh()
    took_s = stage.until_reached(within_s=600, groups=groups)
    stage.figure("halves_reach", took_s, "s", at_most=2 * RETRY_S)
    stage.mesh.run(600 - (took_s or 600))
    stage.mesh.heal()
    healed_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("heal", healed_s, "s", at_most=2 * RETRY_S)
    stage.figure("heal_soon", healed_s, "s", at_most=30, gap=HEAL)
    return stage.end()


def registry_away(stage: Stage) -> Result:
    """The registry goes and stays away; later a node is restarted."""
    stage.populate()
    stage.form()
    stage.mesh.registry.stop()
    stage.figure("longest_outage", stage.watch(3600), "s", at_most=30)
    node = stage.rng.choice(stage.mesh.nodes)
    node.stop()
    stage.mesh.run(10)
    node.start()
    back_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("restarted_node_back", back_s, "s", at_most=2 * RETRY_S)
    stage.figure("back_soon", back_s, "s", at_most=5, gap=BOOTSTRAP)
    return stage.end()


def half_killed(stage: Stage) -> Result:
    """Half of the nodes vanish at one moment."""
    stage.populate()
    stage.form()
    public = [n for n in stage.mesh.nodes if n.registrar.endpoints and n.host.firewall.udp]
    spared = set(stage.rng.sample(public, 2))
    victims = [n for n in stage.mesh.nodes if n not in spared]
    for node in stage.rng.sample(victims, min(stage.size // 2, len(victims))):
        node.kill()
    took_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("full_reach", took_s, "s", at_most=120)
    return stage.end()


def revoked(stage: Stage) -> Result:
    """A node's certificate is revoked: it loses all tunnels."""
    stage.populate()
    stage.form()
    node = stage.rng.choice(stage.mesh.nodes)
    stage.mesh.revoke(node)
    others = [n for n in stage.mesh.nodes if n is not node]
    began = stage.mesh.now

    def is_cut_off() -> bool:
        return not any(t.peer == node.prefix for n in others if n.engine for t in n.engine.tunnels)

    while not is_cut_off() and stage.mesh.now - began < 6000:
        stage.mesh.run(1.0)
    took_s = stage.mesh.now - began if is_cut_off() else None
    stage.figure("cut_off", took_s, "s", at_most=4600)
    stage.figure("cut_off_soon", took_s, "s", at_most=5, gap=MEMBERSHIP)
    stage.mesh.run(600)
    stage.expect(is_cut_off(), f"{node.name} is revoked and has tunnels again")
    return stage.end([others])


def clock_wrong(stage: Stage) -> Result:
    """A node's clock is wrong by a day; it joins all the same."""
    stage.populate()
    node = stage.rng.choice(stage.mesh.nodes)
    node.clock_offset_s = stage.rng.choice((-86400.0, 86400.0))
    others = [n for n in stage.mesh.nodes if n is not node]
    stage.figure("others_reach", stage.until_reached(within_s=120, groups=[others]), "s", at_most=60)
    stage.figure("full_reach", stage.until_reached(within_s=60), "s", at_most=60, gap=CLOCK)
    return stage.end([others])


def nat_matrix(stage: Stage) -> Result:
    """Two nodes of each NAT kind and two public ones, each wanting a tunnel with everybody."""
    kinds = [kind for kind in (None, *BOXES) for _ in range(2)]
    for kind in kinds:
        settings = Settings(client_count=len(kinds), max_clients=len(kinds))
        stage.add(None if kind is None else stage.home(kind), settings=settings)
    stage.figure("full_reach", stage.until_reached(within_s=120), "s", at_most=60)
    stage.mesh.run(300)
    direct = {
        link.nodes for link in stage.mesh.links.values() if not link.carrier.openvpn and all(link.alive)
    }
    expected = {
        (a, b)
        for a in range(len(kinds))
        for b in range(a + 1, len(kinds))
        if expected_direct(kinds[a], kinds[b])
    }
    with_public = {pair for pair in expected if None in (kinds[pair[0]], kinds[pair[1]])}
    stage.figure("direct_with_public", len(direct & with_public), "pairs", at_least=len(with_public))
    stage.figure("direct", len(direct & expected), "pairs", at_least=len(expected), gap=TRAVERSAL)
    stage.expect(direct <= expected, f"a tunnel that no NAT should let through: {sorted(direct - expected)}")
    return stage.end()


def one_port(stage: Stage) -> Result:
    """Public nodes whose firewalls let in one port only, and homes with two nodes behind one NAT."""
    for index in range(stage.size):
        if index < 3 or stage.rng.random() < 0.5:
            stage.add(firewall=Firewall(open_ports=frozenset({1194})))
        elif len(stage.mesh.nodes) < stage.size:
            home = stage.home(stage.rng.choice(list(BOXES)))
            stage.add(home)
            stage.add(home)
    stage.figure("full_reach", stage.until_reached(within_s=120), "s", at_most=60)
    transports = _transports(stage, stage.mesh.nodes)
    stage.expect(set(transports) == {WIREGUARD}, f"transports: {dict(transports)}")
    return stage.end()


def udp_blocked(stage: Stage) -> Result:
    """A third of the nodes lose UDP while the mesh works; their tunnels come back over TCP."""
    stage.populate()
    stage.form()
    victims = stage.rng.sample(stage.mesh.nodes, stage.size // 3)
    for node in victims:
        stage.mesh.block_udp(node)
    took_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("full_reach", took_s, "s", at_most=180)
    stage.mesh.run(120)
    transports = _transports(stage, victims)
    stage.expect(set(transports) == {OPENVPN}, f"transports without UDP: {dict(transports)}")
    return stage.end()


def tcp_443_only(stage: Stage) -> Result:
    """Some nodes get out by TCP to port 443 only, where some others listen."""
    shut = Firewall(udp=False, tcp_out=frozenset({443}), open_ports=frozenset())
    for index in range(stage.size):
        if index < 3:
            stage.add(settings=Settings(port=443))
        elif index < stage.size // 2:
            stage.add()
        elif stage.rng.random() < 0.5:
            stage.add(firewall=Firewall(shut.udp, shut.tcp_out, shut.open_ports))
        else:
            home = stage.home(stage.rng.choice(list(BOXES)))
            stage.add(home, firewall=Firewall(shut.udp, shut.tcp_out, shut.open_ports))
    stage.figure("full_reach", stage.until_reached(within_s=600), "s", at_most=300)
    return stage.end()


def lan_only(stage: Stage) -> Result:
    """Four nodes on a LAN speak Babel there; the LAN loses the Internet, and has it again later."""
    lan = stage.home(stage.rng.choice(list(BOXES)))
    at_home = [stage.add(lan, settings=Settings(lan=True)) for _ in range(4)]
    stage.populate()
    stage.form()
    stage.mesh.unplug(lan)
    outside = [n for n in stage.mesh.nodes if n not in at_home]
    stage.figure("longest_outage", stage.watch(300, [at_home]), "s", at_most=10)
    stage.figure("outside", stage.until_reached(within_s=60, groups=[outside]), "s", at_most=30)
    stage.mesh.plug(lan)
    healed_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("heal", healed_s, "s", at_most=2 * RETRY_S)
    stage.figure("heal_soon", healed_s, "s", at_most=30, gap=HEAL)
    return stage.end()


def address_change(stage: Stage) -> Result:
    """The addresses of a public node and of a home change."""
    home = stage.home(stage.rng.choice(list(BOXES)))
    inside = stage.add(home)
    stage.populate()
    stage.form()
    public = stage.rng.choice([n for n in stage.mesh.nodes if n.registrar.endpoints])
    stage.mesh.change_address(public)
    stage.mesh.change_address(inside)
    took_s = stage.until_reached(within_s=2 * RETRY_S)
    stage.figure("full_reach", took_s, "s", at_most=120)
    return stage.end()


def daemon_killed(stage: Stage) -> Result:
    """Some daemons are killed; a minute later they are back and take over their tunnels."""
    stage.populate()
    stage.form()
    victims = stage.rng.sample(stage.mesh.nodes, max(1, stage.size // 6))
    held = {n.index: {t.nonce for t in n.engine.tunnels.active()} for n in victims if n.engine}
    for node in victims:
        node.kill_daemon()
    outage_s = stage.watch(60)
    for node in victims:
        node.start()
    outage_s = max(outage_s, stage.watch(10))
    for node in victims:
        assert node.engine is not None, "it has just been started"
        lost = [nonce for nonce in held[node.index] if node.engine.tunnels.get(nonce) is None]
        # Peers may have rotated a tunnel away meanwhile, or lost it to the weather.
        stage.expect(len(lost) <= len(held[node.index]) / 2, f"{node.name} took over too few: lost {lost}")
    stage.figure("longest_outage", outage_s, "s", at_most=10)
    return stage.end()


def churn(stage: Stage) -> Result:
    """For half an hour nodes vanish, leave, come back and join, one every ten seconds."""
    stage.populate()
    stage.form()
    core = set(stage.mesh.nodes[:3])
    for _ in range(180):
        node = stage.rng.choice(stage.mesh.nodes)
        match stage.rng.randrange(4):
            case 0 if node not in core and node.alive:
                node.kill()
            case 1 if node not in core and node.alive and node.engine:
                node.stop()
            case 2 if not node.alive:
                node.revive()
            case 3 if node.alive and node.engine is None:
                node.start()
        stage.mesh.run(10)
    _bring_back(stage)
    stage.figure("full_reach", stage.until_reached(within_s=2 * RETRY_S), "s", at_most=120)
    return stage.end()


def chaos(stage: Stage) -> Result:
    """For twenty minutes everything that can happen does, one thing every ten seconds; then it ends."""
    stage.populate()
    stage.form()
    for _ in range(120):
        _something(stage)
        stage.mesh.run(stage.rng.uniform(1.0, 19.0))
    stage.mesh.heal()
    stage.mesh.registry.start()
    _bring_back(stage)
    stage.figure("full_reach", stage.until_reached(within_s=2 * RETRY_S), "s", at_most=2 * RETRY_S)
    return stage.end()


def _something(stage: Stage) -> None:
    """One thing that goes wrong, or right again."""
    mesh, rng = stage.mesh, stage.rng
    node, other = rng.sample(mesh.nodes, 2)
    match rng.randrange(10):
        case 0 if node.alive:
            node.kill()
        case 1 if node.alive and node.engine:
            node.stop()
        case 2 | 3 if node.alive and node.engine:
            node.kill_daemon()
        case 4 | 5:
            _bring_back(stage, few=2)
        case 6:
            mesh.cut([node], [other])
        case 7:
            mesh.heal()
        case 8:
            mesh.change_address(node)
        case 9 if mesh.registry.away:
            mesh.registry.start()
        case 9:
            mesh.registry.stop()


def _bring_back(stage: Stage, *, few: int | None = None) -> None:
    """Machines that are down start, and daemons that do not run; all of them, or only a few."""
    down = [n for n in stage.mesh.nodes if not n.alive or n.engine is None]
    for node in down[:few]:
        if node.alive:
            node.start()
        else:
            node.revive()


def steady(stage: Stage) -> Result:
    """Nothing happens for two hours."""
    stage.populate()
    stage.form()
    outage_s = stage.watch(7200)
    stage.figure("longest_outage", outage_s, "s", at_most=15)
    stage.figure("interruption", outage_s, "s", at_most=0.25, gap=ROTATION)
    return stage.end()


def _busiest(stage: Stage) -> Node:
    """The node through which most paths of others lead."""
    passed: Counter[int] = Counter()
    for node in stage.mesh.nodes:
        for peer in stage.mesh.nodes:
            path = stage.mesh.path(node, peer) or []
            passed.update(n.index for n in path[1:-1])
    return stage.mesh.nodes[passed.most_common(1)[0][0]] if passed else stage.mesh.nodes[0]


def _transports(stage: Stage, nodes: list[Node]) -> Counter[str]:
    """What carries the working tunnels of these nodes."""
    return Counter(t.transport for n in nodes if n.engine is not None for t in n.engine.tunnels.active())


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        cold_start,
        relay_dies,
        link_flaps,
        partition,
        registry_away,
        half_killed,
        revoked,
        clock_wrong,
        nat_matrix,
        one_port,
        udp_blocked,
        tcp_443_only,
        lan_only,
        address_change,
        daemon_killed,
        churn,
        chaos,
        steady,
    )
}
