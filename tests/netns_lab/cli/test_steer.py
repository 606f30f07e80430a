"""A lab is steered while it runs: what is cut is cut, healed is as before, and mistakes change nothing."""

import json
import secrets
from pathlib import Path

import pytest

from tests.helpers.lab_command import TWO, netns_lab

pytestmark = pytest.mark.root


def rtt_ms(two: str) -> float | None:
    """Best of a few echoes from a to b over the underlay; None: no answer."""
    done = netns_lab("ping", f"{two}:a", "203.0.113.2", "-c", 3, "-i", 0.05, "--json")
    best: float | None = json.loads(done.stdout)["min_ms"]
    assert done.returncode == (best is None)
    return best


def test_a_cut_stops_everything_until_it_is_healed(two: str) -> None:
    before = rtt_ms(two)
    assert before is not None
    assert netns_lab("cut", "--lab", two, "a", "b").returncode == 0
    assert rtt_ms(two) is None
    assert netns_lab("heal", "--lab", two, "a", "b").returncode == 0
    assert rtt_ms(two) == pytest.approx(before, abs=5)


def test_a_silent_node_has_its_carrier_and_no_answer(two: str) -> None:
    assert netns_lab("silence", "--lab", two, "b").returncode == 0
    assert rtt_ms(two) is None
    assert "LOWER_UP" in netns_lab("exec", f"{two}:b", "--", "ip", "link", "show", "net0").stdout
    assert netns_lab("revive", "--lab", two, "b").returncode == 0
    assert rtt_ms(two) is not None


def test_a_link_changes_only_what_is_said(two: str) -> None:
    assert "delay_ms 40.0" in netns_lab("link", "--lab", two, "a", "b", "--rtt-ms", 80).stdout
    slow = rtt_ms(two)
    assert slow is not None
    assert 80 <= slow < 100
    said = netns_lab("link", "--lab", two, "a", "b", "--loss", 1, "--one-way").stdout
    assert "delay_ms 40.0" in said
    assert "loss 1.0" in said
    assert rtt_ms(two) is None
    assert netns_lab("link", "--lab", two, "a", "b", "--loss", 0, "--rtt-ms", 20).returncode == 0
    assert rtt_ms(two) is not None


def test_the_registry_and_a_daemon_end_and_start_again(tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text(f'registry = "a"\n{TWO}')
    label = f"steer-{secrets.token_hex(3)}"
    assert netns_lab("up", file, "--name", label).returncode == 0
    try:
        before = pids(label)
        for name, end in (("a", []), ("b", ["--kill"])):
            stopped = netns_lab("stop", "--lab", label, name, *end)
            assert (stopped.returncode, stopped.stdout) == (0, f"exit_status {-9 if end else 0}\n")
            assert pids(label)[name] is None
        for name in ("a", "b"):
            assert netns_lab("start", "--lab", label, name).returncode == 0
        again = netns_lab("start", "--lab", label, "a")
        assert again.returncode == 2
        assert "runs already" in again.stderr
        after = pids(label)
        assert None not in after.values()
        assert not before.items() & after.items()
    finally:
        assert netns_lab("down", label).returncode == 0


def pids(label: str) -> dict[str, int | None]:
    """The process of each daemon."""
    nodes = json.loads(netns_lab("status", label, "--json").stdout)["nodes"]
    return {node["node"]: node["pid"] for node in nodes}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cut", "a", "z"], ["no node or site 'z'; there are: a, b"]),
        (["cut", "y", "z"], ["'y'", "'z'"]),
        (["cut", "a", "a"], ["same site"]),
        (["link", "a", "b", "--loss", "2", "--mtu", "9"], ["loss is 2", "mtu is 9"]),
        (["link", "a", "b", "--loss", "nan"], ["invalid _number value: 'nan'"]),
        (["start", "a"], ["--bare"]),
        (["stop", "a"], ["--bare"]),
    ],
)
def test_mistakes_are_listed_and_change_nothing(two: str, arguments: list[str], said: list[str]) -> None:
    done = netns_lab(arguments[0], "--lab", two, *arguments[1:])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == len(said) or len(said) == 1
    for part in said:
        assert part in done.stderr
    assert rtt_ms(two) is not None
