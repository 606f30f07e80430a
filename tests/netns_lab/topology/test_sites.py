"""Sites, nodes and defaults as they are read, and what is wrong with their names and values."""

from pathlib import Path

import pytest

from netns_lab.topology import Service
from tests.helpers.topologies import FLAT, mistakes, topology

PLAIN = '[[site]]\nname = "a"\n[[site]]\nname = "b"\n' + FLAT


def test_a_site_is_one_node_of_its_name_unless_it_says_otherwise() -> None:
    read = topology(PLAIN)
    assert read.nodes == ("a", "b")
    assert read.registry is None
    site = read.site("a")
    assert (site.box, site.nat, site.blocked, site.outbound, site.mtu) == (None, None, (), None, 1500)


def test_a_count_makes_alike_sites_each_with_its_own_host() -> None:
    read = topology(
        '[[site]]\nname = "n"\ncount = 3\nnat = "symmetric"\ncity = ["Paris", "Tokyo", "Lagos"]\n'
        "[delays]\ncities = true"
    )
    assert read.nodes == ("n1", "n2", "n3")
    assert [site.city for site in read.sites] == ["Paris", "Tokyo", "Lagos"]
    assert [str(site.lan) for site in read.sites] == ["192.168.1.0/24", "192.168.2.0/24", "192.168.3.0/24"]
    assert {site.nat for site in read.sites} == {"symmetric"}
    alike = topology(
        '[[site]]\nname = "n"\ncount = 2\ncity = "Rome"'.replace("Rome", "Paris") + "\n[delays]\ncities=true"
    )
    assert [site.city for site in alike.sites] == ["Paris", "Paris"]


def test_defaults_hold_for_whoever_says_nothing() -> None:
    read = topology(
        """
        [defaults]
        jitter_ms = 2.0
        loss = 0.01
        rate_mbit = 50
        mtu = 1400
        ip = ["ipv4", "ipv6"]
        client_count = 3
        options = ["--verbose", "3"]
        transports = ["openvpn"]
        [[site]]
        name = "a"
        [[site]]
        name = "b"
        jitter_ms = 0
        mtu = 1500
        ip = ["ipv4"]
        [node.b]
        client_count = 0
        transports = ["wireguard", "openvpn"]
        clock_offset_s = -86400
        [delays]
        all_ms = 10
        """
    )
    a, b = read.site("a"), read.site("b")
    assert (a.jitter_ms, a.loss, a.rate_mbit, a.mtu) == (2.0, 0.01, 50.0, 1400)
    assert (b.jitter_ms, b.loss, b.mtu) == (0.0, 0.01, 1500)
    assert a.address6 is not None
    assert b.address6 is None
    assert (read.node("a").client_count, read.node("b").client_count) == (3, 0)
    assert (read.node("a").transports, read.node("b").transports) == (("openvpn",), ("wireguard", "openvpn"))
    assert read.node("b").options == ("--verbose", "3")
    assert read.node("b").clock_offset_s == -86400


