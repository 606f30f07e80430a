"""The newest parameters are followed and kept, whoever brings them, if the CA has signed them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from caucase_ca.authority import Authority
from re6st_core.errors import WireError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, SignedParameters, sign_parameters
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import ParametersChanged
from tests.helpers.node_certificates import authority
from tests.helpers.node_fakes import Collected

CA = authority()
SERIAL = 77


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield store


def keeper(store: SqliteStore, told: Collected | None = None) -> ParametersKeeper:
    return ParametersKeeper(CA.certificate, store, told or Collected(), own_serial=lambda: SERIAL)


def signed(version: int, *revoked: int, by: Authority = CA) -> SignedParameters:
    return sign_parameters(NetworkParameters(version=version, revoked=revoked), by.key)


async def test_newer_ones_are_followed_and_there_after_a_restart(store: SqliteStore) -> None:
    told, followed = Collected(), []

    async def follow(parameters: NetworkParameters) -> None:
        followed.append(parameters.version)

    one = keeper(store, told)
    one.followers.append(follow)
    assert (one.version, one.load()) == (0, None)
    third = signed(3, 5)
    assert await one.take(third, "somebody")
    assert (one.version, one.revoked, one.signed) == (3, frozenset({5}), third)
    assert followed == [3]
    assert told.events == [ParametersChanged(NetworkParameters(version=3, revoked=(5,)))]
    again = keeper(store)
    assert again.load() == NetworkParameters(version=3, revoked=(5,))
    assert (again.version, again.revoked) == (3, frozenset({5}))


async def test_it_never_goes_back(store: SqliteStore) -> None:
    told = Collected()
    one = keeper(store, told)
    await one.take(signed(7), "somebody")
    for version in (7, 6, 1):
        assert not await one.take(signed(version, 5), "somebody")
    assert one.version == 7
    assert len(told.events) == 1


async def test_what_the_ca_has_not_signed_changes_nothing(store: SqliteStore) -> None:
    told = Collected()
    one = keeper(store, told)
    with pytest.raises(WireError, match="not signed"):
        await one.take(signed(9, by=authority()), "a liar")
    assert (one.version, told.events, keeper(store).load()) == (0, [], None)


@pytest.mark.parametrize("bad", ["other CA", "garbage", "cut off"])
def test_a_cache_that_cannot_be_trusted_is_not_used(
    store: SqliteStore, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = encode_json(signed(7, by=authority() if bad == "other CA" else CA))
    cached = {"garbage": b"\xff{", "cut off": good[: len(good) // 2]}.get(bad, good)
    store.save_value("parameters", cached)
    assert keeper(store).load() is None
    assert "cached network parameters are not usable" in caplog.text


async def test_that_our_own_certificate_is_revoked_is_said_once(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    one = keeper(store)
    await one.take(signed(1), "somebody")
    assert not one.revokes_us
    await one.take(signed(2, SERIAL), "somebody")
    await one.take(signed(3, SERIAL, 99), "somebody")
    assert one.revokes_us
    assert caplog.text.count("certificate of this node is revoked") == 1
