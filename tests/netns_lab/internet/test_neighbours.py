"""Each site is told who has which address; one that moved is found by asking."""

from ipaddress import IPv4Address, IPv6Address

from netns_lab.internet.neighbours import introduce


def test_each_other_address_gets_the_address_of_its_port() -> None:
    addresses: list[list[IPv4Address | IPv6Address]] = [
        [IPv4Address("203.0.113.1")],
        [IPv4Address("203.0.113.2"), IPv6Address("2001:db8:1::2")],
        [],
        [IPv4Address("203.0.113.3")],
    ]
    assert list(introduce("net0", 3, addresses)) == [
        "neigh replace 203.0.113.1 lladdr 02:6c:61:62:00:00 dev net0 nud permanent",
        "neigh replace 203.0.113.2 lladdr 02:6c:61:62:00:01 dev net0 nud permanent",
        "neigh replace 2001:db8:1::2 lladdr 02:6c:61:62:00:01 dev net0 nud permanent",
    ]
