"""One connection, pure: phases, answers, and changes merged per key."""

import pytest

from babel_ctl.codec import Status
from babel_ctl.connection import MONITOR, Connection, Phase
from babel_ctl.messages import Kind
from babel_ctl.testing import route_lines
from re6st_core.errors import WireError

GREETING = b"BABEL 1.0\nversion babeld-1.12.1\nmy-id 02:00:00:00:00:00:00:01\nok\n"


def synced() -> Connection:
    connection = Connection()
    assert connection.feed_untrusted(GREETING) == MONITOR
    assert connection.connections == 1
    assert connection.feed_untrusted(b"ok\n") == b""
    assert connection.phase is Phase.SYNCED
    return connection


def test_answers_belong_to_the_commands_in_order() -> None:
    connection = synced()
    assert connection.command(1)
    assert connection.command(2)
    connection.feed_untrusted(b"no reason\nok\n")
    assert connection.answers == [(1, Status.NO, "reason"), (2, Status.OK, "")]


def test_commands_are_lost_with_the_connection_and_impossible_without() -> None:
    connection = synced()
    connection.command(1)
    connection.reset()
    assert connection.answers == [(1, Status.LOST, "")]
    assert not connection.command(2)


def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    connection = synced()
    with pytest.raises(WireError, match="without a command"):
        connection.feed_untrusted(b"ok\n")
    assert connection.phase is Phase.DISCONNECTED


def test_changes_are_merged_per_key() -> None:
    connection = synced()
    first, second = (f"add {line}\n".encode() for line in route_lines(2)[-2:])
    connection.feed_untrusted(first + second)
    connection.feed_untrusted(second.replace(b"add", b"flush"))
    changes = connection.tables.take()
    assert [len(rows) for rows in changes[Kind.ROUTE]] == [1, 0]
    connection.feed_untrusted(first.replace(b"add", b"flush") + first)
    assert [len(rows) for rows in connection.tables.take()[Kind.ROUTE]] == [1, 0]
    connection.reset()
    assert [len(rows) for rows in connection.tables.take()[Kind.BEST]] == [0, 1]


def test_a_retracted_route_is_not_the_best_though_installed() -> None:
    connection = synced()
    line = f"add {route_lines(1)[-1]}\n".encode()
    connection.feed_untrusted(line)
    assert len(connection.tables.live[Kind.BEST]) == 1
    connection.feed_untrusted(line.replace(b"metric 100", b"metric 65535"))
    assert not connection.tables.live[Kind.BEST]
