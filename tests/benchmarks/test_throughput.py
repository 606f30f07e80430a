"""Every kind of tunnel that is compared is complete, and what can't be measured is refused."""

import pytest

from benchmarks.throughput import MTU, SET_UPS, TITLES, parser


def test_every_kind_has_a_title_and_an_mtu() -> None:
    assert SET_UPS.keys() == TITLES.keys() == MTU.keys()


@pytest.mark.parametrize("words", [["--kind", "pigeon"], ["--seconds", "0.5"], ["--pairs", "x"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(words)
