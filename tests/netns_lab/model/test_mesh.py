"""The whole model: it is the same each time, and its judges see what packets would."""

import pytest

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model.mesh import Geography, Mesh
from netns_lab.model.underlay import Weather


def weathered(seed: int, *, seconds: float = 300) -> Mesh:
    weather = Weather(loss=0.01, duplication=0.01, reordering=0.02, jitter_s=0.002)
    mesh = Mesh(seed=seed, weather=weather)
    home = mesh.home(KINDS["port_restricted"])
    for index in range(10):
        mesh.add(home if index in (4, 5) else None)
    mesh.run(seconds)
    return mesh


def test_equal_seeds_give_equal_runs_and_others_others() -> None:
    one, same, other = weathered(1), weathered(1), weathered(2)
    assert one.trace.digest == same.trace.digest
    assert one.ledger.sent == same.ledger.sent
    assert sorted(one.links) == sorted(same.links)
    assert one.agenda.done == same.agenda.done
    assert one.trace.digest != other.trace.digest


def test_reading_along_changes_nothing() -> None:
    lines: list[str] = []
    shown, silent = Mesh(seed=1, show=lines.append), Mesh(seed=1)
    for mesh in (shown, silent):
        for _ in range(4):
            mesh.add()
        mesh.run(60)
    assert shown.trace.digest == silent.trace.digest
    assert len(lines) > 100


def test_who_is_unreached_is_who_has_no_path() -> None:
    mesh = weathered(3, seconds=6)  # while it forms
    for step in range(60):
        mesh.run(0.3)
        if step == 40:
            mesh.nodes[2].kill()
        expected = {
            (a.index, b.index)
            for a in mesh.nodes
            for b in mesh.nodes
            if a.alive and b.alive and a is not b and mesh.path(a, b) is None
        }
        assert mesh.unreached(mesh.nodes) == expected


def test_a_change_that_moves_packets_is_seen_in_the_version() -> None:
    mesh = weathered(1)
    before = mesh.version
    mesh.cut(mesh.nodes[:1], mesh.nodes[1:])
    assert mesh.version > before


def test_a_new_address_is_one_that_nobody_had() -> None:
    mesh = weathered(1)
    public, inside = mesh.nodes[0], mesh.nodes[4]
    assert inside.host.realm.gateway is not None
    before = {n.host.ip for n in mesh.nodes} | {inside.host.realm.gateway.outside}
    mesh.change_address(public)
    mesh.change_address(inside)
    assert public.host.ip not in before
    assert inside.host.realm.gateway.outside not in before
    mesh.run(400)
    assert not mesh.unreached(mesh.nodes)


def test_a_lan_without_uplink_is_alone_until_it_is_plugged_in_again() -> None:
    mesh = weathered(1)
    home = mesh.nodes[4].host.realm
    mesh.unplug(home)
    mesh.run(60)
    cut_off = {pair for pair in mesh.unreached(mesh.nodes) if 4 in pair}
    assert len(cut_off) == 18
    mesh.plug(home)
    mesh.run(750)
    assert not mesh.unreached(mesh.nodes)


def test_places_have_delays_that_are_the_same_both_ways_and_each_time() -> None:
    one, same, other = Geography(1), Geography(1), Geography(2)
    pairs = [(a, b) for a in range(10) for b in range(10)]
    assert [one(a, b) for a, b in pairs] == [same(b, a) for a, b in pairs]
    assert [one(a, b) for a, b in pairs] != [other(a, b) for a, b in pairs]
    assert all(0 < one(a, b) < 1 for a, b in pairs)
    assert one(3, 3) < 0.001


def test_some_relays_are_faster_than_the_direct_way() -> None:
    delay_s = Geography(1)
    faster = sum(
        delay_s(a, c) + delay_s(c, b) < delay_s(a, b)
        for a in range(20)
        for b in range(a)
        for c in range(20)
        if c not in (a, b)
    )
    assert faster > 50


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_meshes_work(count: int) -> None:
    mesh = Mesh()
    for _ in range(count):
        mesh.add()
    mesh.run(30)
    assert not mesh.unreached(mesh.nodes)
