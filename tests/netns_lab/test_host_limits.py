"""Limits of the host: raised as far as a lab needs, never lowered, and named when they can't be raised."""

from pathlib import Path

import pytest

from netns_lab.host_limits import raise_limits, wanted_limits
from re6st_core.errors import ConfigError


def test_limits_that_are_too_low_are_raised_and_others_left_alone(tmp_path: Path) -> None:
    (tmp_path / "low").write_text("128\n")
    (tmp_path / "high").write_text("9000\n")
    raise_limits({"low": 500, "high": 500, "absent": 500}, root=tmp_path)
    assert (tmp_path / "low").read_text() == "500"
    assert (tmp_path / "high").read_text() == "9000\n"
    assert not (tmp_path / "absent").exists()


def test_every_limit_that_cannot_be_raised_is_named_with_the_remedy(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()  # whatever refuses to be read as a number, even for root
    with pytest.raises(ConfigError) as caught:
        raise_limits({"one": 5, "two": 6}, root=tmp_path)
    assert len(caught.value.problems) == 2
    assert "sysctl -w two=6" in caught.value.problems[1]


def test_sixty_nodes_have_an_inotify_instance_for_each_tunnel_they_can_have() -> None:
    wanted = wanted_limits(60)
    assert wanted["fs/inotify/max_user_instances"] >= 60 * 41
    assert wanted["net/ipv4/neigh/default/gc_thresh3"] > 60 * 60


def test_the_demo_needs_no_more_than_every_host_has() -> None:
    wanted = wanted_limits(9)
    assert wanted["fs/inotify/max_user_instances"] <= 128
    assert wanted["net/ipv6/neigh/default/gc_thresh3"] <= 1024
