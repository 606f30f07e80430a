"""Enrolment, parameters, renewal and bootstrap, over real TLS."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest

from caucase_ca.authority import generate_key
from re6st_core.address import decode_endpoints_untrusted, format_endpoints
from re6st_core.identity import prefix_of_certificate
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import EnrolRequest
from registry import app
from registry.client import RegistryClient
from registry.domain.ratelimit import RateLimit
from registry.domain.sampling import RECENT, STORE_AGAIN, STORE_BURST
from registry.errors import RefusedError
from registry.http import private
from registry.http.context import CALL_INTERVAL_S, CALLS
from registry.server import Server
from tests.helpers.registry import Served, new_token, now, request_pem, served

HERE = decode_endpoints_untrusted("192.0.2.1,1194,udp;2001:db8::1,1194,tcp6,FR")


def stored(registry: Served, query: str) -> object:
    connection = sqlite3.connect(registry.directory / "registry.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def test_the_first_node_is_the_registry_s(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, registry.node() as second:
        assert (node.prefix, second.prefix) == (Prefix(16, 0), Prefix(16, 1))
        assert stored(registry, "SELECT registry_prefix FROM registry") == [("0" * 16,)]


async def test_fifty_nodes_at_once_get_fifty_prefixes(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        tokens = [new_token(registry.registry, length=8 + number % 10) for number in range(50)]

        async def enrol(token: str) -> Prefix:
            async with RegistryClient(registry.url, registry.ca) as client:
                certificate = await client.enrol(EnrolRequest(csr=request_pem(generate_key()), token=token))
            return prefix_of_certificate(certificate)

        prefixes = await asyncio.gather(*map(enrol, tokens))
        assert not any(one.overlaps(other) for one, other in combinations(prefixes, 2))
        serials = stored(registry, "SELECT count(DISTINCT serial), count(DISTINCT bits) FROM certificate")
        assert serials == [(50, 50)]


async def test_asking_again_with_the_same_key_gives_the_same(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, RegistryClient(registry.url, registry.ca) as client:
        key, token = generate_key(), new_token(registry.registry)
        same = [
            client.enrol(EnrolRequest(csr=request_pem(key), token=token)) for _ in range(5)
        ]  # at once: the first answer may be on its way when the question is repeated
        assert len({certificate.serial_number for certificate in await asyncio.gather(*same)}) == 1
        with pytest.raises(RefusedError, match=r"403.*used already, by another key"):
            await client.enrol(EnrolRequest(csr=request_pem(generate_key()), token=token))


async def test_guessing_tokens_is_slowed_down_per_caller(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, RegistryClient(registry.url, registry.ca) as client:
        statuses = []
        for number in range(12):
            with pytest.raises(RefusedError) as caught:
                await client.enrol(EnrolRequest(csr=request_pem(generate_key()), token=f"guess {number}"))
            statuses.append(caught.value.status)
        assert statuses == [403] * 10 + [429] * 2


async def test_anonymous_nodes_join_only_where_they_may_and_not_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    async with served(tmp_path / "closed") as registry, RegistryClient(registry.url, registry.ca) as client:
        with pytest.raises(RefusedError, match=r"403.*a token is needed"):
            await client.enrol(EnrolRequest(csr=request_pem(generate_key())))
    opened = served(tmp_path, anonymous=24)
    async with opened as registry, RegistryClient(registry.url, registry.ca) as client:
        for _ in range(20):
            certificate = await client.enrol(EnrolRequest(csr=request_pem(generate_key())))
            assert prefix_of_certificate(certificate).length == 24
        with pytest.raises(RefusedError, match="429"):
            await client.enrol(EnrolRequest(csr=request_pem(generate_key())))


async def test_parameters_are_verified_and_follow_the_operator(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node, registry.node() as bad:
        assert (await node.client.parameters()).version == 1
        registry.registry.revoke(bad.prefix, now())
        parameters = await node.client.parameters()
        assert (parameters.version, parameters.revoked) == (2, (bad.certificate.serial_number,))


async def test_renewal_gives_what_is_good_and_a_new_key_a_new_certificate(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        assert await node.client.renew(request_pem(node.key)) == node.certificate
        new_key = generate_key()
        renewed = await node.client.renew(request_pem(new_key))
        assert renewed.public_key() == new_key.public_key()
        assert renewed.subject == node.certificate.subject
        assert renewed.serial_number != node.certificate.serial_number
        assert await node.client.renew(request_pem(new_key)) == renewed
        with pytest.raises(RefusedError, match="400"):
            await node.client.renew("garbage")


async def test_callers_learn_their_address_and_others(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as one, registry.node() as two:
        answer = await one.client.bootstrap(HERE)
        assert str(answer.observed.ip).startswith("127.")
        assert answer.peers == ()
        (peer,) = (await two.client.bootstrap()).peers
        assert (peer.prefix, peer.endpoints, peer.relayed) == (one.prefix, HERE, False)
        registry.registry.revoke(one.prefix, now())
        assert (await two.client.bootstrap()).peers == ()


async def test_the_database_is_not_written_at_every_call(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        start, later = now(), timedelta()
        registry.server._context.now = lambda: start + later
        seen = "SELECT endpoints, seen FROM node"
        await node.client.bootstrap(HERE)
        first = stored(registry, seen)
        later = STORE_AGAIN - timedelta(seconds=1)
        await node.client.bootstrap(HERE)
        await node.client.parameters()
        assert stored(registry, seen) == first
        later = STORE_AGAIN
        await node.client.parameters()
        assert stored(registry, seen) == [(format_endpoints(HERE), int((start + later).timestamp()))]


async def test_new_endpoints_are_written_at_once_but_not_again_and_again(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        start, later = now(), timedelta()
        registry.server._context.now = lambda: start + later
        for number in range(STORE_BURST + 3):
            here = decode_endpoints_untrusted(f"192.0.2.{number + 1},1194,udp")
            await node.client.bootstrap(here)
            last = min(number + 1, STORE_BURST)
            assert stored(registry, "SELECT endpoints FROM node") == [(f"192.0.2.{last},1194,udp",)]
        later = STORE_AGAIN
        await node.client.parameters()
        assert stored(registry, "SELECT endpoints FROM node") == [(format_endpoints(here),)]


async def restarted(registry: Served, later: timedelta) -> Served:
    """The registry of another process on the same directory, some time later."""
    await registry.server.close()
    again = app.open_registry(registry.directory)
    server = Server(registry.directory, again)
    start = now()
    server._context.now = lambda: start + later
    await server.start((again.settings.hosts[0],))
    return Served(registry.directory, again, server)


@pytest.mark.parametrize("later", [timedelta(hours=2), RECENT + timedelta(hours=1), timedelta(days=30)])
async def test_a_newcomer_finds_peers_after_a_restart(tmp_path: Path, later: timedelta) -> None:
    async with served(tmp_path) as first, first.node() as one, first.node() as two, first.node() as bad:
        for node in (one, two, bad):
            await node.client.bootstrap(HERE)
        first.registry.revoke(bad.prefix, now())
        registry = await restarted(first, later)
        async with registry.node() as newcomer:
            peers = (await newcomer.client.bootstrap()).peers
            assert {(peer.prefix, peer.endpoints) for peer in peers} == {
                (one.prefix, HERE),
                (two.prefix, HERE),
            }
        await registry.server.close()


@pytest.mark.parametrize("call", ["parameters", "renew", "relay"])
async def test_every_call_of_a_member_says_that_it_lives(tmp_path: Path, call: str) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        start, later = now(), timedelta()
        registry.server._context.now = lambda: start + later
        await node.client.bootstrap(HERE)
        later = 2 * RECENT
        if call == "parameters":
            await node.client.parameters()
        elif call == "renew":
            await node.client.renew(request_pem(node.key))
        else:
            async with node.client.relay():
                pass
        assert stored(registry, "SELECT seen FROM node") == [(int((start + later).timestamp()),)]
        known = registry.server._presence.sightings.get(node.prefix)
        assert known is not None
        assert (known.seen, known.endpoints) == (start + later, HERE)


async def test_a_call_without_endpoints_keeps_those_that_another_process_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as first, first.node() as node:
        await node.client.bootstrap(HERE)
        registry = await restarted(first, timedelta(days=1))
        await node.client.parameters()
        assert stored(registry, "SELECT endpoints FROM node") == [(format_endpoints(HERE),)]
        known = registry.server._presence.sightings.get(node.prefix)
        assert known is not None
        assert known.endpoints == HERE
        await registry.server.close()


async def test_a_member_that_never_stops_asking_is_slowed_down_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as registry, registry.node() as eager, registry.node() as other:
        registry.server._context._calls.burst = 20
        mine = eager.client
        calls: list[Callable[[], Awaitable[object]]] = [
            mine.parameters,
            mine.bootstrap,
            lambda: mine.renew(request_pem(eager.key)),
        ]
        statuses = []
        for number in range(30):
            try:
                await calls[number % 3]()
                statuses.append(200)
            except RefusedError as exc:
                statuses.append(exc.status)
        assert 429 not in statuses[:20]
        assert set(statuses[21:]) == {429}  # the slow machine that runs this may have earned one call
        with pytest.raises(RefusedError, match="429"):
            await eager.client.relay().__aenter__()
        await other.client.parameters()


async def test_a_healthy_node_s_calls_are_never_refused() -> None:
    limit = RateLimit(burst=CALLS, interval_s=CALL_INTERVAL_S)
    clock = 0.0
    for _ in range(500):  # starts anew every ten seconds, with parameters, bootstrap thrice, and the relay
        for _ in range(5):
            assert limit.wait_s("node", clock) == 0
            limit.take("node", clock)
        clock += 10


async def test_anonymous_joining_is_limited_for_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = (f"2001:db8:{number:x}::/64" for number in range(99))
    monkeypatch.setattr(private, "caller_network", lambda _request: next(networks))
    monkeypatch.setattr(private, "ANONYMOUS_ALL", 5)
    async with served(tmp_path, anonymous=24) as registry:
        token = new_token(registry.registry)
        async with RegistryClient(registry.url, registry.ca) as client:
            for _ in range(5):
                await client.enrol(EnrolRequest(csr=request_pem(generate_key())))
            with pytest.raises(RefusedError, match=r"429.*everywhere"):
                await client.enrol(EnrolRequest(csr=request_pem(generate_key())))
            await client.enrol(EnrolRequest(csr=request_pem(generate_key()), token=token))


async def test_more_endpoints_than_any_host_has_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        with pytest.raises(RefusedError, match="400"):
            await node.client.bootstrap(HERE[:1] * 17)


async def test_with_a_bad_disk_members_are_served_and_strangers_told_to_come_again(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        locker = sqlite3.connect(registry.directory / "registry.db", isolation_level=None)
        token = new_token(registry.registry)
        locker.execute("BEGIN IMMEDIATE")  # another process that never ends its transaction
        registry.registry.database._engine.raw_connection().execute("PRAGMA busy_timeout=50")
        assert (await node.client.bootstrap(HERE)).peers == ()
        assert (await node.client.parameters()).version == 1
        request = EnrolRequest(csr=request_pem(generate_key()), token=token)
        async with RegistryClient(registry.url, registry.ca) as stranger:
            with pytest.raises(RefusedError) as caught:
                await stranger.enrol(request)
            assert caught.value.status == 503
            locker.execute("ROLLBACK")
            locker.close()
            assert await stranger.enrol(request)
