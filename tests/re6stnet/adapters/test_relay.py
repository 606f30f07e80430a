"""The WebSocket to the registry: kept while it is wanted, whatever the registry does."""

import asyncio
import itertools
import random

import pytest

from re6st_core.errors import RegistryError
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from re6stnet.adapters.relay import LAST_RETRY_S, Relay
from tests.helpers.node_fakes import FakeRelayServer
from tests.helpers.node_time import in_virtual_time, settle

FRAME = RelayFrame(peer=Prefix(16, 2), message="hello")


def relay_to(server: FakeRelayServer) -> Relay:
    return Relay(server.connect, random.Random(1))


def test_frames_go_both_ways_while_it_is_wanted() -> None:
    async def story() -> None:
        server = FakeRelayServer()
        relay = relay_to(server)
        received: list[RelayFrame] = []
        relay.on_frame = received.append
        relay.keep(True)
        relay.keep(True)
        await settle()
        assert relay.connected
        await relay.send(FRAME)
        server.channels[0].give(FRAME)
        await settle()
        assert (server.channels[0].sent, received) == ([FRAME], [FRAME])
        await relay.close()
        assert server.channels[0].closed
        assert len(server.attempts) == 1

    in_virtual_time(story())


def test_without_a_connection_a_frame_is_refused() -> None:
    async def story() -> None:
        with pytest.raises(RegistryError, match="not connected"):
            await relay_to(FakeRelayServer()).send(FRAME)

    in_virtual_time(story())


def test_whoever_cannot_do_without_it_waits_until_it_is_there() -> None:
    async def story() -> None:
        relay = relay_to(FakeRelayServer(refuse=1))
        assert not await relay.wait_connected(5)  # nobody wants it: it will not come
        relay.keep(True)
        waiting = asyncio.create_task(relay.wait_connected(5))
        await settle()
        assert not waiting.done()
        assert await waiting
        relay.keep(False)
        relay.keep(True)
        assert not relay.connected
        assert await relay.wait_connected(5)
        await relay.close()

    in_virtual_time(story())


def test_whoever_waits_for_it_in_vain_is_told_in_time() -> None:
    async def story() -> None:
        relay = relay_to(FakeRelayServer(refuse=9))
        relay.keep(True)
        began = asyncio.get_running_loop().time()
        assert not await relay.wait_connected(3)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3)
        await relay.close()

    in_virtual_time(story())


def test_a_registry_that_is_away_is_asked_ever_more_rarely_but_for_ever() -> None:
    async def story() -> None:
        server = FakeRelayServer(refuse=12)
        relay = relay_to(server)
        relay.keep(True)
        await server.accepted.wait()
        waits = [later - sooner for sooner, later in itertools.pairwise(server.attempts)]
        for number, wait in enumerate(waits):
            expected = min(2.0**number, LAST_RETRY_S)
            assert 0.75 * expected <= wait <= 1.25 * expected
        await relay.close()

    in_virtual_time(story())


def test_a_registry_that_accepts_and_hangs_up_is_not_asked_every_second() -> None:
    async def story() -> None:
        server = FakeRelayServer()
        relay = relay_to(server)
        relay.keep(True)
        for _ in range(600):
            await asyncio.sleep(1)
            if relay.connected:
                server.channels[-1].give(RegistryError("closed"))
        assert len(server.attempts) < 20
        await relay.close()

    in_virtual_time(story())


def test_after_a_long_connection_the_first_attempt_comes_soon() -> None:
    async def story() -> None:
        server = FakeRelayServer(refuse=6)
        relay = relay_to(server)
        relay.keep(True)
        await server.accepted.wait()
        await asyncio.sleep(3600)
        server.channels[0].give(RegistryError("the registry restarts"))
        await asyncio.sleep(2)
        assert relay.connected
        assert len(server.channels) == 2
        await relay.close()

    in_virtual_time(story())


def test_it_stops_while_it_connects() -> None:
    async def story() -> None:
        relay = relay_to(FakeRelayServer(hang=True))
        relay.keep(True)
        await settle()
        await relay.close()
        assert not relay.connected

    in_virtual_time(story())


def test_a_connection_that_is_being_closed_does_not_count_and_does_not_hide_the_next() -> None:
    async def story() -> None:
        server = FakeRelayServer(slow_close_s=2.0)
        relay = relay_to(server)
        relay.keep(True)
        await settle()
        relay.keep(False)
        assert not relay.connected
        relay.keep(True)
        await settle()
        assert relay.connected
        await asyncio.sleep(5)
        assert server.channels[0].closed
        assert relay.connected
        await relay.close()
        assert server.channels[1].closed

    in_virtual_time(story())


def test_close_waits_for_what_was_let_go() -> None:
    async def story() -> None:
        server = FakeRelayServer(slow_close_s=2.0)
        relay = relay_to(server)
        relay.keep(True)
        await settle()
        relay.keep(False)
        await relay.close()
        assert server.channels[0].closed

    in_virtual_time(story())


def test_an_error_that_nobody_expects_is_logged_and_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        server = FakeRelayServer()
        relay = relay_to(server)
        relay.keep(True)
        await settle()
        server.channels[0].give(ZeroDivisionError())
        await asyncio.sleep(5)
        assert relay.connected
        await relay.close()

    in_virtual_time(story())
    assert "ZeroDivisionError" in caplog.text


def test_a_host_that_has_moved_connects_anew_if_it_was_connected() -> None:
    async def story() -> None:
        server = FakeRelayServer()
        relay = relay_to(server)
        relay.reconnect()
        assert not server.attempts
        relay.keep(True)
        await settle()
        relay.reconnect()
        await settle()
        assert len(server.attempts) == 2
        assert server.channels[0].closed
        assert relay.connected
        await relay.close()

    in_virtual_time(story())
