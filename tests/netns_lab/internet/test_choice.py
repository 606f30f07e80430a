"""The Internet of a lab is the one that was asked for, or the best there is."""

import pytest

from netns_lab.internet import netem
from netns_lab.internet.choice import start_internet
from netns_lab.internet.link import Link
from netns_lab.internet.switch import Port
from netns_lab.lab import Lab
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError

pytestmark = pytest.mark.root


def chosen(lab: Lab, kind: str | None, interface: str = "other0") -> str:
    """The kind of an Internet that is started beside the lab's own, and stopped again."""
    home = lab.machines["internet"]
    links = [[Link()] * 2] * 2
    ports = [Port(lab.machines["a"], interface), None]
    internet = start_internet(kind, ports, links, home=home, log=lab.logs / "other.log")
    internet.check()
    internet.stop()
    assert interface not in lab.machines["a"].run(["ip", "-o", "link"])
    return internet.kind


def test_the_switch_is_always_there(small: Topology) -> None:
    with Lab(small) as lab:
        assert chosen(lab, "switch") == "switch"


def test_without_a_wish_it_depends_on_the_kernel(small: Topology) -> None:
    with Lab(small) as lab:
        expected = "netem" if netem.available(lab.machines["internet"]) else "switch"
        assert chosen(lab, None) == expected


def test_netem_is_refused_where_the_kernel_has_none(small: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "available", lambda home: False)
    with Lab(small) as lab:
        with pytest.raises(ConfigError, match="no netem"):
            chosen(lab, "netem")
        with pytest.raises(ConfigError, match="'magic': netem or switch"):
            chosen(lab, "magic")
