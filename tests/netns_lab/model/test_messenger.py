"""Messages take the first way that works, and what is not good is dropped."""

import dataclasses

import pytest

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model.mesh import Mesh
from netns_lab.model.messenger import EPOCH
from netns_lab.model.node import Node
from re6st_core.peer_wire import Answer, Close, Offer
from re6stnet.engine.messages import Event, Received, Send, Undeliverable


class Ears:
    """What a node's engine is given from now on; the engine itself is left out."""

    def __init__(self, node: Node) -> None:
        self.events: list[Event] = []

        def post(event: Event) -> None:
            self.events.append(event)

        node.post = post  # type: ignore[method-assign]  # the tests stand in for the engine

    def got(self, kind: type) -> list[Event]:
        return [e for e in self.events if isinstance(e, kind)]


def pair(*, hidden: bool = False) -> tuple[Mesh, Node, Node, Ears, Ears]:
    """Two nodes that know nothing of each other yet, and their ears."""
    mesh = Mesh(client_count=0)
    one = mesh.add()
    other = mesh.add(mesh.home(KINDS["full_cone"]) if hidden else None)
    mesh.run(5)
    return mesh, one, other, Ears(one), Ears(other)


def close(one: Node, other: Node, nonce: str = "a" * 32) -> Close:
    return Close(sender=one.prefix, recipient=other.prefix, nonce=nonce, expires=0)


def offer(one: Node, other: Node) -> Offer:
    return Offer(sender=one.prefix, recipient=other.prefix, nonce="a" * 32, expires=0, transport="openvpn")


def send(node: Node, message: Close | Offer | Answer, to: Node) -> list[bool]:
    done: list[bool] = []
    node.messenger.send(Send(message, to.registrar.endpoints), lambda: done.append(True))
    return done


def test_two_on_the_relay_talk_through_the_registry() -> None:
    mesh, one, other, _, ears = pair(hidden=True)
    assert one.registrar.relay_connected
    send(one, offer(one, other), other)
    mesh.run(2)
    assert [e.message.nonce for e in ears.got(Received) if isinstance(e, Received)] == ["a" * 32]
    assert mesh.ledger.sent[one.name]["relay"] > 1000


def test_without_the_relay_the_control_port_is_used() -> None:
    mesh, one, other, _, ears = pair()
    one.registrar.keep_relay(False)
    before = mesh.ledger.sent[other.name]["https"]
    done = send(one, offer(one, other), other)
    mesh.run(2)
    assert ears.got(Received)
    assert mesh.ledger.sent[other.name]["https"] > before
    mesh.run(10)
    assert done == [True]  # nobody answered the offer: the request ends


def test_an_answer_goes_back_on_the_request_that_brought_the_offer() -> None:
    mesh, one, other, back, _ = pair()
    one.registrar.keep_relay(False)
    other.registrar.keep_relay(False)
    send(one, offer(one, other), other)
    mesh.run(2)
    answer = Answer(sender=other.prefix, recipient=one.prefix, nonce="a" * 32, expires=0, refusal="no")
    assert send(other, answer, one) == [True]
    mesh.run(2)
    assert [type(e.message) for e in back.got(Received) if isinstance(e, Received)] == [Answer]


def test_no_way_is_said_except_for_a_close() -> None:
    mesh, one, other, back, _ = pair(hidden=True)
    one.registrar.keep_relay(False)
    send(one, offer(one, other), other)
    done = send(one, close(one, other, "b" * 32), other)
    mesh.run(30)
    assert [e.tunnel for e in back.got(Undeliverable) if isinstance(e, Undeliverable)] == ["a" * 32]
    assert done == [True]


def test_who_is_not_on_the_relay_is_asked_at_its_control_port_next() -> None:
    mesh, one, other, _, ears = pair()
    other.registrar.keep_relay(False)
    send(one, offer(one, other), other)
    mesh.run(3)
    assert ears.got(Received)


@pytest.mark.parametrize("offset_s", [-86400.0, 86400.0])
def test_a_message_of_a_wrong_clock_is_not_good(offset_s: float) -> None:
    mesh, one, other, back, ears = pair()
    one.registrar.keep_relay(False)
    one.clock_offset_s = offset_s
    send(one, offer(one, other), other)
    mesh.run(20)
    assert not ears.got(Received)
    assert back.got(Undeliverable)


def test_a_message_of_a_revoked_node_is_not_good() -> None:
    mesh, one, other, _, ears = pair()
    assert other.engine is not None
    other.engine.parameters = dataclasses.replace(other.engine.parameters, revoked=(one.serial,))
    send(one, offer(one, other), other)
    mesh.run(20)
    assert not ears.got(Received)


def test_the_model_starts_at_a_date_of_its_own() -> None:
    _, one, other, _, _ = pair()
    late = dataclasses.replace(close(one, other), expires=EPOCH - 1)
    replies: list[object] = []
    other.messenger.handle(late, one.serial, replies.append)
    assert replies == [(80, "bad request")]


def test_a_relay_that_is_being_connected_is_waited_for_if_there_is_no_other_way() -> None:
    mesh, one, other, back, ears = pair(hidden=True)
    one.registrar.keep_relay(False)
    one.registrar.keep_relay(True)
    assert not one.registrar.relay_connected
    send(one, offer(one, other), other)
    mesh.run(3)
    assert ears.got(Received)
    assert not back.got(Undeliverable)
