"""Forwarding goes on, keeps learned default routes, and comes back to what it was before the first daemon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from re6st_core.errors import ConfigError
from re6stnet.adapters.forwarding import enable_forwarding, restore_forwarding
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

pytestmark = pytest.mark.root


@pytest.fixture
def namespace() -> Iterator[TestNamespace]:
    with namespaces(2) as (made, other), made.entered():
        connect(made, other)
        yield made


def forwarding(namespace: TestNamespace) -> str:
    return namespace.run("sysctl -n net.ipv6.conf.all.forwarding net.ipv6.conf.wire.accept_ra")


def test_second_daemon_restores_what_the_first_one_found(namespace: TestNamespace, tmp_path: Path) -> None:
    before = forwarding(namespace)
    memory = tmp_path / "forwarding.json"
    for _ in range(2):
        enable_forwarding(memory)
    assert forwarding(namespace).split() == ["1", "2"]
    for _ in range(2):
        restore_forwarding(memory)
    assert forwarding(namespace) == before
    assert list(tmp_path.iterdir()) == []


def test_devices_that_come_later_keep_to_the_rules_of_a_router(
    namespace: TestNamespace, tmp_path: Path
) -> None:
    memory = tmp_path / "forwarding.json"
    enable_forwarding(memory)
    namespace.run("ip tuntap add later mode tap")
    assert namespace.run("sysctl -n net.ipv6.conf.later.accept_ra").strip() == "1"
    restore_forwarding(memory)


def test_nothing_changes_if_the_previous_values_cannot_be_kept(
    namespace: TestNamespace, tmp_path: Path
) -> None:
    before = forwarding(namespace)
    with pytest.raises(ConfigError, match="cannot write"):
        enable_forwarding(tmp_path / "missing" / "forwarding.json")
    assert forwarding(namespace) == before


def test_vanished_device_does_not_stop_the_restoring(namespace: TestNamespace, tmp_path: Path) -> None:
    memory = tmp_path / "forwarding.json"
    enable_forwarding(memory)
    namespace.run("ip link delete wire")
    restore_forwarding(memory)
    assert namespace.run("sysctl -n net.ipv6.conf.all.forwarding").strip() == "0"


def test_damaged_memory_is_named(tmp_path: Path) -> None:
    memory = tmp_path / "forwarding.json"
    memory.write_text("[")
    with pytest.raises(ConfigError, match=r"forwarding\.json"):
        restore_forwarding(memory)
