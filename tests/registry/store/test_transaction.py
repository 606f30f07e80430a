"""What is stored is read back in the domain's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from re6st_core.prefix import Prefix
from registry.domain.allocation import Space, State, allocate, release
from registry.domain.records import Held, Token
from registry.errors import NoPrefixError
from registry.store.database import Database
from registry.store.transaction import Transaction
from tests.helpers.memory_space import MemorySpace
from tests.helpers.registry import NETWORK, now

NOW = now()
ONE, TWO = Prefix(16, 0), Prefix(16, 1)


@pytest.fixture
def transaction(tmp_path: Path) -> Iterator[Transaction]:
    database = Database(tmp_path / "db", create=True)
    database.create(NETWORK)
    with database.write() as transaction:
        yield transaction
    database.close()


def add_node(transaction: Transaction) -> Prefix:
    prefix = allocate(transaction, 16, free_bits=80)
    transaction.add_node(prefix, email="a@example.org", location="FR,EU", subject="O=Example", now=NOW)
    return prefix


def certificate(serial: int, prefix: Prefix, days: int = 365) -> Held:
    expires = NOW + timedelta(days=days)
    return Held(serial=serial, prefix=prefix, key=b"k%d" % serial, pem="PEM", issued=NOW, expires=expires)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("model") / "db", create=True)
    database.create(NETWORK)
    yield database
    database.close()


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(1, 12), st.integers(-10, -1)), max_size=25))
def test_the_stored_partition_does_what_the_model_does(database: Database, steps: list[int]) -> None:
    model = MemorySpace()
    with rolled_back(database) as transaction:
        for step in steps:
            if step > 0:
                assert taken(transaction, step) == taken(model, step)
            elif used := sorted(model.used()):
                leaving = used[step % len(used)]
                release(model, leaving)
                release(transaction, leaving)
            assert dict(transaction.blocks()) == model.blocks


def taken(space: Space, length: int) -> Prefix | None:
    try:
        return allocate(space, length, free_bits=80)
    except NoPrefixError:
        return None


@contextmanager
def rolled_back(database: Database) -> Iterator[Transaction]:
    """A transaction that leaves the database as it was."""

    class RollbackError(Exception):
        pass

    try:
        with database.write() as transaction:
            yield transaction
            raise RollbackError
    except RollbackError:
        pass


def test_the_first_node_is_the_registry_s(transaction: Transaction) -> None:
    assert transaction.registry_prefix() is None
    add_node(transaction)
    add_node(transaction)
    assert transaction.registry_prefix() == ONE


def test_a_node_is_read_back(transaction: Transaction) -> None:
    add_node(transaction)
    transaction.add_certificate(certificate(1, ONE))
    transaction.see_node(ONE, "192.0.2.1,1194,udp", NOW)
    node = transaction.node(ONE)
    assert node
    assert transaction.nodes() == [node]
    assert (node.number, node.email, node.location, node.subject) == (
        0,
        "a@example.org",
        "FR,EU",
        "O=Example",
    )
    assert (node.expires, node.seen, node.revoked) == (NOW + timedelta(days=365), NOW, False)
    assert transaction.nodes_seen_since(NOW) == [(node, 1)]
    assert transaction.nodes_seen_since(NOW + timedelta(seconds=1)) == []


def test_numbers_are_the_smallest_free_ones(transaction: Transaction) -> None:
    nodes = [add_node(transaction) for _ in range(4)]
    for leaving in (nodes[2], nodes[1]):
        transaction.delete_node(leaving)
        release(transaction, leaving)
    numbers = []
    for _ in range(3):
        node = transaction.node(add_node(transaction))
        assert node
        numbers.append(node.number)
    assert numbers == [1, 2, 4]


def test_serial_numbers_are_never_used_again_nor_that_of_the_ca(transaction: Transaction) -> None:
    assert [transaction.next_serial(3) for _ in range(4)] == [1, 2, 4, 5]


def test_revoked_certificates_are_listed_until_they_end(transaction: Transaction) -> None:
    for prefix in (add_node(transaction), add_node(transaction)):
        transaction.add_certificate(certificate(2 * prefix.value + 1, prefix, days=10))
        transaction.add_certificate(certificate(2 * prefix.value + 2, prefix, days=20))
    assert transaction.revoke(ONE, NOW) == 2
    assert transaction.revoke(ONE, NOW) == 0
    assert [serial for serial, _, _ in transaction.revoked(NOW)] == [1, 2]
    assert [serial for serial, _, _ in transaction.revoked(NOW + timedelta(days=10))] == [2]
    node = transaction.node(ONE)
    assert node
    assert node.revoked
    assert [held.serial for held in transaction.certificates_of_node(ONE)] == [2, 1]


def test_a_deleted_node_takes_its_certificates_with_it(transaction: Transaction) -> None:
    add_node(transaction)
    transaction.add_certificate(certificate(1, ONE))
    assert transaction.expired_nodes(NOW + timedelta(days=400)) == [ONE]
    assert transaction.expired_nodes(NOW) == []
    transaction.delete_node(ONE)
    assert transaction.certificate_of_key(b"k1") is None
    release(transaction, ONE)
    assert transaction.blocks() == [(Prefix(0, 0), State.FREE)]


def test_tokens(transaction: Transaction) -> None:
    first = Token(text="first", email="a", prefix_length=16, created=NOW)
    second = Token(text="second", email="", prefix_length=24, created=NOW + timedelta(days=1))
    transaction.add_token(second)
    transaction.add_token(first)
    assert transaction.tokens() == [first, second]
    transaction.use_token("first", TWO, b"key", NOW)
    used = transaction.token("first")
    assert used
    assert (used.used_at, used.used_by, used.used_key) == (NOW, TWO, b"key")
    transaction.delete_tokens_before(NOW + timedelta(seconds=1))
    assert transaction.tokens() == [second]
    assert transaction.delete_token("second")
    assert not transaction.delete_token("second")
