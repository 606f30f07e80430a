"""A node's shell in the model: daemons come and go, machines die, and the engine's mistakes are kept."""

import pytest

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from re6stnet.engine.messages import Event, Timer
from re6stnet.engine.tunnel import State


def formed(count: int = 5, client_count: int = 3) -> Mesh:
    mesh = Mesh(seed=3, client_count=client_count)
    for _ in range(count):
        mesh.add()
    mesh.run(60)
    assert not mesh.unreached(mesh.nodes)
    return mesh


def nonces(node: Node) -> set[str]:
    assert node.engine is not None
    return {t.nonce for t in node.engine.tunnels.active()}


def test_a_killed_daemon_leaves_its_tunnels_and_the_next_one_adopts_them() -> None:
    mesh = formed()
    node = mesh.nodes[0]
    before = nonces(node)
    node.kill_daemon()
    mesh.run(30)
    assert not mesh.unreached(mesh.nodes)
    node.start()
    mesh.run(0.1)
    assert nonces(node) == before
    assert node.engine is not None
    assert node.engine.routes.reachable == {n.prefix for n in mesh.nodes[1:]}


def test_a_dead_daemon_answers_no_stun() -> None:
    mesh = formed()
    node = mesh.nodes[0]
    node.kill_daemon()
    answers: list[object] = []
    mesh.nodes[1].udp.ask((node.host.ip, node.port), lambda mapped, _rtt: answers.append(mapped))
    mesh.run(3)
    assert answers == [None]


def test_a_machine_that_vanishes_is_given_up_by_all() -> None:
    mesh = formed()
    dead = mesh.nodes[0]
    dead.kill()
    mesh.run(70)
    for node in mesh.nodes[1:]:
        assert node.engine is not None
        assert dead.prefix not in node.engine.routes.reachable
        assert dead.prefix not in {tunnel.peer for tunnel in node.engine.tunnels.active()}
    assert not mesh.unreached(mesh.nodes)


def test_a_machine_that_comes_back_is_part_of_the_mesh_again() -> None:
    mesh = formed()
    mesh.nodes[0].kill()
    mesh.run(120)
    mesh.nodes[0].revive()
    mesh.run(60)
    assert not mesh.unreached(mesh.nodes)


def test_a_node_that_stops_tells_its_peers_and_leaves_nothing() -> None:
    mesh = formed()
    node = mesh.nodes[0]
    node.stop()
    mesh.run(4)
    assert node.engine is None
    assert not node.tunnels.records
    assert not node.udp.devices
    for other in mesh.nodes[1:]:
        assert other.engine is not None
        assert node.prefix not in {t.peer for t in other.engine.tunnels.active()}
        assert node.index not in other.babel.selected


def test_a_restarted_node_knows_its_peers_without_the_registry() -> None:
    mesh = formed()
    mesh.run(120)
    node = mesh.nodes[0]
    mesh.registry.stop()
    node.stop()
    mesh.run(5)
    node.start()
    mesh.run(60)
    assert not mesh.unreached(mesh.nodes)


def test_a_mistake_of_an_engine_is_kept_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = formed()
    broken = mesh.nodes[0].engine
    assert broken is not None

    def fail(event: Event, *, now: float) -> list[object]:
        raise KeyError(type(event).__name__)

    monkeypatch.setattr(broken, "handle", fail)
    mesh.nodes[0].post(Timer())
    assert len(mesh.mistakes) == 1
    assert "KeyError" in mesh.mistakes[0]
    mesh.run(60)


def test_engines_learn_rtts_that_are_near_the_truth_and_not_the_truth() -> None:
    mesh = Mesh(seed=3)
    mesh.underlay.weather.jitter_s = 0.005
    for _ in range(3):
        mesh.add()
    mesh.run(300)
    for node in mesh.nodes:
        assert node.engine is not None
        for tunnel in node.engine.tunnels:
            peer = mesh.by_prefix[tunnel.peer]
            truth_s = 2 * mesh.underlay.delay_s(node.host.site, peer.host.site)
            assert tunnel.state is State.ACTIVE
            assert tunnel.rtt_us is not None
            assert tunnel.rtt_us == pytest.approx(truth_s * 1e6, rel=0.5, abs=15_000)
            assert tunnel.rtt_us != round(truth_s * 1e6)


def test_what_nodes_send_is_counted_by_purpose() -> None:
    mesh = formed(8, client_count=2)
    mesh.nodes[3].kill()
    mesh.run(1200)
    purposes = mesh.ledger.by_purpose()
    assert set(purposes) >= {"babel", "https", "overlay", "probes", "relay", "stun", "wireguard"}
    assert all(size > 0 for size in purposes.values())
    per_s = mesh.ledger.total("n1") / mesh.now
    assert 200 < per_s < 8000
