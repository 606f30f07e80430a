"""Paths: what the access lines of both ends add up to, and what a [[link]] changes."""

from pathlib import Path

import pytest

from netns_lab.internet.link import Link
from tests.helpers.topologies import FLAT, mistakes, topology

SITES = (
    '[[site]]\nname = "a"\njitter_ms = 1\nloss = 0.1\nmtu = 1400\nrate_mbit = 10\n'
    '[[site]]\nname = "b"\njitter_ms = 2\nloss = 0.5\n'
    '[[site]]\nname = "c"\n'
    '[[site]]\nname = "off"\noffline = true\nnodes = ["x", "y"]\n'
)


def test_access_lines_add_up() -> None:
    read = topology(SITES + FLAT)
    assert read.link("a", "b") == Link(delay_ms=10, jitter_ms=3, loss=1 - 0.9 * 0.5, mtu=1400)
    assert read.link("b", "c") == Link(delay_ms=10, jitter_ms=2, loss=0.5)
    assert read.link("c", "c") == Link()


def test_a_link_replaces_what_it_names_both_ways_or_one() -> None:
    read = topology(
        SITES + '[[link]]\nfrom = "a"\nto = "b"\nrtt_ms = 50\nreorder = true\n'
        '[[link]]\nfrom = "b"\nto = "c"\none_way = true\nloss = 0\nrate_mbit = 3\nmtu = 1280\n'
        '[[link]]\nfrom = "c"\nto = "b"\none_way = true\njitter_ms = 0\n' + FLAT
    )
    there, back = read.link("a", "b"), read.link("b", "a")
    assert there == back
    assert (there.delay_ms, there.jitter_ms, there.mtu, there.reorder) == (25, 3, 1400, True)
    assert read.link("b", "c") == Link(delay_ms=10, jitter_ms=2, loss=0, rate_mbit=3, mtu=1280)
    assert read.link("c", "b") == Link(delay_ms=10, jitter_ms=0, loss=0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('from = "a"', "18: link a - None: `to` is needed"),
        ('from = "a"\nto = "d"', "20: link a - d: to: there is no site 'd'"),
        ('from = "x"\nto = "a"', "19: link x - a: from: there is no site 'x', its node x is in site 'off'"),
        ('from = "a"\nto = "off"', "20: link a - off: to: site off is offline"),
        ('from = "a"\nto = "a"', "20: link a - a: to: a site has no link to itself"),
        ('from = "a"\nto = "b"\n[[link]]\nfrom = "b"\nto = "a"', "21: link b - a: from b to a again"),
        ('from = "a"\nto = "b"\nrtt = 3', "21: link a - b: rtt: unknown key, did you mean 'rtt_ms'?"),
        (
            'from = "a"\nto = "b"\nrtt_ms = -3',
            "21: link a - b: rtt_ms: -3 is not a number from 0 to 10000 ms",
        ),
        ('from = "a"\nto = 3', "20: link a - 3: to: 3 is not a text"),
        ('from = "a"\nto = "b"\nloss = "much"', "21: link a - b: loss: 'much' is not a number from 0 to 1"),
    ],
)
def test_wrong_links_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, SITES + "\n[[link]]\n" + text + FLAT)
    assert any(each.startswith(expected) for each in found), found
