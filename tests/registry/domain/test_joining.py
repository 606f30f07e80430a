"""Who gets a certificate: decided on a real store, with a clock of our own."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from caucase_ca.policy import RENEWAL_MARGIN
from re6st_core.prefix import Prefix
from registry.domain.joining import (
    MAX_LIVE_CERTIFICATES,
    TOKEN_LIFETIME,
    Grant,
    join,
    renew,
)
from registry.domain.records import Held, Token
from registry.errors import NotAllowedError, TooManyError
from registry.store.database import Database
from registry.store.transaction import Transaction
from tests.helpers.registry import NETWORK, now

NOW = now()
KEY, OTHER_KEY = b"key", b"other"


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Transaction]:
    database = Database(tmp_path / "db", create=True)
    database.create(NETWORK)
    with database.write() as transaction:
        transaction.add_token(Token(text="token", email="", prefix_length=16, created=NOW))
        yield transaction
    database.close()


def ask(
    records: Transaction, key: bytes = KEY, token: str | None = "token", **options: object
) -> Held | Grant:
    settings = {"free_bits": 80, "anonymous_prefix_length": 0, "now": NOW} | options
    return join(records, key, token, **settings)  # type: ignore[arg-type]  # the options are what it takes


def joined(records: Transaction, key: bytes = KEY, token: str | None = "token", **options: object) -> Held:
    grant = ask(records, key, token, **options)
    assert isinstance(grant, Grant)
    records.add_node(grant.prefix, email=None, location=None, subject="", now=NOW)
    if grant.token:
        records.use_token(grant.token.text, grant.prefix, key, NOW)
    return issued(records, grant.prefix, key)


def issued(records: Transaction, prefix: Prefix, key: bytes) -> Held:
    serial = records.next_serial(0)
    held = Held(serial=serial, prefix=prefix, key=key, pem="", issued=NOW, expires=NOW + timedelta(days=365))
    records.add_certificate(held)
    return held


def test_a_token_gives_a_prefix_of_its_length(records: Transaction) -> None:
    assert joined(records).prefix == Prefix(16, 0)


def test_the_same_key_gets_the_same_again(records: Transaction) -> None:
    held = joined(records)
    assert ask(records) == held


def test_another_key_cannot_use_a_used_token(records: Transaction) -> None:
    joined(records)
    with pytest.raises(NotAllowedError, match="used already, by another key"):
        ask(records, OTHER_KEY)


def test_an_unknown_token_is_refused(records: Transaction) -> None:
    with pytest.raises(NotAllowedError, match="does not know this token"):
        ask(records, token="guess")


def test_an_old_token_is_refused_but_not_to_who_used_it(records: Transaction) -> None:
    late = NOW + TOKEN_LIFETIME + timedelta(seconds=1)
    with pytest.raises(NotAllowedError, match="expired"):
        ask(records, now=late)
    held = joined(records)
    assert ask(records, now=late) == held


def test_without_token_only_where_that_is_allowed(records: Transaction) -> None:
    with pytest.raises(NotAllowedError, match="token is needed"):
        ask(records, token=None)
    assert joined(records, token=None, anonymous_prefix_length=20).prefix.length == 20
    assert isinstance(ask(records, token=None, anonymous_prefix_length=20), Held)


def test_a_known_key_spends_no_second_token(records: Transaction) -> None:
    held = joined(records)
    records.add_token(Token(text="second", email="", prefix_length=16, created=NOW))
    assert ask(records, token="second") == held
    second = records.token("second")
    assert second
    assert second.used_at is None


def test_a_used_token_does_not_bring_an_ended_node_back(records: Transaction) -> None:
    joined(records)
    with pytest.raises(NotAllowedError, match="used long ago"):
        ask(records, now=NOW + timedelta(days=366))


def test_a_revoked_key_gets_nothing(records: Transaction) -> None:
    held = joined(records)
    records.revoke(held.prefix, NOW)
    records.add_token(Token(text="second", email="", prefix_length=16, created=NOW))
    for token in ("token", "second"):
        with pytest.raises(NotAllowedError, match="revoked"):
            ask(records, token=token)
    with pytest.raises(NotAllowedError, match="revoked"):
        renew(records, held.prefix, KEY, NOW)
    with pytest.raises(NotAllowedError, match="revoked"):
        renew(records, held.prefix, OTHER_KEY, NOW)


def test_renewal_gives_what_is_good_until_it_nears_its_end(records: Transaction) -> None:
    held = joined(records)
    assert renew(records, held.prefix, KEY, NOW) == held
    assert renew(records, held.prefix, KEY, held.expires - RENEWAL_MARGIN) is None
    assert renew(records, held.prefix, KEY, held.expires + timedelta(days=50)) is None


def test_renewal_with_a_new_key_is_granted_once_per_key(records: Transaction) -> None:
    held = joined(records)
    assert renew(records, held.prefix, OTHER_KEY, NOW) is None
    second = issued(records, held.prefix, OTHER_KEY)
    assert renew(records, held.prefix, OTHER_KEY, NOW) == second


def test_renewal_with_ever_new_keys_ends(records: Transaction) -> None:
    held = joined(records)
    for number in range(1, MAX_LIVE_CERTIFICATES):
        assert renew(records, held.prefix, b"%d" % number, NOW) is None
        issued(records, held.prefix, b"%d" % number)
    with pytest.raises(TooManyError):
        renew(records, held.prefix, b"one more", NOW)


def test_renewal_with_somebody_else_s_key_is_refused(records: Transaction) -> None:
    held = joined(records)
    records.add_token(Token(text="second", email="", prefix_length=16, created=NOW))
    joined(records, OTHER_KEY, "second")
    with pytest.raises(NotAllowedError, match="belongs to"):
        renew(records, held.prefix, OTHER_KEY, NOW)


def test_a_forgotten_node_must_join_again(records: Transaction) -> None:
    with pytest.raises(NotAllowedError, match="does not know"):
        renew(records, Prefix(16, 9), KEY, NOW)
