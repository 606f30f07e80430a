"""What links and lines may be."""

from netns_lab.internet.link import Line, Link, problems


def test_the_defaults_are_within_bounds() -> None:
    assert list(problems(Link())) == list(problems(Line())) == []


def test_each_value_out_of_bounds_is_named() -> None:
    assert list(problems(Link(delay_ms=float("nan"), mtu=20))) == [
        "delay_ms is nan, not 0 to 60000",
        "mtu is 20, not 68 to 1500",
    ]
    assert list(problems(Line(up_mbit=0))) == ["up_mbit is 0, not 0.001 to 100000"]
