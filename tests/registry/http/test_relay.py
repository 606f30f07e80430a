"""The relay: who sent what, to whom, and what happens to who misbehaves."""

import asyncio
import json
from pathlib import Path
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from re6st_core.errors import RegistryError
from re6st_core.json_wire import encode_json
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import MAX_RELAYED, RELAY, RelayFrame
from registry.http import relay
from registry.relay_channel import RelayChannel
from tests.helpers.registry import JoinedNode, Served, now, served


def frame(peer: Prefix, message: str = "hello") -> RelayFrame:
    return RelayFrame(peer=peer, message=message)


async def connect(registry: Served, node: JoinedNode) -> ClientWebSocketResponse:
    """A connection without our client's good manners."""
    return await node.session.ws_connect(registry.https + RELAY)


async def gone(socket: ClientWebSocketResponse) -> int | None:
    """The code with which the registry closes."""
    async with asyncio.timeout(10):
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
            pass
    return socket.close_code


async def test_messages_go_both_ways_and_name_their_sender(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as registry,
        registry.node() as one,
        registry.node() as two,
        one.client.relay() as left,
        two.client.relay() as right,
    ):
        await left.send(frame(two.prefix, "question"))
        assert await right.receive() == frame(one.prefix, "question")
        await right.send(RelayFrame(peer=one.prefix, message="answer", error="not mine to set"))
        assert await left.receive() == frame(two.prefix, "answer")


async def test_who_is_not_there_is_said(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        await channel.send(frame(Prefix(16, 99)))
        assert await channel.receive() == RelayFrame(peer=Prefix(16, 99), error="not on the relay")


async def test_peers_on_the_relay_are_found_by_bootstrap_until_they_leave(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as one, registry.node() as two:
        async with one.client.relay() as channel:
            await channel.send(frame(one.prefix))
            await channel.receive()
            (peer,) = (await two.client.bootstrap()).peers
            assert (peer.prefix, peer.relayed) == (one.prefix, True)
        await one.client.close()
        members = registry.server._hub._members
        async with asyncio.timeout(5):
            while members:  # noqa: ASYNC110  # the server's side of the connection has no event to wait for
                await asyncio.sleep(0.01)
        (peer,) = (await two.client.bootstrap()).peers
        assert (peer.prefix, peer.relayed) == (one.prefix, False)


async def test_the_newest_connection_wins(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as registry,
        registry.node() as one,
        registry.node() as two,
        one.client.relay() as old,
        one.client.relay() as new,
        two.client.relay() as other,
    ):
        with pytest.raises(RegistryError, match="closed"):
            await old.receive()
        await other.send(frame(one.prefix))
        assert await new.receive() == frame(two.prefix)


async def test_a_revoked_node_is_cut_off_in_the_middle(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as bad, registry.node() as good:
        async with bad.client.relay() as left, good.client.relay() as right:
            registry.registry.revoke(bad.prefix, now())
            await right.send(frame(bad.prefix))
            assert await right.receive() == RelayFrame(peer=bad.prefix, error="revoked or expired")
            with pytest.raises(RegistryError):
                await left.receive()
        with pytest.raises(RegistryError, match="403"):
            await bad.client.relay().__aenter__()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"peer": 7}',
        '{"peer": "2/16", "message": 7}',
        '{"peer": "x"}',
        "[" * 1000,
        "\x00",
    ],
)
async def test_what_is_no_frame_ends_the_connection(tmp_path: Path, text: str) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        socket = await connect(registry, node)
        await socket.send_str(text)
        assert await gone(socket) == 1007


async def test_bytes_and_long_frames_end_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        socket = await connect(registry, node)
        await socket.send_bytes(b"x")
        assert await gone(socket) == 1003
        socket = await connect(registry, node)
        await socket.send_str("x" * (MAX_RELAYED + 1))
        assert await gone(socket) in (1009, 1006)  # the reason may be lost with what we had not sent yet
        async with node.client.relay() as channel:
            with pytest.raises(RegistryError, match="too long"):
                await channel.send(frame(node.prefix, "x" * MAX_RELAYED))


