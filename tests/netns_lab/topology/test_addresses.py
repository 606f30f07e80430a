"""Addresses: stated ones are kept and checked, the others are the next that are free."""

from pathlib import Path

import pytest

from tests.helpers.topologies import FLAT, mistakes, topology

BOTH = 'ip = ["ipv4", "ipv6"]\n'


def test_addresses_are_given_in_order_around_those_stated() -> None:
    read = topology(
        '[[site]]\nname = "a"\n' + BOTH + '[[site]]\nname = "b"\naddress = "203.0.113.1"\n'
        '[[site]]\nname = "c"\n' + BOTH + 'address6 = "2001:db8:1::1"\n'
        '[[site]]\nname = "d"\nip = ["ipv6"]\n' + FLAT
    )
    assert [str(site.address) for site in read.sites] == ["203.0.113.2", "203.0.113.1", "203.0.113.3", "None"]
    assert [str(site.address6) for site in read.sites] == [
        "2001:db8:1::2",
        "None",
        "2001:db8:1::1",
        "2001:db8:1::3",
    ]


def test_lans_follow_the_number_of_their_site() -> None:
    read = topology(
        '[[site]]\nname = "a"\n[[site]]\nname = "h"\nnat = "symmetric"\n' + BOTH + 'nodes = ["x", "y"]\n'
        '[[site]]\nname = "l"\noffline = true\nip = ["ipv6"]\n' + FLAT
    )
    home, lan = read.sites[1:]
    assert (str(home.lan), str(home.lan6)) == ("192.168.2.0/24", "2001:db8:1:2::/64")
    assert (lan.lan, str(lan.lan6), lan.address6) == (None, "2001:db8:1:3::/64", None)
    assert str(read.address_of("y")) == "192.168.2.11"
    assert str(read.address6_of("y")) == "2001:db8:1:2::b"
    assert str(home.address6) == "2001:db8:1::1"


def test_two_homes_may_have_the_same_lan() -> None:
    home = 'nat = "symmetric"\nlan = "192.168.1.0/24"\n'
    read = topology(f'[[site]]\nname = "a"\n{home}[[site]]\nname = "b"\n{home}{FLAT}')
    assert read.address_of("a") == read.address_of("b")


def test_a_large_internet_has_room_for_many() -> None:
    read = topology('internet = "198.18.0.0/15"\n[[site]]\nname = "n"\ncount = 300\n' + FLAT)
    assert str(read.address_of("n300")) == "198.18.1.44"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'internet6 = "2001:db8::/32"\n[[site]]\nname = "a"',
            "1: internet6: 2001:db8::/32 overlaps the network of the mesh, 2001:db8:42::/48",
        ),
        ('internet = "203.0.113.0/33"\n[[site]]\nname = "a"', "1: internet: '203.0.113.0/33' is not an IPv4"),
        (
            'internet = "100.64.0.0/16"\n[[site]]\nname = "a"',
            "1: internet: 100.64.0.0/16 overlaps the network of",
        ),
        (
            'internet6 = "2001:db8::/64"\n[[site]]\nname = "a"',
            "1: internet6: 2001:db8::/64 has no room for LANs",
        ),
        (
            '[[site]]\nname = "a"\naddress = "elsewhere"',
            "3: site a: address: 'elsewhere' is not an IPv4 address",
        ),
        (
            '[[site]]\nname = "a"\naddress = "192.0.2.1"',
            "3: site a: address: 192.0.2.1 is not in the Internet",
        ),
        (
            '[[site]]\nname = "a"\naddress = "203.0.113.255"',
            "3: site a: address: 203.0.113.255 is not an address",
        ),
        (
            '[[site]]\nname = "a"\naddress = "203.0.113.5"\n[[site]]\nname = "b"\naddress = "203.0.113.5"',
            "6: site b: address: 203.0.113.5 is that of site a already",
        ),
        (
            f'[[site]]\nname = "a"\n{BOTH}address6 = "2001:db8:1:1::1"',
            "4: site a: address6: 2001:db8:1:1::1 is not in",
        ),
        (
            f'[[site]]\nname = "a"\n{BOTH}address6 = "2001:db8:1::"',
            "4: site a: address6: 2001:db8:1:: is not an",
        ),
        (
            '[[site]]\nname = "a"\nnat = "symmetric"\nlan = "203.0.113.0/25"',
            "4: site a: lan: 203.0.113.0/25 overlaps the Internet",
        ),
        (
            '[[site]]\nname = "a"\nnat = "symmetric"\nlan = "100.64.9.0/24"',
            "4: site a: lan: 100.64.9.0/24 overlaps the network of carriers",
        ),
        (
            '[[site]]\nname = "a"\nnat = "symmetric"\nlan = "10.0.0.0/28"\nnodes=["p","q","r","s","t","u"]',
            "4: site a: lan: 10.0.0.0/28 is too small",
        ),
        (
            '[[site]]\nname = "a"\nnat = "symmetric"\nlan = "10.0.0.0/8"\n'
            '[[site]]\nname = "b"\nnat = "symmetric"\nlan = "10.1.0.0/24"',
            "8: site b: lan: 10.1.0.0/24 overlaps 10.0.0.0/8, the LAN of site a",
        ),
        (
            'internet = "203.0.113.0/30"\n[[site]]\nname = "n"\ncount = 3',
            "1: internet: 203.0.113.0/30 has no address left for site n3, enlarge it",
        ),
        (
            'internet = "198.18.0.0/15"\n[[site]]\nname = "n"\ncount = 256\nnat = "symmetric"',
            "2: site n: no network is left for its LAN",
        ),
        (
            'internet6 = "2001:db8::/63"\n[[site]]\nname = "n"\ncount = 2\nnat = "symmetric"\n' + BOTH,
            "2: site n: no /64 is left in 2001:db8::/63",
        ),
    ],
)
def test_addresses_that_do_not_fit_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, f"{text}\n{FLAT}")
    assert [each[: len(expected)] for each in found] == [expected]
