"""Whom a node accepts: members in date that are not revoked, also when its own clock is wrong."""

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from caucase_ca.authority import Authority
from re6st_core.errors import CertificateError
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.store import SqliteStore
from re6stnet.membership import Membership
from re6stnet.settings import Settings
from tests.helpers.node_certificates import authority, load, write_node

OWN, PEER = Prefix(16, 1), Prefix(16, 2)
CA = authority()


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Membership]:
    here = write_node(tmp_path, CA, OWN, 1)
    settings = Settings(
        registry="http://registry.example/", ca=here / "ca.crt", cert=here / "cert.crt",
        key=here / "cert.key", log=tmp_path, run=tmp_path, state=tmp_path,
    )  # fmt: skip
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield Membership(settings, store, lambda _event: None, mark=1, rng=random.Random(1))


def check(
    members: Membership, directory: Path, *, issued: datetime | None = None, ca: Authority = CA
) -> None:
    members._check(load(write_node(directory, ca, PEER, 2, now=issued)).identity.certificate)


def test_a_member_is_accepted(members: Membership, tmp_path: Path) -> None:
    check(members, tmp_path)


async def test_a_revoked_one_is_not(members: Membership, tmp_path: Path) -> None:
    parameters = NetworkParameters(version=1, revoked=(2,))
    await members.keeper.take(sign_parameters(parameters, CA.key), "the test")
    with pytest.raises(CertificateError, match="revoked"):
        check(members, tmp_path)
    assert not members.status().revoked


async def test_that_we_are_revoked_ourselves_is_a_warning(members: Membership) -> None:
    parameters = NetworkParameters(version=1, revoked=(1,))
    await members.keeper.take(sign_parameters(parameters, CA.key), "the test")
    assert members.status().revoked
    assert "revoked" in members.status().warnings[0]


@pytest.mark.parametrize("days", [-400, 400])
def test_one_that_is_not_in_date_is_not(members: Membership, tmp_path: Path, days: int) -> None:
    with pytest.raises(CertificateError, match="is valid from"):
        check(members, tmp_path, issued=datetime.now(UTC) + timedelta(days=days))


def test_dates_go_by_the_time_of_the_registry(members: Membership, tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=300)
    members.clock.registry_says(later, 1.0)
    check(members, tmp_path, issued=later)
    status = members.status()
    assert status.clock_source == "registry"
    assert status.clock_wrong_by_s < -299 * 86400
    assert "behind, says the registry" in status.warnings[0]
