"""A real registry on a loopback address of its own, and keys to join it with."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.authority import generate_key, key_to_pem
from caucase_ca.policy import PrivateKey
from re6st_core.identity import prefix_of_certificate
from re6st_core.prefix import Network, Prefix
from re6st_core.registry_wire import EnrolRequest
from registry import app
from registry.client import RegistryClient
from registry.server import Server
from registry.service import Registry
from registry.settings import Settings

NETWORK = Network.parse("2001:db8:42::/48")
PORT = 8042
ROOT = Path(__file__).parents[2]


def own_address() -> str:
    """A loopback address that no other test uses: every test may listen on the same ports."""
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}.{secrets.randbelow(253) + 1}"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def request_for(key: PrivateKey) -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())


def request_pem(key: PrivateKey) -> str:
    return request_for(key).public_bytes(Encoding.PEM).decode()


def make(directory: Path, *, address: str | None = None, anonymous: int = 0) -> Registry:
    """What ``re6st-registry init`` makes."""
    hosts = (address or own_address(),)
    settings = Settings(network=NETWORK, hosts=hosts, port=PORT, anonymous_prefix_length=anonymous)
    return app.initialise(directory, settings, rsa_bits=None, now=now())


def new_token(registry: Registry, length: int | None = None) -> str:
    return registry.add_token("someone@example.org", length, now()).text


@dataclass(frozen=True)
class Served:
    """A registry that listens, in this process."""

    directory: Path
    registry: Registry
    server: Server

    @property
    def url(self) -> str:
        return self.registry.settings.url

    @property
    def ca(self) -> x509.Certificate:
        return self.registry.authority.certificate

    @property
    def https(self) -> str:
        return f"https://{self.registry.settings.hosts[0]}:{PORT + 1}"

    @asynccontextmanager
    async def node(self, key: PrivateKey | None = None) -> AsyncIterator["JoinedNode"]:
        """A node that has joined with a token of its own."""
        key = key or generate_key()
        async with RegistryClient(self.url, self.ca) as stranger:
            request = EnrolRequest(csr=request_pem(key), token=new_token(self.registry))
            certificate = await stranger.enrol(request)
        paths = save(self.directory, certificate, key)
        async with RegistryClient(self.url, self.ca, *paths) as client:
            connector = aiohttp.TCPConnector(ssl=client._tls)
            async with aiohttp.ClientSession(connector=connector) as session:
                yield JoinedNode(client, certificate, key, *paths, session)


@dataclass(frozen=True)
class JoinedNode:
    client: RegistryClient
    certificate: x509.Certificate
    key: PrivateKey
    cert_path: Path
    key_path: Path
    session: aiohttp.ClientSession
    """For requests that our client does not make."""

    @property
    def prefix(self) -> Prefix:
        return prefix_of_certificate(self.certificate)


def save(directory: Path, certificate: x509.Certificate, key: PrivateKey) -> tuple[Path, Path]:
    name = directory / f"{secrets.token_hex(8)}"
    cert_path, key_path = name.with_suffix(".crt"), name.with_suffix(".key")
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key_to_pem(key))
    return cert_path, key_path


@asynccontextmanager
async def served(directory: Path, *, anonymous: int = 0) -> AsyncIterator[Served]:
    """A registry, listening while the context lasts."""
    address = own_address()
    registry = make(directory, address=address, anonymous=anonymous)
    server = Server(directory, registry)
    try:
        await server.start((address,))
        yield Served(directory, registry, server)
    finally:
        await server.close()


def command(module: str, *arguments: str | Path) -> list[str]:
    """Command line of one of our programs."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    return [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]


@contextmanager
def running(directory: Path, address: str, code: str | None = None) -> Iterator["subprocess.Popen[str]"]:
    """``re6st-registry run`` in a process of its own, once it serves; killed at the end if still there.

    ``code``: Python to run instead of the plain program, for the faults that only a patch can cause.
    """
    arguments = command("registry.cli", "run", "--dir", directory, "--listen", address)
    if code:
        arguments[arguments.index("-c") + 1] = code
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "serving" in line:
                break
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def call(module: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run one of our programs to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = command(module, *arguments)
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        check=False,
        timeout=60,
    )


def token_of(directory: Path) -> str:
    """A token, made by the command while the registry runs."""
    answer = json.loads(call("registry.cli", "token", "add", "--dir", directory, "--json").stdout)
    return str(answer["token"])
