"""The registry as the node sees it: it may be away, lie, or go back in time; the node goes on."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest

from caucase_ca.authority import Authority
from re6st_core.address import Endpoint, IPAddress, Protocol
from re6st_core.errors import RegistryError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, SignedParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import WAIT_S, BootstrapPeer, BootstrapResponse
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.registrar import LAST_RETRY_S, REFRESH_S, Registrar
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import EndpointsChanged, ParametersChanged, PeerSeen, PeersLearned
from registry.client import RegistryClient
from registry.errors import RefusedError
from tests.helpers.node_certificates import authority
from tests.helpers.node_fakes import Collected
from tests.helpers.node_time import in_virtual_time

PUBLIC, PRIVATE = ip_address("198.51.100.7"), ip_address("192.0.2.7")
PEER = Prefix(16, 2)
CA = authority()
AWAY = RegistryError("http://registry.example/ cannot be reached: connection refused")


class FakeClient:
    """What a node asks a registry; ``failures`` many questions fail first."""

    def __init__(self, version: int = 1, *, observed: IPAddress = PUBLIC, failures: int = 0) -> None:
        self.version = version
        self.observed = observed
        self.failures = failures
        self.places = False
        self.waiting = asyncio.Event()
        self.asked: list[float] = []
        self.announced: list[tuple[Endpoint, ...]] = []

    async def signed_parameters(self) -> tuple[SignedParameters, NetworkParameters]:
        self._answer()
        parameters = NetworkParameters(version=self.version)
        return sign_parameters(parameters, CA.key), parameters

    async def parameters_after(self, version: int) -> SignedParameters | None:
        """There is a place to wait if ``places``; the story changes ``version`` meanwhile."""
        self._answer()
        if self.version <= version:
            if not self.places:
                raise RefusedError("http://registry.example/ answered 429", 429)
            self.waiting = asyncio.Event()
            try:
                async with asyncio.timeout(WAIT_S):
                    await self.waiting.wait()
            except TimeoutError:
                return None
        return sign_parameters(NetworkParameters(version=self.version), CA.key)

    async def bootstrap(self, endpoints: tuple[Endpoint, ...]) -> BootstrapResponse:
        self._answer()
        self.announced.append(endpoints)
        # Peers differ once we are reachable: those without an address of their own are among them.
        peers = (BootstrapPeer(prefix=PEER, relayed=bool(endpoints)),)
        return BootstrapResponse(observed=Endpoint(self.observed, 40000, Protocol.TCP), peers=peers)

    def _answer(self) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        if self.failures:
            self.failures -= 1
            raise AWAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield store


def registrar(
    client: FakeClient | RegistryClient,
    store: SqliteStore,
    told: Collected,
    *,
    announced: tuple[IPAddress, ...] = (),
    country: str | None = None,
    protocols: tuple[Protocol, ...] = (Protocol.UDP, Protocol.TCP),
) -> Registrar:
    async def own_addresses() -> list[IPAddress]:
        return [PUBLIC]

    return Registrar(
        cast(RegistryClient, client), ParametersKeeper(CA.certificate, store, told, own_serial=lambda: 1),
        port=1194, announced=announced,
        country=country, protocols=protocols, own_addresses=own_addresses, rng=random.Random(1), post=told,
        memory=store,
    )  # fmt: skip


def cache(store: SqliteStore, version: int, signer: Authority = CA) -> None:
    store.save_value(
        "parameters", encode_json(sign_parameters(NetworkParameters(version=version), signer.key))
    )


def both(address: IPAddress, country: str | None = None) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(address, 1194, protocol, country) for protocol in Protocol)


def test_only_protocols_in_use_are_announced(store: SqliteStore) -> None:
    ours = registrar(FakeClient(), store, Collected(), announced=(PUBLIC,), protocols=(Protocol.TCP,))
    assert ours.endpoints == (Endpoint(PUBLIC, 1194, Protocol.TCP),)


def test_cached_parameters_serve_while_the_registry_is_away(store: SqliteStore) -> None:
    async def story() -> None:
        cache(store, 7)
        client = FakeClient(failures=1000)
        assert (await registrar(client, store, Collected()).first_parameters()).version == 7
        assert client.asked == []

    in_virtual_time(story())


def test_parameters_of_the_registry_are_there_for_the_next_start(store: SqliteStore) -> None:
    async def story() -> None:
        told = Collected()
        await registrar(FakeClient(3), store, told).first_parameters()
        assert told.events == [ParametersChanged(NetworkParameters(version=3))]
        again = registrar(FakeClient(failures=1), store, Collected())
        assert (await again.first_parameters()).version == 3

    in_virtual_time(story())


def test_without_a_cache_the_registry_is_asked_until_it_answers(store: SqliteStore) -> None:
    async def story() -> None:
        client = FakeClient(failures=10)
        one = registrar(client, store, Collected())
        asking = asyncio.create_task(one.first_parameters())
        await asyncio.sleep(2)
        assert "connection refused" in one.last_error
        await asking
        assert one.last_error == ""
        waits = [later - sooner for sooner, later in itertools.pairwise(client.asked)]
        assert waits[0] < 1.3
        assert max(waits) <= 1.25 * LAST_RETRY_S
        assert all(wait >= 0.75 * min(2.0**n, LAST_RETRY_S) for n, wait in enumerate(waits))

    in_virtual_time(story())


def test_it_never_goes_back_to_a_lower_version(store: SqliteStore) -> None:
    async def story() -> None:
        cache(store, 7)
        told = Collected()
        client = FakeClient(5)
        one = registrar(client, store, told)
        await one.first_parameters()
        refreshing = asyncio.create_task(one.refresh())
        await asyncio.sleep(10)
        assert one._keeper.parameters == NetworkParameters(version=7)
        assert told.events == []
        client.version = 8
        await asyncio.sleep(1.3 * REFRESH_S)
        assert told.events == [ParametersChanged(NetworkParameters(version=8))]
        refreshing.cancel()
        again = registrar(client, store, Collected())
        assert (await again.first_parameters()).version == 8

    in_virtual_time(story())


def test_a_registry_that_comes_back_is_not_left_alone_for_an_hour(store: SqliteStore) -> None:
    async def story() -> None:
        cache(store, 1)
        client = FakeClient(2, failures=5)
        one = registrar(client, store, Collected())
        await one.first_parameters()
        refreshing = asyncio.create_task(one.refresh())
        await asyncio.sleep(60)
        assert one._keeper.parameters == NetworkParameters(version=2)
        refreshing.cancel()
        waits = [later - sooner for sooner, later in itertools.pairwise(client.asked)][:5]
        assert all(0.75 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits))

    in_virtual_time(story())


def test_who_has_a_place_at_the_registry_has_newer_parameters_at_once(store: SqliteStore) -> None:
    async def story() -> None:
        cache(store, 1)
        told, client = Collected(), FakeClient(1)
        client.places = True
        one = registrar(client, store, told)
        await one.first_parameters()
        refreshing = asyncio.create_task(one.refresh())
        await asyncio.sleep(3.5 * WAIT_S)
        assert len(client.asked) == 4, "it stays, without haste"
        client.version = 2
        client.waiting.set()
        await asyncio.sleep(0.01)
        assert told.events == [ParametersChanged(NetworkParameters(version=2))]
        client.failures = 8
        client.waiting.set()
        await asyncio.sleep(1.3 * 200)
        assert client.failures == 0, "who had a place looks once a minute whether the registry is back"
        refreshing.cancel()

    in_virtual_time(story())


def test_what_the_registry_tells_on_the_relay_is_fetched_once(store: SqliteStore) -> None:
    async def story() -> None:
        cache(store, 1)
        told, client = Collected(), FakeClient(2)
        one = registrar(client, store, told)
        await one.first_parameters()
        for _ in range(3):
            one.told(2)
        await asyncio.sleep(1)
        one.told(2)
        await asyncio.sleep(1)
        assert len(client.asked) == 1
        assert told.events == [ParametersChanged(NetworkParameters(version=2))]

    in_virtual_time(story())


def test_a_node_with_a_public_address_announces_it_and_asks_again(store: SqliteStore) -> None:
    async def story() -> None:
        told, client = Collected(), FakeClient()
        one = registrar(client, store, told, country="FR")
        await one.bootstrap()
        assert client.announced == [(), both(PUBLIC, "FR")]
        assert one.endpoints == both(PUBLIC, "FR")
        assert told.events == [
            EndpointsChanged(both(PUBLIC, "FR")),
            PeersLearned((PeerSeen(PEER, (), relayed=True),), by_registry=True),
        ]
        await one.bootstrap()
        assert client.announced[2:] == [both(PUBLIC, "FR")]

    in_virtual_time(story())


def test_behind_a_nat_there_is_nothing_to_announce(store: SqliteStore) -> None:
    async def story() -> None:
        told, client = Collected(), FakeClient(observed=PRIVATE)
        one = registrar(client, store, told)
        await one.bootstrap()
        assert client.announced == [()]
        assert told.events == [PeersLearned((PeerSeen(PEER),), by_registry=True)]

    in_virtual_time(story())


def test_a_node_that_moves_behind_a_nat_takes_its_address_back(store: SqliteStore) -> None:
    async def story() -> None:
        told, client = Collected(), FakeClient()
        one = registrar(client, store, told)
        await one.bootstrap()
        client.observed = PRIVATE
        await one.bootstrap()
        assert client.announced[-1] == ()
        assert EndpointsChanged(()) in told.events

    in_virtual_time(story())


def test_addresses_that_the_operator_gave_win(store: SqliteStore) -> None:
    async def story() -> None:
        given = ip_address("203.0.113.9")
        told, client = Collected(), FakeClient()
        one = registrar(client, store, told, announced=(given,))
        assert one.endpoints == both(given)
        await one.bootstrap()
        assert client.announced == [both(given)]
        assert told.events == [PeersLearned((PeerSeen(PEER, (), relayed=True),), by_registry=True)]

    in_virtual_time(story())


def test_a_bootstrap_without_an_answer_is_the_callers_to_repeat(store: SqliteStore) -> None:
    async def story() -> None:
        told = Collected()
        one = registrar(FakeClient(failures=1), store, told)
        with pytest.raises(RegistryError):
            await one.bootstrap()
        assert told.events == []
        assert one.last_error == str(AWAY)
        await one.bootstrap()
        assert one.last_error == ""

    in_virtual_time(story())


@pytest.mark.parametrize(
    "answer", [b"", b"\x00" * 100, b"HTTP/1.1 200 OK\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"]
)
async def test_garbage_on_the_wire_is_one_known_error(store: SqliteStore, answer: bytes) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    https = server.sockets[0].getsockname()[1]
    async with RegistryClient(f"http://127.0.0.1:{https - 1}/", CA.certificate) as client:
        one = registrar(client, store, Collected())
        with pytest.raises(RegistryError):
            await one.bootstrap()
        assert f"127.0.0.1:{https}" in one.last_error
    server.close()
    await server.wait_closed()


async def test_a_restarted_daemon_knows_where_it_was_reachable(store: SqliteStore) -> None:
    first = registrar(FakeClient(), store, Collected())
    assert not first.endpoints
    await first.bootstrap()
    assert {e.ip for e in first.endpoints} == {PUBLIC}
    assert registrar(FakeClient(), store, Collected()).endpoints == first.endpoints
    behind_nat = registrar(FakeClient(observed=ip_address("203.0.113.1")), store, Collected())
    await behind_nat.bootstrap()
    assert registrar(FakeClient(), store, Collected()).endpoints == ()


async def test_unreadable_memories_of_endpoints_are_none(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save_value("endpoints", b"\xff")
    assert registrar(FakeClient(), store, Collected()).endpoints == ()
    assert "unreadable" in caplog.text


def test_that_the_registry_does_not_accept_us_any_more_is_a_warning(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(FakeClient):
        async def parameters_after(self, version: int) -> SignedParameters | None:
            raise RefusedError("http://registry.example/ answered 403: 1/16 is revoked", 403)

    async def story() -> None:
        cache(store, 1)
        one = registrar(Refusing(), store, Collected())
        await one.first_parameters()
        refreshing = asyncio.create_task(one.refresh())
        await asyncio.sleep(1)
        refreshing.cancel()
        assert "1/16 is revoked" in one.last_error

    in_virtual_time(story())
    assert any(record.levelname == "WARNING" and "is revoked" in record.message for record in caplog.records)
