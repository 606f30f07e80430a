"""Who is calling: shown by the certificate, tested at each request."""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from caucase_ca.authority import Authority, generate_key
from re6st_core.errors import RegistryError
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BOOTSTRAP, MAX_BODY, PARAMETERS
from registry.client import RegistryClient
from registry.errors import RefusedError
from registry.http.context import caller_network
from tests.helpers.registry import NETWORK, Served, now, request_for, request_pem, save, served


async def refused(registry: Served, client: RegistryClient) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await client.parameters()
    return caught.value


def node_of(registry: Served, authority: Authority, when: datetime) -> RegistryClient:
    """A client with a certificate made behind the registry's back."""
    key = generate_key()
    certificate = authority.issue_node(request_for(key), Prefix(16, 77), number=0, serial=1000, now=when)
    return RegistryClient(registry.url, registry.ca, *save(registry.directory, certificate, key))


async def test_without_certificate_nothing_but_enrolment(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, RegistryClient(registry.url, registry.ca) as stranger:
        assert (await refused(registry, stranger)).status == 401
        with pytest.raises(RefusedError, match="401"):
            await stranger.bootstrap()
        with pytest.raises(RefusedError, match="401"):
            await stranger.renew(request_pem(generate_key()))
        with pytest.raises(RefusedError, match="401"):
            await stranger.relay().__aenter__()


async def test_a_certificate_of_another_ca_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        other = Authority.create(NETWORK, now=now())
        client = node_of(registry, other, now())
        with pytest.raises(RegistryError, match="https://"):
            await client.parameters()
        await client.close()


async def test_an_expired_certificate_is_told_so_and_may_be_renewed(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        end = node.certificate.not_valid_after_utc
        registry.server._context.now = lambda: end + timedelta(days=1)  # the clock is an argument
        error = await refused(registry, node.client)
        assert error.status == 403
        assert "expired on" in str(error)
        renewed = await node.client.renew(request_pem(node.key))
        assert renewed.not_valid_after_utc > end + timedelta(days=300)
        assert renewed.subject == node.certificate.subject


async def test_a_certificate_of_the_future_is_told_so(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        client = node_of(registry, registry.registry.authority, now() + timedelta(days=10))
        assert "not valid before" in str(await refused(registry, client))
        await client.close()


async def test_the_registry_s_own_certificate_is_no_node_s(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        both = registry.directory / "server.pem"
        client = RegistryClient(registry.url, registry.ca, both, both)
        with pytest.raises(RegistryError):
            await client.parameters()
        await client.close()


async def test_a_revoked_node_is_refused_at_once_on_an_open_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        await node.client.parameters()
        registry.registry.revoke(node.prefix, now())
        error = await refused(registry, node.client)
        assert error.status == 403
        assert "revoked" in str(error)


async def test_bodies_are_bounded(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        url = registry.https + BOOTSTRAP
        async with node.session.post(url, data=bytes(MAX_BODY + 1)) as response:
            assert response.status == 413


async def test_older_tls_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(registry.directory / "ca.crt")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(registry.https + PARAMETERS, ssl=context)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_limits_count_by_what_one_caller_owns(address: str, network: str) -> None:
    class Transport:
        def get_extra_info(self, _name: str) -> tuple[str, int]:
            return address, 1

    request = make_mocked_request("GET", "/", transport=Transport())
    assert caller_network(request) == network
