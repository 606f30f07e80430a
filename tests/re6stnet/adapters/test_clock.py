"""A wrong clock is said once, and once a day; that it is right again, too."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from re6st_core.prefix import Prefix
from re6stnet.adapters.clock import Clock, host
from re6stnet.engine.clock import Reading
from tests.helpers.node_certificates import authority, load, write_node


class Host:
    """Clocks in the test's hands."""

    def __init__(self) -> None:
        self.right = host()
        self.passed_s = 0.0
        self.wrong_by = timedelta()

    def read(self) -> Reading:
        return Reading(self.true() + self.wrong_by, self.right.steady + self.passed_s)

    def true(self) -> datetime:
        return self.right.wall + timedelta(seconds=self.passed_s)


@pytest.fixture
def of_host() -> Host:
    return Host()


@pytest.fixture
def clock(tmp_path: Path, of_host: Host) -> Clock:
    identity = load(write_node(tmp_path, authority(), Prefix(16, 1))).identity
    return Clock(identity, read=of_host.read)


def test_a_wrong_clock_is_said_once_a_day(
    clock: Clock, of_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    of_host.wrong_by = timedelta(days=1)
    for _ in range(30):
        clock.registry_says(of_host.true(), 1.0)
        of_host.passed_s += 3600
    assert caplog.text.count("the clock of this host is 1 day") == 2
    of_host.wrong_by = timedelta()
    clock.registry_says(of_host.true(), 1.0)
    clock.registry_says(of_host.true(), 1.0)
    caplog.set_level("INFO")
    assert clock.wrong_by_s == 0.0


def test_a_right_clock_is_nothing_to_speak_of(
    clock: Clock, of_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert clock.now_if_told() is None
    clock.registry_says(of_host.true(), 1.0)
    assert clock.now_if_told() == of_host.true()
    assert caplog.text == ""


def test_peers_are_named_as_the_witness(
    clock: Clock, of_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    of_host.wrong_by = timedelta(days=-1)
    for n in range(2, 5):
        clock.peer_says(Prefix(16, n), of_host.true())
    assert "behind, says the majority of the peers" in caplog.text
    assert abs(clock.now() - of_host.true()) < timedelta(seconds=2)


def test_a_clock_before_our_certificate_is_not_trusted(clock: Clock, of_host: Host) -> None:
    assert clock.now_if_trusted() is not None
    of_host.wrong_by = timedelta(days=-20000)
    assert clock.now_if_trusted() is None
    clock.registry_says(of_host.true(), 1.0)
    assert clock.now_if_trusted() is not None