async def test_a_long_message_of_a_peer_fits(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        message = "x" * (MAX_RELAYED - 200)
        await channel.send(frame(node.prefix, message))
        assert (await channel.receive()).message == message


async def deaf(registry: Served, node: JoinedNode) -> ClientWebSocketResponse:
    """A connection whose owner does not read, with little room in the kernel."""
    socket = await connect(registry, node)
    transport_of(socket).pause_reading()
    transport_of(socket).get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
    there = registry.server._hub._members[node.prefix].socket
    there.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 65536)
    return socket


def transport_of(socket: ClientWebSocketResponse) -> asyncio.Transport:
    assert socket._conn is not None
    assert socket._conn.transport is not None
    return socket._conn.transport


async def flood(channel: RelayChannel, peer: Prefix) -> None:
    """Send until one frame is refused."""
    while True:
        await channel.send(frame(peer, "x" * 20000))
        try:
            async with asyncio.timeout(0.005):
                assert await channel.receive() == RelayFrame(peer=peer, error="too many messages wait for it")
                return
        except TimeoutError:
            pass


async def test_who_sends_too_much_is_told_and_throws_nobody_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BURST", 10000)
    async with (
        served(tmp_path) as registry,
        registry.node() as victim,
        registry.node() as attacker,
        registry.node() as other,
        attacker.client.relay() as eager,
        other.client.relay() as quiet,
    ):
        slow = await deaf(registry, victim)
        await flood(eager, victim.prefix)
        member = registry.server._hub._members[victim.prefix]
        assert member.closing is None
        assert member.queue.qsize() == relay.QUEUE_PER_SENDER
        await quiet.send(frame(victim.prefix, "an offer"))
        await quiet.send(frame(other.prefix, "to myself"))  # what comes back shows that the first was taken
        assert await quiet.receive() == frame(other.prefix, "to myself")
        transport_of(slow).resume_reading()
        async with asyncio.timeout(10):
            while json.loads((await slow.receive()).data)["message"] != "an offer":
                pass
        await slow.close()


async def test_many_senders_cost_one_bounded_queue(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay():
        member = registry.server._hub._members[node.prefix]
        taken = [member.offer(frame(Prefix(16, number % 20))) for number in range(200)]
        assert sum(taken) == member.queue.qsize() == relay.QUEUE
        assert member.closing is None


async def test_places_are_given_back(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        member = registry.server._hub._members[node.prefix]
        for _ in range(3):
            taken = [member.offer(frame(Prefix(16, 7))) for _ in range(relay.QUEUE_PER_SENDER + 1)]
            assert taken == [True] * relay.QUEUE_PER_SENDER + [False]
            for _ in range(relay.QUEUE_PER_SENDER):
                await channel.receive()
        assert not member._waiting


async def test_who_takes_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BURST", 10000)
    monkeypatch.setattr(relay, "SEND_TIMEOUT_S", 0.1)
    async with (
        served(tmp_path) as registry,
        registry.node() as one,
        registry.node() as two,
        one.client.relay() as channel,
    ):
        await deaf(registry, two)
        error = ""
        async with asyncio.timeout(10):
            while error != "not on the relay":
                await channel.send(frame(two.prefix, "x" * 20000))
                await channel.send(frame(Prefix(16, 99)))  # so that something comes back
                answer = await channel.receive()
                error = answer.error if answer.peer == two.prefix else ""


async def test_a_flood_is_read_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "BURST", 5)
    monkeypatch.setattr(relay, "INTERVAL_S", 0.02)
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        clock = asyncio.get_running_loop()
        start = clock.time()
        for _ in range(15):
            await channel.send(frame(node.prefix))
        for _ in range(15):
            await channel.receive()
        assert clock.time() - start >= 10 * 0.02 * 0.9


async def test_members_are_told_when_the_registry_stops(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, node.client.relay() as channel:
        stopping = asyncio.create_task(registry.server.close())
        with pytest.raises(RegistryError):
            await channel.receive()
        await stopping


async def test_frames_are_json_text(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        socket = await connect(registry, node)
        await socket.send_str(encode_json(frame(node.prefix)).decode())
        told = {"peer": "0/16", "message": "hello", "error": "", "version": 0}
        assert json.loads((await socket.receive()).data) == told
        await socket.close()
