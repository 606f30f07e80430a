"""Plain HTTP gives the CA certificate and the revocation list, and nothing else."""

from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from re6st_core.identity import fingerprint
from re6st_core.registry_wire import BOOTSTRAP, CA_PATH, CRL_PATH, ENROL, PARAMETERS, RELAY, RENEW
from tests.helpers.registry import now, served


async def test_ca_certificate_and_revocation_list(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, aiohttp.ClientSession(registry.url) as session:
        async with session.get(CA_PATH) as response:
            assert response.content_type == "application/x-x509-ca-cert"
            assert x509.load_pem_x509_certificate(await response.read()) == registry.ca
        async with registry.node() as node:
            async with session.get(CRL_PATH) as response:
                assert response.content_type == "application/pkix-crl"
                assert len(x509.load_pem_x509_crl(await response.read())) == 0
            registry.registry.revoke(node.prefix, now())
            async with session.get(CRL_PATH) as response:
                crl = x509.load_pem_x509_crl(await response.read())
                assert [entry.serial_number for entry in crl] == [node.certificate.serial_number]


async def test_the_first_page_says_how_to_join(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, aiohttp.ClientSession(registry.url) as session:
        async with session.get("/") as response:
            text = await response.text()
        assert "2001:db8:42::/48" in text
        assert fingerprint(registry.ca) in text


@pytest.mark.parametrize("path", [ENROL, RENEW, PARAMETERS, BOOTSTRAP, RELAY, "/ca.key", "/../registry.db"])
async def test_nothing_else_is_there(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as registry, aiohttp.ClientSession(registry.url) as session:
        for method in ("GET", "POST"):
            async with session.request(method, path) as response:
                assert response.status == 404
                assert response.content_type == "application/problem+json"
        async with session.post(CA_PATH) as response:
            assert response.status == 405
