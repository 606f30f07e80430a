"""``netns-lab nat``: what it prints, and when it fails."""

import json

import pytest

from netns_lab.boxes import nat_survey
from netns_lab.boxes.behaviour import Behaviour, behaviour_of
from netns_lab.cli import main


def test_unknown_kinds_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nat", "cone", "symmetric", "carrier"]) == 2
    said = capsys.readouterr().err
    assert "no kind of NAT 'cone'; there are: full_cone" in said
    assert "'carrier'" in said


@pytest.mark.root
def test_the_objects_name_kinds_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nat", "symmetric", "--pairs", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["kinds"][0] == {
        "kind": "symmetric",
        "hairpin": False,
        "mapping": "address and port-dependent",
        "filtering": "address and port-dependent",
        "preserves_port": False,
        "overloads_port": False,
        "hairpin_works": False,
        "early_peer_harmless": True,
        "equal_ports_apart": True,
        "as_expected": True,
    }
    direct = {(pair["first"], pair["second"]) for pair in printed["pairs"] if pair["direct"]}
    assert direct == {(None, None), (None, "symmetric"), ("symmetric", None)}


@pytest.mark.root
def test_a_box_that_is_not_as_its_kind_says_fails_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(kind: str, *, hairpin: bool) -> Behaviour:
        return behaviour_of("full_cone", hairpin=hairpin)

    monkeypatch.setattr(nat_survey, "behaviour_of", wrong)
    monkeypatch.setattr(nat_survey, "expected_direct", lambda one, other: False)
    assert main(["nat", "port_restricted", "--pairs"]) == 1
    said = capsys.readouterr().out
    assert said.count("EXPECTED Behaviour") == 2
    assert "NOT AS EXPECTED: PairRow(first=None, second='port_restricted'" in said
    assert "port_restricted: direct with none, port_restricted, one box, hairpin on" in said
