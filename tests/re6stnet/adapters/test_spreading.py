"""Two nodes over real TLS on loopback: who is behind gets the newer parameters, whoever asks."""

import asyncio
import contextlib
import ipaddress
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from caucase_ca.authority import Authority
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError, WireError
from re6st_core.netparams import NetworkParameters, SignedParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6st_core.spread_wire import PARAMETERS_PATH, Told, decode_told_untrusted, encode_told
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.peer_api import PeerApi
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.adapters.spreading import Spreader
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import Event, ParametersChanged
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

A, B = Prefix(16, 1), Prefix(16, 2)
pytestmark = pytest.mark.root  # SO_MARK


class Loopback(PeerHttp):
    """Overlay addresses are ports of this host here."""

    ports: dict[Prefix, int]

    async def ask(self, peer: Prefix, path: str, data: bytes | None = None, **options: object) -> bytes:
        if peer not in self.ports:
            raise PeerError("no route")
        options["endpoint"] = Endpoint(ipaddress.ip_address("127.0.0.1"), self.ports[peer], Protocol.TCP)
        return await super().ask(peer, path, data, **options)  # type: ignore[arg-type]  # the same, passed on


@dataclass
class End:
    keeper: ParametersKeeper
    spreader: Spreader
    http: Loopback
    events: asyncio.Queue[Event]
    neighbours: set[Prefix]

    async def follows(self) -> int:
        """The version of the next parameters that it gets."""
        async with asyncio.timeout(5):
            event = await self.events.get()
        assert isinstance(event, ParametersChanged)
        return event.parameters.version


@contextlib.asynccontextmanager
async def node(directory: Path, ports: dict[Prefix, int], ca: Authority) -> AsyncIterator[End]:
    credentials = load(directory)
    own = credentials.identity.prefix
    events: asyncio.Queue[Event] = asyncio.Queue()
    neighbours: set[Prefix] = set()
    with contextlib.closing(SqliteStore(directory / "state")) as store:
        keeper = ParametersKeeper(ca.certificate, store, events.put_nowait, own_serial=lambda: 1)
        await keeper.take(signed(ca, 1), "the test")
        events.get_nowait()
        http = Loopback(NETWORK, credentials.client_context(), mark=1)
        http.ports = ports
        await http.start()
        spreader = Spreader(own, keeper, http, neighbours=lambda: neighbours, rng=random.Random(1))
        api = PeerApi(credentials.server_context(), lambda: ())
        api.serve(PARAMETERS_PATH, spreader.serve, limit=1 << 20)
        ports[own] = await api.listen("127.0.0.1", 0)
        running = asyncio.create_task(spreader.run())
        yield End(keeper, spreader, http, events, neighbours)
        running.cancel()
        await asyncio.wait([running])
        await http.close()
        await api.close()


def signed(ca: Authority, version: int, *revoked: int) -> SignedParameters:
    return sign_parameters(NetworkParameters(version=version, revoked=revoked), ca.key)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Authority, End, End]]:
    ca, ports = authority(), dict[Prefix, int]()
    async with (
        node(write_node(tmp_path, ca, A, 1), ports, ca) as a,
        node(write_node(tmp_path, ca, B, 2), ports, ca) as b,
    ):
        yield ca, a, b


async def test_a_neighbour_is_told_at_once(pair: tuple[Authority, End, End]) -> None:
    ca, a, b = pair
    a.neighbours.add(B)
    b.neighbours.add(A)
    await a.keeper.take(signed(ca, 2, 77), "the registry")
    assert await b.follows() == 2
    assert b.keeper.revoked == {77}


@pytest.mark.parametrize("first", [True, False])
async def test_on_a_new_tunnel_both_end_at_the_higher_version(
    pair: tuple[Authority, End, End], first: bool
) -> None:
    ca, a, b = pair
    newer, older = (a, b) if first else (b, a)
    await newer.keeper.take(signed(ca, 3), "the registry")
    a.neighbours.add(B)
    b.neighbours.add(A)
    assert await older.follows() == 3


async def test_any_member_may_ask(pair: tuple[Authority, End, End]) -> None:
    ca, a, b = pair
    await b.keeper.take(signed(ca, 5), "the registry")
    told = decode_told_untrusted(
        await a.http.ask(B, PARAMETERS_PATH, encode_told(Told(version=4)), limit=1 << 20)
    )
    assert (told.version, told.signed) == (5, b.keeper.signed)
    told = decode_told_untrusted(await a.http.ask(B, PARAMETERS_PATH, encode_told(Told(version=5))))
    assert told == Told(version=5)


async def test_parameters_that_are_not_genuine_are_refused(pair: tuple[Authority, End, End]) -> None:
    _, a, b = pair
    forged = Told(version=9, signed=signed(authority(), 9))
    with pytest.raises(PeerError, match="400"):
        await a.http.ask(B, PARAMETERS_PATH, encode_told(forged))
    assert b.keeper.version == 1
    with pytest.raises(WireError):
        await b.spreader.serve("not a node", encode_told(Told(version=1)))
