"""Messages between nodes over real TLS on loopback; the registry's relay is a queue."""

import asyncio
import contextlib
import ipaddress
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError
from re6st_core.peer_wire import Answer, Close, Offer
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from re6stnet.adapters.messenger import PeerMessenger, new_nonce
from re6stnet.adapters.peer_api import ENDPOINTS_PATH, MAX_PENDING_PER_PEER, MESSAGE_PATH, PeerApi
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.adapters.relay import Relay
from re6stnet.engine.messages import Event, Received, Undeliverable
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

A, B, C = Prefix(16, 1), Prefix(16, 2), Prefix(16, 3)
pytestmark = pytest.mark.root  # SO_MARK


class Wire:
    """A relay that the test holds in its hands."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[RelayFrame] = asyncio.Queue()
        self.incoming: asyncio.Queue[RelayFrame] = asyncio.Queue()

    async def send(self, frame: RelayFrame) -> None:
        await self.sent.put(frame)

    async def receive(self) -> RelayFrame:
        return await self.incoming.get()


@dataclass
class End:
    """One node: its messenger, its server, and what its engine was told."""

    prefix: Prefix
    directory: Path
    messenger: PeerMessenger
    relay: Relay
    wire: Wire
    events: asyncio.Queue[Event]
    endpoint: tuple[Endpoint, ...]

    async def received(self) -> Event:
        async with asyncio.timeout(5):
            return await self.events.get()


@contextlib.asynccontextmanager
async def node(directory: Path) -> AsyncIterator[End]:
    credentials = load(directory)
    events: asyncio.Queue[Event] = asyncio.Queue()
    wire = Wire()

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Wire]:
        yield wire

    relay = Relay(connect, random.Random(1))
    http = PeerHttp(NETWORK, credentials.client_context(), mark=1)
    await http.start()
    messenger = PeerMessenger(
        credentials,
        relay,
        http,
        is_routed=lambda _p: False,
        revoked=frozenset,
        now=lambda: datetime.now(UTC),
        post=events.put_nowait,
    )
    relay.on_frame = messenger.relayed
    api = PeerApi(credentials.server_context(), lambda: ())
    api.serve(MESSAGE_PATH, messenger.handle)
    port = await api.listen("127.0.0.1", 0)
    endpoint = (Endpoint(ipaddress.ip_address("127.0.0.1"), port, Protocol.TCP),)
    yield End(credentials.identity.prefix, directory, messenger, relay, wire, events, endpoint)
    await relay.close()
    messenger.close()
    await http.close()
    await api.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[End, End]]:
    ca = authority()
    async with node(write_node(tmp_path, ca, A, 1)) as a, node(write_node(tmp_path, ca, B, 2)) as b:
        yield a, b


def offer(to: Prefix = B) -> Offer:
    return Offer(sender=A, recipient=to, nonce=new_nonce(), expires=0, transport="openvpn")


async def test_an_offer_to_the_control_port_brings_the_answer_back(pair: tuple[End, End]) -> None:
    a, b = pair
    message = offer()
    sending = asyncio.create_task(a.messenger.send(message, b.endpoint))
    event = await b.received()
    assert isinstance(event, Received)
    assert event.message.nonce == message.nonce
    await b.messenger.send(Answer(sender=B, recipient=A, nonce=message.nonce, expires=0, refusal="no"), ())
    event = await a.received()
    assert isinstance(event, Received)
    assert isinstance(event.message, Answer)
    assert event.message.refusal == "no"
    await sending


async def test_nothing_is_sent_to_a_node_that_is_not_the_one_asked_for(pair: tuple[End, End]) -> None:
    a, b = pair
    with pytest.raises(PeerError, match="certificate"):
        await a.messenger.send(offer(C), b.endpoint)
    assert b.events.empty()


async def test_without_any_way_the_sender_is_told(pair: tuple[End, End]) -> None:
    with pytest.raises(PeerError, match="no way"):
        await pair[0].messenger.send(offer(), ())


async def test_by_the_relay_both_ways(pair: tuple[End, End]) -> None:
    a, b = pair
    for end in pair:
        end.relay.keep(True)
        await asyncio.sleep(0)  # the relay's task connects
        assert end.relay.connected
    message = offer()
    await a.messenger.send(message, ())
    frame = await a.wire.sent.get()
    assert frame.peer == B
    await b.wire.incoming.put(RelayFrame(peer=A, message=frame.message))
    event = await b.received()
    assert isinstance(event, Received)
    assert event.message.nonce == message.nonce


async def test_an_offer_that_only_the_relay_can_carry_waits_for_it(pair: tuple[End, End]) -> None:
    a, _ = pair
    a.relay.keep(True)
    assert not a.relay.connected
    await a.messenger.send(offer(), ())
    assert (await a.wire.sent.get()).peer == B


async def test_a_message_that_the_relay_cannot_deliver_goes_to_the_control_port(
    pair: tuple[End, End],
) -> None:
    a, b = pair
    a.relay.keep(True)
    await asyncio.sleep(0)
    await a.messenger.send(Close(sender=A, recipient=B, nonce=new_nonce(), expires=0), b.endpoint)
    await a.wire.incoming.put(RelayFrame(peer=B, error="not connected"))
    event = await b.received()
    assert isinstance(event, Received)
    assert isinstance(event.message, Close)


async def test_if_that_fails_too_the_engine_is_told(pair: tuple[End, End]) -> None:
    a, _ = pair
    a.relay.keep(True)
    await asyncio.sleep(0)
    await a.messenger.send(offer(), ())
    await a.wire.incoming.put(RelayFrame(peer=B, error="not connected"))
    assert isinstance(await a.received(), Undeliverable)


async def test_garbage_by_the_relay_is_dropped(pair: tuple[End, End]) -> None:
    a, b = pair
    a.relay.keep(True)
    for text in ("", "{}", "\x00", "[" * 10000):
        await a.wire.incoming.put(RelayFrame(peer=B, message=text))
    await test_nothing_is_sent_to_a_node_that_is_not_the_one_asked_for((a, b))
    assert a.relay.connected
    assert a.events.empty()


def client_of(directory: Path) -> ssl.SSLContext:
    return load(directory).client_context()


async def test_garbage_at_the_control_port_gets_400_and_nothing_else(pair: tuple[End, End]) -> None:
    a, b = pair
    url = f"https://127.0.0.1:{b.endpoint[0].port}"
    name = str(NETWORK.address(B))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_of(a.directory))) as session:
        for body in (b"", b"{}", b"\xff" * 100, b"[" * 5000):
            async with session.post(url + MESSAGE_PATH, data=body, server_hostname=name) as response:
                assert response.status == 400
        async with session.post(url + MESSAGE_PATH, data=b"x" * 20000, server_hostname=name) as response:
            assert response.status == 413
        async with session.get(url + ENDPOINTS_PATH, server_hostname=name) as response:
            assert await response.json() == {"endpoints": []}
    assert b.events.empty()


async def test_a_stranger_does_not_get_past_the_handshake(pair: tuple[End, End], tmp_path: Path) -> None:
    _, b = pair
    (tmp_path / "other").mkdir()
    stranger = client_of(write_node(tmp_path / "other", authority(), A))
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stranger)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://127.0.0.1:{b.endpoint[0].port}{ENDPOINTS_PATH}")


async def test_offers_that_nobody_answers_are_bounded(pair: tuple[End, End]) -> None:
    a, b = pair
    tasks = [
        asyncio.create_task(a.messenger.send(offer(), b.endpoint)) for _ in range(MAX_PENDING_PER_PEER + 1)
    ]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    assert "503" in str(done.pop().exception())
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
