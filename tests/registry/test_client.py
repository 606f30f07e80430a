"""The client: only the registry is believed, and every failure is one line that names the URL."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Network, ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.authority import Authority, generate_key, key_to_pem
from re6st_core.errors import CertificateError, ConfigError, RegistryError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Network, Prefix
from re6st_core.registry_wire import CA_PATH, ENROL, PARAMETERS, CertificateResponse, EnrolRequest
from registry.client import RegistryClient, fetch_ca
from registry.errors import RefusedError, UnreachableError
from tests.helpers.registry import NETWORK, PORT, now, own_address, request_for, request_pem, save, served

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def pretender(address: str, handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Something else that listens where the registry should be."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, address, PORT + (tls is not None), ssl_context=tls).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def facing(
    authority: Authority, address: str, handler: Handler, tls: ssl.SSLContext
) -> AsyncIterator[RegistryClient]:
    """A client that believes in this authority, and calls a pretender."""
    client = RegistryClient(f"http://{address}:{PORT}/", authority.certificate)
    async with pretender(address, handler, tls), client:
        yield client


def shows(directory: Path, certificate: x509.Certificate, key: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*save(directory, certificate, key))  # type: ignore[arg-type]  # a key of ours
    return context


def server_certificate(authority: Authority, directory: Path, host: str) -> ssl.SSLContext:
    key = generate_key()
    certificate = authority.issue_server(key.public_key(), [host], serial=5, now=now())
    return shows(directory, certificate, key)


def says(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


async def unused(_request: web.BaseRequest) -> web.Response:
    raise AssertionError("a request has reached somebody who is not the registry")


async def test_the_ca_is_fetched(tmp_path: Path) -> None:
    async with served(tmp_path) as registry:
        assert await fetch_ca(registry.url) == registry.ca
        assert await fetch_ca(registry.url.rstrip("/")) == registry.ca


NOT_A_CA = {
    "empty": b"",
    "text": b"<html>welcome to the hotel's wireless network</html>",
    "broken PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("body", NOT_A_CA.values(), ids=NOT_A_CA)
async def test_garbage_instead_of_the_ca(body: bytes) -> None:
    address = own_address()
    async with pretender(address, says(body)):
        with pytest.raises(RegistryError, match=f"http://{address}:{PORT}{CA_PATH} answered something"):
            await fetch_ca(f"http://{address}:{PORT}/")


async def test_a_certificate_that_is_no_network_s_ca() -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    node = authority.issue_node(request_for(generate_key()), Prefix(16, 0), number=0, serial=2**50, now=now())
    async with pretender(address, says(node.public_bytes(Encoding.PEM))):
        with pytest.raises(RegistryError, match="not a network's CA certificate"):
            await fetch_ca(f"http://{address}:{PORT}/")


async def test_an_endless_answer_is_cut() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(10000))
        except ConnectionError:
            return response

    address = own_address()
    async with pretender(address, endless):
        with pytest.raises(RegistryError, match="more than 65536 bytes"):
            await fetch_ca(f"http://{address}:{PORT}/")


async def test_a_redirection_or_another_server_is_refused() -> None:
    address = own_address()
    async with pretender(address, says(b"", 302, Location="http://192.0.2.1/")):
        with pytest.raises(RefusedError, match="answered 302: is this a registry"):
            await fetch_ca(f"http://{address}:{PORT}/")


async def test_bytes_that_are_not_http() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    address = own_address()
    async with await asyncio.start_server(babble, address, PORT):
        with pytest.raises(RegistryError, match=f"http://{address}"):
            await fetch_ca(f"http://{address}:{PORT}/")


async def test_nobody_listens() -> None:
    address = own_address()
    with pytest.raises(UnreachableError, match=f"http://{address}:{PORT}.* cannot be reached"):
        await fetch_ca(f"http://{address}:{PORT}/")


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.exchange.TIMEOUT_S", 0.1)
    address = own_address()
    silent = socket.create_server((address, PORT))
    with silent, pytest.raises(UnreachableError, match="did not answer in time"):
        await fetch_ca(f"http://{address}:{PORT}/")


@pytest.mark.parametrize("name", ["registry.invalid", "registry..invalid", "r" * 64 + ".invalid"])
async def test_a_name_that_does_not_exist_or_cannot(name: str) -> None:
    with pytest.raises(UnreachableError, match=rf"{re.escape(name)}.*does not resolve"):
        await fetch_ca(f"http://{name}/")


@pytest.mark.parametrize("url", ["https://a/", "ftp://a/", "a", "http://", "http://a:x/", "http://a:70000/"])
async def test_urls_of_another_form(url: str) -> None:
    with pytest.raises(ConfigError):
        await fetch_ca(url)


async def test_a_node_that_pretends_to_be_the_registry_gets_no_request(tmp_path: Path) -> None:
    """The registry is addressed by an address that a node's certificate carries too."""
    loopback = Network.parse("::/96")
    authority, key = Authority.create(loopback, now=now()), generate_key()
    prefix = loopback.prefix_of(IPv6Network("::1/128"))
    node = authority.issue_node(request_for(key), prefix, number=0, serial=5, now=now())
    names = node.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("::1")]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as bound:
        port = bound.getsockname()[1]
        server = web.ServerRunner(web.Server(unused))
        await server.setup()
        await web.SockSite(server, bound, ssl_context=shows(tmp_path, node, key)).start()
        async with RegistryClient(f"http://[::1]:{port - 1}/", authority.certificate) as client:
            for call in (client.enrol(EnrolRequest(csr="", token="secret")), client.relay().__aenter__()):
                with pytest.raises(UnreachableError, match="certificate of node 1/32, not the registry's"):
                    await call
        await server.cleanup()


