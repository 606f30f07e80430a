"""The certificate is renewed in time and used at once; when that fails, the operator hears of it."""

import asyncio
import logging
import random
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.authority import Authority
from re6st_core.errors import RegistryError
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.clock import Clock
from re6stnet.adapters.credentials import Credentials
from re6stnet.adapters.renewal import LOOK_S, Renewal
from re6stnet.engine.clock import Reading
from registry.client import RegistryClient
from tests.helpers.node_certificates import authority, issue, load, write_node
from tests.helpers.node_time import in_virtual_time

OWN = Prefix(16, 1)
LIFE = timedelta(days=365)


@dataclass
class FakeRegistry:
    """Renews at ``now``; ``away``: does not answer."""

    ca: Authority
    credentials: Credentials
    now: datetime
    away: bool = False
    asked: int = 0
    loaded: int = 0
    serial: int = 1
    same: bool = False

    async def renew(self, csr_pem: str) -> x509.Certificate:
        self.asked += 1
        if self.away:
            raise RegistryError("http://registry.example/ cannot be reached: connection refused")
        if self.same:
            return self.credentials.identity.certificate
        self.serial += 1
        key = x509.load_pem_x509_csr(csr_pem.encode()).public_key()
        assert key == self.credentials.key.public_key()
        return issue(self.ca, self.credentials.key, OWN, self.serial, now=self.now)

    def load_certificate(self) -> None:
        self.loaded += 1


@dataclass
class Node:
    directory: Path
    left: timedelta
    ca: Authority = field(default_factory=authority)
    told: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        issued = datetime.now(UTC)
        self.here = write_node(self.directory, self.ca, OWN, 1, now=issued)
        self.credentials = load(self.here)
        self.now = self.credentials.identity.not_after - self.left
        self.registry = FakeRegistry(self.ca, self.credentials, self.now)
        clock = Clock(self.credentials.identity, read=self._read)
        client = cast(RegistryClient, self.registry)
        self.renewal = Renewal(self.credentials, client, clock, random.Random(1))

        async def follow() -> None:
            self.told.append(self.credentials.identity.serial)

        self.renewal.followers.append(follow)

    def _read(self) -> Reading:
        passed_s = asyncio.get_running_loop().time() - 1000
        return Reading(self.now + timedelta(seconds=passed_s), passed_s)

    def works_for(self, duration: timedelta) -> None:
        async def story() -> None:
            running = asyncio.create_task(self.renewal.run())
            await asyncio.sleep(duration.total_seconds())
            self.warnings = self.renewal.warnings()
            running.cancel()

        in_virtual_time(story())


def test_a_month_before_its_end_it_is_renewed_and_used(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=31))
    node.works_for(timedelta(hours=12))
    assert node.registry.asked == 0
    (tmp_path / "later").mkdir()
    node = Node(tmp_path / "later", timedelta(days=29))
    node.works_for(timedelta(hours=12))
    assert (node.registry.asked, node.registry.loaded, node.told) == (1, 1, [2])
    assert node.credentials.identity.serial == 2
    assert load(node.here).identity.serial == 2, "on disk, too"
    assert [path.name for path in node.here.iterdir() if path.suffix == ".tmp"] == []
    assert node.warnings == []


def test_one_that_has_ended_is_renewed_too(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=-5))
    node.works_for(timedelta(minutes=1))
    assert node.credentials.identity.serial == 2


def test_while_the_registry_is_away_it_tries_on_and_warns_every_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path, timedelta(days=29))
    node.registry.away = True
    node.works_for(timedelta(days=7))
    assert node.registry.asked >= 7 * 86400 / LOOK_S / 1.25
    assert caplog.text == "", "there is still time"
    node.now += timedelta(days=7)
    node.works_for(timedelta(days=22, minutes=1))
    levels = [record.levelno for record in caplog.records if record.levelno >= logging.WARNING]
    assert 19 <= len(levels) <= 22
    assert levels[0] == logging.WARNING
    assert levels[-1] == logging.ERROR
    assert "has ended" in node.warnings[0]
    assert "connection refused" in node.warnings[0]


def test_a_certificate_that_the_operator_replaced_is_taken_up(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=100))
    other = issue(node.ca, node.credentials.key, OWN, 7)
    (node.here / "cert.crt").write_bytes(other.public_bytes(Encoding.PEM))
    node.works_for(timedelta(minutes=1))
    assert (node.told, node.registry.asked) == ([7], 0)


def test_a_registry_that_gives_the_same_again_changes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=20))
    node.registry.same = True
    before = (node.here / "cert.crt").read_bytes()
    node.works_for(timedelta(hours=2))
    assert node.told == []
    assert (node.here / "cert.crt").read_bytes() == before
    assert "no certificate that lasts longer" in node.warnings[0]


def test_a_directory_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=20))
    node.credentials.cert_path = tmp_path / "nowhere" / "cert.crt"
    node.works_for(timedelta(minutes=1))
    assert node.registry.asked == 0
    assert "not a readable" in node.warnings[0] or "No such file" in node.warnings[0]


def test_the_end_of_the_ca_is_announced_a_year_before(tmp_path: Path) -> None:
    node = Node(tmp_path, timedelta(days=100))
    node.now = node.credentials.ca.not_valid_after_utc - timedelta(days=300)
    node.works_for(timedelta(seconds=1))
    assert any("network's CA ends on" in warning for warning in node.warnings)


async def test_the_signed_parameters_bring_a_renewed_certificate_of_the_ca(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path, timedelta(days=100))
    later = node.ca.renewed(datetime.now(UTC) + timedelta(days=7000))

    def told(ca: Authority) -> NetworkParameters:
        return NetworkParameters(version=2, ca=b64encode(ca.certificate.public_bytes(Encoding.DER)).decode())

    await node.renewal.follow_ca(NetworkParameters(version=1))
    await node.renewal.follow_ca(told(later))
    await node.renewal.follow_ca(told(later))
    assert node.credentials.ca == later.certificate
    assert node.told == [1], "whoever uses the files is told once"
    await node.renewal.follow_ca(told(authority()))
    await node.renewal.follow_ca(NetworkParameters(version=3, ca="garbage"))
    assert node.credentials.ca == later.certificate
    assert caplog.text.count("of no use") == 2
