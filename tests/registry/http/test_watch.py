"""Newer parameters are told at once to those who wait and to the relay, and to no more."""

import asyncio
from pathlib import Path

import pytest

from re6st_core.errors import RegistryError
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from registry import app
from registry.errors import RefusedError
from registry.http import watch
from tests.helpers.registry import Served, now, served


def revoke(registry: Served, prefix: Prefix) -> None:
    """By another process, as ``re6st-registry node revoke`` does it."""
    other = app.open_registry(registry.directory)
    other.revoke(prefix, now())
    other.database.close()


async def somebody_waits(registry: Served) -> None:
    """The request has arrived; that has no event."""
    async with asyncio.timeout(5):
        while not registry.server._watch._waiting:  # noqa: ASYNC110  # it has none
            await asyncio.sleep(0.01)


async def test_who_waits_has_a_revocation_of_another_process_within_seconds(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as one, registry.node() as bad:
        version = (await one.client.parameters()).version
        waiting = asyncio.create_task(one.client.parameters_after(version))
        await somebody_waits(registry)
        revoke(registry, bad.prefix)
        async with asyncio.timeout(3):
            assert await waiting is not None
        assert (await one.client.parameters()).version == version + 1


async def test_who_is_behind_does_not_wait(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as one:
        async with asyncio.timeout(2):
            assert await one.client.parameters_after(0) is not None


async def test_who_waits_in_vain_may_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAIT_S", 0.05)
    async with served(tmp_path) as registry, registry.node() as one:
        assert await one.client.parameters_after(1) is None


async def test_there_are_few_places_and_one_for_each_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PLACES", 1)
    async with served(tmp_path) as registry, registry.node() as one, registry.node() as two:
        first = asyncio.create_task(one.client.parameters_after(1))
        await somebody_waits(registry)
        with pytest.raises(RefusedError, match="429"):
            await two.client.parameters_after(1)
        again = asyncio.create_task(one.client.parameters_after(1))
        assert await first is None, "its place is taken by the newer request"
        assert (await two.client.parameters()).version == 1, "others are served as ever"
        again.cancel()


async def test_the_relay_tells_of_newer_parameters(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as registry,
        registry.node() as one,
        registry.node() as bad,
        one.client.relay() as channel,
    ):
        revoke(registry, bad.prefix)
        async with asyncio.timeout(3):
            assert await channel.receive() == RelayFrame(peer=one.prefix, version=2)


async def test_who_is_revoked_gets_no_answer_while_it_waits(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as bad:
        waiting = asyncio.create_task(bad.client.parameters_after(1))
        await somebody_waits(registry)
        revoke(registry, bad.prefix)
        with pytest.raises(RegistryError, match="403"):
            await waiting