def test_firewalls_and_boxes() -> None:
    read = topology(
        '[[site]]\nname = "a"\nblocked = ["udp", "icmp"]\noutbound = ["tcp/443", "tcp/80"]\ninbound = []\n'
        '[[site]]\nname = "h"\nnat = "carrier_grade"\nhairpin = true\nupnp = "lying"\n'
        'lan = "10.1.0.0/24"\nnodes = ["x", "y"]\n'
        '[[site]]\nname = "l"\noffline = true\nnodes = ["p", "q"]\n' + FLAT
    )
    a, h, lan = read.sites
    assert a.outbound == (Service("tcp", 443), Service("tcp", 80))
    assert a.inbound == ()
    assert a.machines == ("a-box", "a")
    assert h.machines == ("h-carrier", "h-box", "x", "y")
    assert (h.hairpin, h.upnp) == (True, "lying")
    assert lan.machines == ("l-box", "p", "q")
    assert str(Service("icmp")) == "icmp"
    assert str(Service("udp", 53)) == "udp/53"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "N1"', "2: site N1: name: 'N1' is not a name (a-z"),
        ('name = "aaaaaaaaaaaaaaaaaaaaa"', "at most 20 characters"),
        ("name = 3", "2: site 1: name: 3 is not a name"),
        ("lan = 3", "1: site 1: a name is needed"),
        ('name = "internet"', "'internet' is the name of the machine of the switch"),
        ('name = "x-box"', "names in -box are those of NAT boxes and firewalls"),
        ('name = "n"\ncount = 0', "3: site n: count: 0 is not a whole number from 1 to 1000"),
        (
            'name = "aaaaaaaaaaaaaaaaaaaa"\ncount = 9',
            "3: site aaaaaaaaaaaaaaaaaaaa: count: 'aaaaaaaaaaaaaaaaaaaa9' is not",
        ),
        ('name = "n"\ncount = 2\nnodes = ["x"]', "4: site n: nodes: not together with count"),
        ('name = "n"\ncount = 2\naddress = "203.0.113.9"', "4: site n: address: not together with count"),
        ('name = "n"\ncount = 2\nhost = [1]', "4: site n: host: 1 values for 2 sites"),
        ('name = "n"\ncount = 2\nhost = [1,\n"x"]', "5: site n: host: 'x' is not a whole number"),
        ('name = "n"\ncity = ["Paris"]', "3: site n: city: ['Paris'] is not a text"),
        ('name = "n"\nnodes = []', "3: site n: nodes: at least one is needed"),
        ('name = "n"\nnodes = ["x",\n3]', "4: site n: nodes: 3 is not a name"),
        ('name = "n"\nip = []', "3: site n: ip: at least one of ipv4, ipv6"),
        ('name = "n"\nip = ["IPv4"]', "'IPv4' is not one of ipv4, ipv6, did you mean 'ipv4'?"),
        ('name = "n"\nnat = "cone"', "'cone' is not one of full_cone, address_restricted"),
        ('name = "n"\nnat = "symetric"', "did you mean 'symmetric'?"),
        ('name = "n"\nblocked = "udp"', "3: site n: blocked: 'udp' is not a list"),
        ('name = "n"\noutbound = ["tcp/0"]', "'tcp/0' is not a service such as tcp/443"),
        ('name = "n"\noutbound = ["icmp/1"]', "'icmp/1' is not a service"),
        ('name = "n"\noutbound = [443]', "443 is not a service"),
        ('name = "n"\ninbound = ["udp/1", "udp/1"]', "'udp/1' is given twice"),
        ('name = "n"\nrate_mbit = 0', "0 is not a number from 0.001 to 100000"),
        ('name = "n"\nmtu = 9000', "9000 is not a whole number from 576 to 1500"),
        ('name = "n"\nloss = 1.5', "1.5 is not a number from 0 to 1"),
        ('name = "n"\njitter_ms = nan', "nan is not a number from 0 to 10000"),
        ('name = "n"\nadress = "x"', "3: site n: adress: unknown key, did you mean 'address'?"),
    ],
)
def test_a_wrong_site_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, f"[[site]]\n{text}\n{FLAT}")
    assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[site]]\nname = "a"\n[[site]]\nname = "a"', "4: site a: name: there is another site 'a'"),
        (
            '[[site]]\nname = "h"\nnat = "symmetric"\nnodes = ["a"]\n[[site]]\nname = "a"',
            "4: site h: nodes: 'a' is the name of another site",
        ),
        (
            '[[site]]\nname = "h"\nnat = "symmetric"\nnodes = ["x", "x"]',
            "4: site h: nodes: there is another node 'x' (site h)",
        ),
        (
            '[[site]]\nname = "n"\ncount = 2\n[[site]]\nname = "n2"',
            "5: site n2: name: there is another site 'n2'",
        ),
        (
            '[[site]]\nname = "node1"\n[node.node2]\noptions=[]',
            "3: node node2: there is no such node, did you mean 'node1'?",
        ),
        ('[[site]]\nname = "n"\n[node.n]\noptions=[3]', "4: node n: options: 3 is not a text"),
        (
            '[[site]]\nname = "n"\n[node.n]\nclock_offset = 1',
            "4: node n: clock_offset: unknown key, did you mean 'clock_offset_s'?",
        ),
        ('[[site]]\nname = "n"\n[node.n]\ntransports = []', "4: node n: transports: at least one of"),
        (
            '[[site]]\nname = "n"\n[node.n]\nclient_count = 41',
            "4: node n: client_count: 41 is not a whole number from 0 to 40",
        ),
        ('[[site]]\nname = "n"\n[node]\nn = 3', "4: node: n: must be a table"),
        ('[defaults]\nmtu = 1\nnat = 3\n[[site]]\nname = "n"', "2: defaults: mtu: 1 is not a whole number"),
        ('[defaults]\nmtu = 1\nnat = 3\n[[site]]\nname = "n"', "3: defaults: nat: unknown key"),
        ("title = 'x'", "1: site: at least one [[site]] is needed"),
    ],
)
def test_names_that_clash_and_tables_of_nobody(tmp_path: Path, text: str, expected: str) -> None:
    found = mistakes(tmp_path, f"{text}\n{FLAT}")
    assert any(each.startswith(expected) for each in found), found


def test_a_mistake_in_the_defaults_is_told_once(tmp_path: Path) -> None:
    text = '[defaults]\njitter_ms = -1\n[[site]]\nname = "n"\ncount = 5\n' + FLAT
    assert mistakes(tmp_path, text) == ["2: defaults: jitter_ms: -1 is not a number from 0 to 10000"]
