"""Probes and questions of the model: what arrives is told, what does not is not, and bytes are counted."""

from ipaddress import IPv4Address

import pytest

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import NO_ROUTE, tag
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import AskDistances, DistancesTold, Event, Probe, Probed


def two() -> tuple[Mesh, Node, Node, list[Event]]:
    mesh = Mesh(seed=1, client_count=2)
    one, other = mesh.add(), mesh.add()
    mesh.run(20)
    told: list[Event] = []

    def post(event: Event) -> None:
        told.append(event)

    one.post = post  # type: ignore[method-assign]  # the test stands in for the engine
    return mesh, one, other, told


def test_a_probe_takes_as_long_as_the_way_there_and_back() -> None:
    mesh, one, other, told = two()
    place = other.registrar.endpoints[0]
    nowhere = Endpoint(IPv4Address("192.0.2.254"), 1194, Protocol.UDP)
    one.explorer.probe(Probe(((other.prefix, place), (Prefix(16, 99), nowhere))))
    mesh.run(5)
    (probed,) = [event for event in told if isinstance(event, Probed)]
    found = dict(probed.rtt_us)
    way_s = 2 * mesh.underlay.one_way_s(one.host.site, other.host.site)
    assert found[other.prefix] == pytest.approx(way_s * 1e6, rel=0.2)
    assert found[Prefix(16, 99)] is None


def test_a_question_is_answered_from_the_engine_and_counted() -> None:
    mesh, one, other, told = two()
    before = mesh.ledger.sent[one.name]["overlay"]
    one.explorer.ask(AskDistances((other.prefix, Prefix(16, 99)), (tag(other.prefix), 12345)))
    mesh.run(5)
    (said,) = [event for event in told if isinstance(event, DistancesTold)]
    ((peer, answer),) = said.answers
    assert (peer, answer.metrics) == (other.prefix, (0, NO_ROUTE))
    assert mesh.ledger.sent[one.name]["overlay"] > before


def test_who_is_dead_does_not_answer() -> None:
    mesh, one, other, told = two()
    other.kill()
    one.explorer.ask(AskDistances((other.prefix,), (1,)))
    mesh.run(5)
    assert DistancesTold(()) in told