@pytest.mark.parametrize("fault", ["another CA", "another name", "expired"])
async def test_who_is_not_the_registry_gets_no_request(tmp_path: Path, fault: str) -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    if fault == "another CA":
        tls = server_certificate(Authority.create(NETWORK, now=now()), tmp_path, address)
    elif fault == "another name":
        tls = server_certificate(authority, tmp_path, "registry.example")
    else:
        key = generate_key()
        long_ago = now() - timedelta(days=400)
        old = authority.issue_server(key.public_key(), [address], serial=5, now=long_ago)
        tls = shows(tmp_path, old, key)
    async with facing(authority, address, unused, tls) as client:
        for call in (client.enrol(EnrolRequest(csr="", token="secret")), client.relay().__aenter__()):
            with pytest.raises(UnreachableError, match="is not the registry of this network"):
                await call


@pytest.mark.parametrize(
    ("told", "said"), [(None, "garbage"), (now() - timedelta(days=300), "garbage"), (now(), "now it is")]
)
async def test_the_date_of_its_certificate_is_tested_if_the_time_is_known(
    tmp_path: Path, told: datetime | None, said: str
) -> None:
    address, authority, key = own_address(), Authority.create(NETWORK, now=now()), generate_key()
    long_ago = now() - timedelta(days=400)
    tls = shows(tmp_path, authority.issue_server(key.public_key(), [address], serial=5, now=long_ago), key)
    async with pretender(address, says(b"{}"), tls):
        url = f"http://{address}:{PORT}/"
        async with RegistryClient(url, authority.certificate, now=lambda: told) as client:
            with pytest.raises(RegistryError, match=said):
                await client.bootstrap()


async def test_the_date_of_each_answer_is_told(tmp_path: Path) -> None:
    told: list[tuple[datetime, float]] = []
    async with (
        served(tmp_path) as registry,
        RegistryClient(registry.url, registry.ca, on_date=lambda *of: told.append(of)) as client,
    ):
        with pytest.raises(RefusedError, match="401"):
            await client.parameters()
    assert abs(told[0][0] - now()) < timedelta(seconds=5)
    assert told[0][1] == 1.0


