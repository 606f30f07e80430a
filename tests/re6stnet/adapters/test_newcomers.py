"""How often strangers may knock, asked of the real kernel."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from re6stnet.adapters import newcomers
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

pytestmark = pytest.mark.root
PORT = 1194
TRIES = 60
WITHIN_S = 0.3
"""For connections over a cable without delay, once addresses are known to be free and neighbours found."""
FIRST_WITHIN_S = 5.0


@pytest.fixture
def pair() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        yield made


def open_many(pair: list[TestNamespace], host: str) -> int:
    """How many of some connections at once succeed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        with pair[1].entered():
            server = stack.enter_context(socket.create_server((host, PORT), family=family, backlog=TRIES))
        clients = []
        with pair[0].entered():
            for _ in range(TRIES):
                client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect((host, PORT))
                clients.append(client)
        accepted = 0
        with contextlib.suppress(TimeoutError):
            while True:
                server.settimeout(WITHIN_S if accepted else FIRST_WITHIN_S)
                stack.enter_context(server.accept()[0])
                accepted += 1
        return accepted


@pytest.mark.parametrize("host", ["192.0.2.2", "2001:db8:1::2"])
async def test_one_source_opens_a_burst_and_then_few(pair: list[TestNamespace], host: str) -> None:
    assert open_many(pair, host) == TRIES
    with pair[1].entered():
        await newcomers.limit(PORT)
    assert newcomers.BURST <= open_many(pair, host) <= newcomers.BURST + 2 * newcomers.PER_SECOND
    with pair[1].entered():
        await newcomers.lift(PORT)
    assert open_many(pair, host) == TRIES


async def test_the_bound_is_set_twice_and_lifted_twice_without_complaint(pair: list[TestNamespace]) -> None:
    with pair[1].entered():
        for change in (newcomers.limit, newcomers.limit, newcomers.lift, newcomers.lift):
            await change(PORT)
    assert "re6stnet" not in pair[1].run("nft list tables")
