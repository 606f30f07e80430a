"""The key of Babel's packets is there in time, changes when all change, and stays private."""

import asyncio
import contextlib
import random
import stat
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from re6st_core.errors import PeerError, RegistryError, WireError
from re6st_core.json_wire import encode_json
from re6st_core.mac_key import KeyWanted, decode_key_untrusted, derive_key
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BabelKeyResponse
from re6stnet.adapters.babel_key import KEY_NAME, BabelKeys
from re6stnet.adapters.clock import Clock, host
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.clock import Reading
from registry.client import RegistryClient
from tests.helpers.node_certificates import authority, load, write_node
from tests.helpers.node_time import in_virtual_time

CA = authority()
PEER, LIAR = Prefix(16, 2), Prefix(16, 3)


def key(epoch: int) -> bytes:
    return derive_key(b"the CA's", epoch)


class World:
    """A registry that may be away, peers that may lie, and a babeld that notes what it is told."""

    def __init__(self, directory: Path, store: SqliteStore) -> None:
        self.path = directory / "babel.key"
        identity = load(write_node(directory, CA, Prefix(16, 1))).identity
        self.start = host().wall
        self.clock = Clock(identity, read=self._read)
        self.keeper = ParametersKeeper(CA.certificate, store, lambda _event: None, own_serial=lambda: 1)
        self.away = False
        self.asked: list[str] = []
        self.told: list[tuple[float, int]] = []
        self.version = 0

    def _read(self) -> Reading:
        passed_s = asyncio.get_running_loop().time() - 1000
        return Reading(self.start + timedelta(seconds=passed_s), passed_s)

    @property
    def unix(self) -> float:
        return self._read().unix

    def keys(self) -> BabelKeys:
        return BabelKeys(
            self.path, cast(RegistryClient, self), cast(PeerHttp, self), self.keeper, self.clock,
            peers=lambda: [(LIAR, None), (PEER, None)], rng=random.Random(1),
        )  # fmt: skip

    async def publish(self, epoch: int, after_s: float = 0) -> None:
        self.version += 1
        parameters = NetworkParameters(
            version=self.version, mac_epoch=epoch, mac_from=int(self.unix + after_s),
            mac_digest=sha256(key(epoch)).hexdigest() if epoch else "",
        )  # fmt: skip
        await self.keeper.take(sign_parameters(parameters, CA.key), "the test")

    async def babel_key(self, epoch: int) -> bytes:
        self.asked.append("registry")
        if self.away:
            raise RegistryError("http://registry.example/ cannot be reached")
        return key(epoch)

    async def ask(self, peer: Prefix, _path: str, data: bytes, **_options: object) -> bytes:
        self.asked.append(peer.cn)
        if peer == LIAR:
            return encode_json(BabelKeyResponse(epoch=self.epoch_of(data), key=key(999).hex()))
        return encode_json(BabelKeyResponse(epoch=self.epoch_of(data), key=key(self.epoch_of(data)).hex()))

    def epoch_of(self, data: bytes) -> int:
        return next(n for n in range(1, 100) if data == encode_json(KeyWanted(epoch=n)))

    async def set_key(self, name: str, secret: bytes) -> None:
        assert name == KEY_NAME
        self.told.append((self.unix, next(n for n in range(1, 100) if key(n) == secret)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield World(tmp_path, store)


def test_a_node_starts_with_the_key_in_use_and_keeps_it_privately(world: World) -> None:
    async def story() -> None:
        await world.publish(3)
        keys = world.keys()
        await keys.first()
        await keys.install(world.set_key)
        assert [epoch for _, epoch in world.told] == [3]
        assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
        world.away, world.asked = True, []
        again = world.keys()
        await again.first()
        assert world.asked == [], "after a restart nobody need be asked"

    in_virtual_time(story())


def test_a_new_key_is_fetched_before_its_time_and_used_at_its_time(world: World) -> None:
    async def story() -> None:
        await world.publish(3)
        keys = world.keys()
        await keys.first()
        running = asyncio.create_task(keys.run(world.set_key))
        await asyncio.sleep(10)
        moment = int(world.unix + 100)
        await world.publish(4, after_s=100)
        await asyncio.sleep(60)
        assert world.asked == ["registry", "registry"]
        assert keys.in_use == 3
        world.away = True
        await asyncio.sleep(60)
        assert [epoch for _, epoch in world.told] == [3, 4]
        assert 0 <= world.told[1][0] - moment < 0.1
        running.cancel()

    in_virtual_time(story())


def test_while_the_registry_is_away_a_peer_tells_and_a_liar_is_found_out(world: World) -> None:
    async def story() -> None:
        await world.publish(4)
        world.away = True
        keys = world.keys()
        await keys.first()
        assert "2/16" in world.asked
        await keys.install(world.set_key)
        assert [epoch for _, epoch in world.told] == [4]
        with pytest.raises(PeerError, match="wrong key"):
            await keys._ask(LIAR, None, 4)

    in_virtual_time(story())


def test_a_key_that_is_not_to_be_had_is_asked_for_again_and_the_old_one_stays(world: World) -> None:
    async def story() -> None:
        await world.publish(1)
        keys = world.keys()
        keys.peers = list
        await keys.first()
        running = asyncio.create_task(keys.run(world.set_key))
        world.away = True
        await world.publish(2, after_s=10)
        await asyncio.sleep(600)
        assert keys.in_use == 1
        assert "key 2 of Babel's packets is not to be had" in keys.warnings()[0]
        world.away = False
        await asyncio.sleep(80)
        assert (keys.in_use, keys.warnings()) == (2, [])
        running.cancel()

    in_virtual_time(story())


def test_a_network_without_keys_needs_none(world: World) -> None:
    async def story() -> None:
        await world.publish(0)
        keys = world.keys()
        await keys.first()
        await keys.install(world.set_key)
        assert (world.asked, world.told, keys.warnings()) == ([], [], [])

    in_virtual_time(story())


def test_members_are_told_what_we_have_and_nothing_else(world: World) -> None:
    async def story() -> None:
        await world.publish(3)
        keys = world.keys()
        await keys.first()
        answer = await keys.serve("2/16", encode_json(KeyWanted(epoch=3)))
        assert decode_key_untrusted(answer, 3) == key(3)
        for data in (encode_json(KeyWanted(epoch=4)), b"", b"{}"):
            with pytest.raises(WireError):
                await keys.serve("2/16", data)

    in_virtual_time(story())


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"x": "00"}', b'{"1": "zz"}'])
def test_a_damaged_file_costs_a_question(world: World, content: bytes) -> None:
    async def story() -> None:
        world.path.write_bytes(content)
        await world.publish(1)
        await world.keys().first()
        assert world.asked == ["registry"]

    in_virtual_time(story())