async def test_a_bootstrap_tells_the_time_more_precisely(tmp_path: Path) -> None:
    told: list[tuple[datetime, float]] = []
    async with served(tmp_path) as registry, registry.node() as node:
        node.client._on_date = lambda *of: told.append(of)
        await node.client.bootstrap()
        right = datetime.now(UTC)
    date, error_s = min(told, key=lambda each: each[1])
    assert error_s < 1
    assert abs((right - date).total_seconds()) <= error_s + 0.05


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"certificate": 7}', b"\xff\xfe", b"[" * 5000])
async def test_garbage_from_the_registry(tmp_path: Path, body: bytes) -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    async with facing(
        authority, address, says(body), server_certificate(authority, tmp_path, address)
    ) as client:
        for call in (
            client.enrol(EnrolRequest(csr="")),
            client.parameters(),
            client.bootstrap(),
            client.relay().__aenter__(),
        ):
            with pytest.raises(RegistryError, match=f"https://{address}"):
                await call


async def test_a_certificate_for_another_network_is_not_taken(tmp_path: Path) -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    other = Authority.create(NETWORK, now=now())
    key = generate_key()
    foreign = other.issue_node(request_for(key), Prefix(16, 0), number=0, serial=1, now=now())
    answers = [foreign.public_bytes(Encoding.PEM).decode(), "garbage"]
    for pem in answers:
        body = encode_json(CertificateResponse(certificate=pem))
        async with facing(
            authority, address, says(body), server_certificate(authority, tmp_path, address)
        ) as client:
            with pytest.raises(CertificateError, match=f"{ENROL} answered a certificate that is not"):
                await client.enrol(EnrolRequest(csr=""))


async def test_parameters_that_the_ca_did_not_sign_are_not_taken(tmp_path: Path) -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    forged = sign_parameters(NetworkParameters(version=9), Authority.create(NETWORK, now=now()).key)
    tls = server_certificate(authority, tmp_path, address)
    async with facing(authority, address, says(encode_json(forged)), tls) as client:
        with pytest.raises(RegistryError, match=f"{PARAMETERS}.*not signed"):
            await client.parameters()


async def test_a_problem_is_told_in_one_printable_line(tmp_path: Path) -> None:
    address, authority = own_address(), Authority.create(NETWORK, now=now())
    body = b'{"title": "No\\u001b[2J", "status": 403, "detail": "line\\nline"}'
    async with facing(
        authority, address, says(body, 403), server_certificate(authority, tmp_path, address)
    ) as client:
        with pytest.raises(RefusedError) as caught:
            await client.parameters()
    assert caught.value.status == 403
    assert str(caught.value).isprintable()


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    authority, key = Authority.create(NETWORK, now=now()), generate_key()
    certificate = authority.issue_node(request_for(key), Prefix(16, 0), number=0, serial=1, now=now())
    cert_path, _ = save(tmp_path, certificate, key)
    for other in (key_to_pem(generate_key()), b"garbage"):
        (tmp_path / "other.key").write_bytes(other)
        with pytest.raises(CertificateError, match=r"other\.key"):
            RegistryClient("http://a/", authority.certificate, cert_path, tmp_path / "other.key")
    with pytest.raises(CertificateError, match="No such file"):
        RegistryClient("http://a/", authority.certificate, cert_path, tmp_path / "missing.key")


async def test_the_registry_goes_and_comes_back(tmp_path: Path) -> None:
    async with served(tmp_path) as registry, registry.node() as node:
        await node.client.parameters()
        await registry.server.close()
        with pytest.raises(UnreachableError):
            await node.client.parameters()
        with pytest.raises(UnreachableError):
            await node.client.relay().__aenter__()


@pytest.mark.root
async def test_packets_carry_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = []
    real = socket.socket.setsockopt

    class Recording(socket.socket):
        def setsockopt(self, *arguments: object) -> None:
            real(self, *arguments)  # type: ignore[call-overload]  # likewise
            if arguments[1] == socket.SO_MARK:
                marks.append(self.getsockopt(socket.SOL_SOCKET, socket.SO_MARK))

    monkeypatch.setattr("registry.exchange.socket.socket", Recording)
    async with served(tmp_path) as registry:
        assert await fetch_ca(registry.url, fwmark=0x7236) == registry.ca
        key = generate_key()
        async with RegistryClient(registry.url, registry.ca, fwmark=0x7236) as client:
            with pytest.raises(RefusedError):
                await client.enrol(EnrolRequest(csr=request_pem(key)))
    assert marks == [0x7236, 0x7236]
