"""Probes and questions between two nodes, on real sockets: what is found, what is refused, what it costs."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import DistanceAnswer, DistanceQuestion, encode_answer, encode_question
from re6st_core.errors import ConfigError
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters import explorer
from re6stnet.adapters.explorer import ANSWERS_EACH, Explorer
from re6stnet.adapters.stun import StunReflector
from re6stnet.engine.messages import AskDistances, DistancesTold, Event, Probe, Probed
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E7
NETWORK = Network.parse("2001:db8:42::/48")
PEERS = Prefix(16, 1), Prefix(16, 2)
PORT = 1327


class End:
    """One node's explorer in a namespace of its own."""

    def __init__(self, namespace: TestNamespace, own: Prefix) -> None:
        self.events: list[Event] = []
        self.asked_by: list[Prefix | None] = []
        self.namespace = namespace
        self.address = str(NETWORK.address(own))
        self.explorer = Explorer(
            NETWORK, mark=MARK, respond=self.respond, peers=lambda: [PEERS[0]], post=self.events.append
        )
        with namespace.entered():
            self.explorer.open(self.address, PORT)

    def respond(self, question: DistanceQuestion, asker: Prefix | None) -> DistanceAnswer:
        self.asked_by.append(asker)
        return DistanceAnswer(question.nonce, tuple(tag % 1000 for tag in question.tags), True)


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TestNamespace]]:
    monkeypatch.setattr(explorer, "PATIENCE_S", 0.1)
    with namespaces(2) as made:
        connect(*made)
        for number, space in enumerate(made):
            space.run(f"ip address add {NETWORK.address(PEERS[number])}/48 dev wire nodad")
        yield made


async def test_answers_come_back_and_the_peer_of_a_tunnel_is_recognised(spaces: list[TestNamespace]) -> None:
    ends = [End(space, own) for space, own in zip(spaces, PEERS, strict=True)]
    await ends[0].explorer.ask(AskDistances((PEERS[1], Prefix(16, 9)), (5, 1006)))
    (told,) = ends[0].events
    assert isinstance(told, DistancesTold)
    ((peer, answer),) = told.answers
    assert (peer, answer.metrics, answer.room) == (PEERS[1], (5, 6), True)
    assert ends[1].asked_by == [PEERS[0]]
    await ends[1].explorer.ask(AskDistances((PEERS[0],), (7,)))
    assert ends[0].asked_by == [None]
    assert ends[0].explorer.sent_bytes == 3 * (19 + 48) + 16 - 4 + 2 + 48
    for end in ends:
        end.explorer.close()


async def test_one_host_gets_few_answers_and_nonsense_none(spaces: list[TestNamespace]) -> None:
    end = End(spaces[1], PEERS[1])
    with spaces[0].entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        loop = asyncio.get_running_loop()
        for data in (b"", b"\1", b"\2" + bytes(40), bytes(1500)):
            await loop.sock_sendto(asker, data, (end.address, PORT))
        for number in range(2 * ANSWERS_EACH):
            question = encode_question(DistanceQuestion(bytes([number]) * 8, (1,)))
            await loop.sock_sendto(asker, question, (end.address, PORT))
        answers = [await asyncio.wait_for(loop.sock_recv(asker, 99), 5) for _ in range(ANSWERS_EACH)]
        assert all(len(answer) <= 15 for answer in answers)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(asker, 99), 0.2)
    assert len(end.asked_by) == ANSWERS_EACH
    end.explorer.close()


async def test_an_answer_from_somebody_else_is_not_taken(spaces: list[TestNamespace]) -> None:
    one, other = (End(space, own) for space, own in zip(spaces, PEERS, strict=True))
    asking = asyncio.create_task(one.explorer.ask(AskDistances((Prefix(16, 9),), (5,))))
    await asyncio.sleep(0)
    (nonce,) = one.explorer._asked
    other.explorer._send(encode_answer(DistanceAnswer(nonce, (1,)), 99), (one.address, PORT))
    await asking
    assert one.events == [DistancesTold(())]
    for end in (one, other):
        end.explorer.close()


async def test_a_probe_measures_each_peer_and_the_silent_are_said(spaces: list[TestNamespace]) -> None:
    with spaces[1].entered():
        reflector = StunReflector.open(1194, MARK)
    end = End(spaces[0], PEERS[0])
    places = [Endpoint(ip_address(host), 1194, Protocol.UDP) for host in ("192.0.2.2", "192.0.2.77")]
    with spaces[0].entered():
        await end.explorer.probe(Probe(tuple(zip(PEERS, places, strict=True))))
    (probed,) = end.events
    assert isinstance(probed, Probed)
    found = dict(probed.rtt_us)
    assert 0 < (found[PEERS[0]] or 0) < 1_000_000
    assert found[PEERS[1]] is None
    assert end.explorer.sent_bytes == 4 * (52 + 28)
    reflector.close()
    end.explorer.close()


async def test_a_port_that_is_taken_is_said(spaces: list[TestNamespace]) -> None:
    end = End(spaces[0], PEERS[0])
    with pytest.raises(ConfigError, match="1327"):
        End(spaces[0], PEERS[0])
    end.explorer.close()
    end.explorer.close()
