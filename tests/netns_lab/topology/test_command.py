"""``netns-lab check``: what files mean, or all that is wrong with them, and the exit status."""

import json
from pathlib import Path

import pytest

from netns_lab.cli import main
from netns_lab.topology import TOPOLOGIES

GOOD = TOPOLOGIES / "everything.toml"


def test_a_good_file_is_explained_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(GOOD)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{GOOD}: Every key of the form"
    assert lines[1].startswith(
        "  9 sites, 11 nodes, registry on paris; 28 pairs, 9.255 to 287.6 ms, median 115 ms"
    )
    (home,) = (line for line in lines if line.startswith("  home "))
    assert "203.0.113.3, 2001:db8:1::4" in home
    assert "NAT port_restricted with hairpin; UPnP; LAN 192.168.1.0/24" in home
    (phone,) = (line for line in lines if line.startswith("    phone "))
    assert phone.endswith("only openvpn; client count 1; clock +86400 s; --verbose 3")


def test_mistakes_of_all_files_are_told_and_good_ones_still_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, absent = tmp_path / "bad.toml", tmp_path / "absent.toml"
    bad.write_text('[[site]]\nname = "a"\nnats = "symmetric"\nmtu = 9000\n')
    assert main(["check", str(bad), str(GOOD), str(absent)]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        f"netns-lab: {bad}:3: site a: nats: unknown key, did you mean 'nat'?",
        f"netns-lab: {bad}:4: site a: mtu: 9000 is not a whole number from 576 to 1500",
        f"netns-lab: {absent}: No such file or directory",
    ]
    assert told.out.startswith(f"{GOOD}: ")


def test_json_is_one_object_with_meaning_or_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("site = 3")
    assert main(["check", "--json", str(bad), str(GOOD)]) == 2
    told = capsys.readouterr()
    assert told.err == ""
    first, second = json.loads(told.out)["files"]
    assert first["mistakes"] == [f"{bad}:1: site: must be an array of tables: [[site]]"]
    assert second["mistakes"] == []
    assert len(second["sites"]) == 9


def test_a_single_site_has_no_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.toml"
    file.write_text('title = "one"\n[[site]]\nname = "a"\n')
    assert main(["check", str(file)]) == 0
    assert "1 site, 1 node, no registry; no path between sites" in capsys.readouterr().out
