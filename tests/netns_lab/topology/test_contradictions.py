"""What can't be together at one site is explained, with the line of the setting that is too much."""

from pathlib import Path

import pytest

from tests.helpers.topologies import FLAT, mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('nat = "symmetric"\nip = ["ipv6"]', "3: site n: nat: a NAT translates IPv4"),
        ('nat = "symmetric"\ninbound = ["udp/1"]', "4: site n: inbound: a NAT box lets nothing in unasked"),
        ("hairpin = true", "3: site n: hairpin: only with a nat"),
        ('upnp = "present"', "3: site n: upnp: only with a nat"),
        ('lan = "10.0.0.0/24"', "3: site n: lan: only with a nat, or offline"),
        ('nodes = ["x", "y"]', "3: site n: nodes: several nodes need a nat, or to be offline"),
        ('ip = ["ipv6"]\naddress = "203.0.113.9"', "4: site n: address: `ip` has no ipv4"),
        ('address6 = "2001:db8:1::9"', "3: site n: address6: `ip` has no ipv6"),
        ('ip = ["ipv6"]\nmtu = 1000', "4: site n: mtu: 1000 is less than IPv6 needs, 1280"),
        (
            'blocked = ["udp"]\ninbound = ["udp/5"]',
            "4: site n: inbound: udp/5 can't pass where udp is blocked",
        ),
        (
            'blocked = ["icmp"]\noutbound = ["icmp"]',
            "4: site n: outbound: icmp can't pass where icmp is blocked",
        ),
        ('outbound = ["tcp", "tcp/443"]', "3: site n: outbound: tcp/443 is part of tcp"),
        ("offline = true\nrate_mbit = 3", "4: site n: rate_mbit: an offline site has no Internet"),
        ('offline = true\nnat = "symmetric"', "4: site n: nat: an offline site has no Internet"),
    ],
)
def test_contradictions_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    assert [
        each[: len(expected)] for each in mistakes(tmp_path, f'[[site]]\nname = "n"\n{text}\n{FLAT}')
    ] == [expected]
