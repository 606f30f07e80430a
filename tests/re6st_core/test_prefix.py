"""A prefix keeps its meaning through every form; networks and CA serials are one-to-one."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import WireError
from re6st_core.prefix import Network, Prefix
from tests.helpers.core_strategies import networks, prefixes

NETWORK = Network.parse("2001:db8:42::/48")


@given(prefixes())
def test_every_form_reads_back_as_the_same_prefix(prefix: Prefix) -> None:
    assert Prefix.from_cn(prefix.cn) == prefix
    assert Prefix.from_bits(prefix.bits) == prefix
    assert str(prefix) == prefix.cn
    assert len(prefix.bits) == prefix.length


@given(st.data(), networks())
def test_a_subnet_reads_back_as_its_prefix(data: st.DataObject, network: Network) -> None:
    prefix = data.draw(prefixes(network.free_bits))
    subnet = network.subnet(prefix)
    assert network.prefix_of(subnet) == prefix
    assert subnet.subnet_of(network.cidr)
    assert (
        format(int(subnet.network_address), "0128b")[network.cidr.prefixlen : subnet.prefixlen] == prefix.bits
    )


@given(st.data(), networks())
def test_the_address_lies_in_the_subnet_and_ends_in_one(data: st.DataObject, network: Network) -> None:
    prefix = data.draw(prefixes(network.free_bits))
    subnet, address = network.subnet(prefix), network.address(prefix)
    assert address in subnet
    assert int(address) & 1 == 1 or subnet.prefixlen == 128


@given(networks())
def test_a_network_reads_back_from_its_ca_serial(network: Network) -> None:
    assert Network.from_ca_serial(network.ca_serial) == network
    assert Network.parse(str(network)) == network


@pytest.mark.parametrize(
    ("cn", "subnet", "address"),
    [  # re6st-protocol.md §11.4
        ("2/16", "2001:db8:42:2::/64", "2001:db8:42:2::1"),
        ("55340232221128654848/80", "2001:db8:42:3::/128", "2001:db8:42:3::"),
    ],
)
def test_addresses_of_the_specification(cn: str, subnet: str, address: str) -> None:
    prefix = Prefix.from_cn(cn)
    assert NETWORK.subnet(prefix) == IPv6Network(subnet)
    assert NETWORK.address(prefix) == IPv6Address(address)


@pytest.mark.parametrize(
    ("network", "serial"),
    [("2001:db8:42::/48", 0x120010DB80042), ("fd00::/8", 0x1FD)],  # re6st-protocol.md §1.1
)
def test_ca_serials_of_the_specification(network: str, serial: int) -> None:
    assert Network.parse(network).ca_serial == serial
    assert str(Network.from_ca_serial(serial)) == network


def test_leading_zeros_are_significant() -> None:
    assert Prefix.from_cn("2/16").bits == "0000000000000010"
    assert Prefix.from_bits("0010") != Prefix.from_bits("10")
    assert Prefix.from_bits("") == Prefix(0, 0)


@given(prefixes(), prefixes())
def test_overlap_means_that_one_bit_string_starts_with_the_other(one: Prefix, other: Prefix) -> None:
    assert one.contains(other) == other.bits.startswith(one.bits)
    assert one.overlaps(other) == (one.bits.startswith(other.bits) or other.bits.startswith(one.bits))
    assert one.overlaps(other) == other.overlaps(one)


@given(prefixes(127))
def test_the_halves_fill_the_whole_and_do_not_overlap(prefix: Prefix) -> None:
    low, high = prefix.halves()
    assert (low.bits, high.bits) == (prefix.bits + "0", prefix.bits + "1")
    assert prefix.contains(low)
    assert prefix.contains(high)
    assert not low.overlaps(high)


def test_a_full_address_has_no_halves() -> None:
    with pytest.raises(ValueError, match="not a prefix"):
        Prefix(128, 0).halves()


@given(st.lists(prefixes(), max_size=8))
def test_prefixes_sort_and_hash_by_value(found: list[Prefix]) -> None:
    assert sorted(found) == sorted(found, key=lambda prefix: (prefix.length, prefix.value))
    assert set(found) == {Prefix.from_cn(prefix.cn) for prefix in found}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "2",
        "2/",
        "/16",
        "02/16",
        "2/016",
        "+2/16",
        "-2/16",
        "2/16 ",
        "2/16\n",
        "2/129",
        "4/2",
        "2/1_6",
        "٢/16",
        "1/0",
    ],
)
def test_a_malformed_cn_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Prefix.from_cn(text)


@pytest.mark.parametrize("bits", ["2", "0b1", "01 ", "0" * 129])
def test_a_malformed_bit_string_is_refused(bits: str) -> None:
    with pytest.raises(WireError):
        Prefix.from_bits(bits)


@pytest.mark.parametrize(("length", "value"), [(-1, 0), (129, 0), (4, 16), (4, -1), (0, 1)])
def test_a_value_that_does_not_fit_is_a_bug(length: int, value: int) -> None:
    with pytest.raises(ValueError, match="not a prefix"):
        Prefix(length, value)


@pytest.mark.parametrize("serial", [0, 1, 1 << 128, 1 << 159])
def test_a_serial_that_encodes_no_network_is_refused(serial: int) -> None:
    with pytest.raises(WireError):
        Network.from_ca_serial(serial)


@pytest.mark.parametrize("serial", [-2, -(1 << 48)])
def test_a_negative_serial_is_refused(serial: int) -> None:
    with pytest.raises(WireError):
        Network.from_ca_serial(serial)


@pytest.mark.parametrize("text", ["", "2001:db8::1/48", "10.0.0.0/8", "2001:db8::/129", "nowhere"])
def test_text_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Network.parse(text)


def test_a_prefix_longer_than_the_network_leaves_room_for_is_refused() -> None:
    with pytest.raises(WireError):
        NETWORK.subnet(Prefix(81, 0))
    with pytest.raises(WireError):
        NETWORK.address(Prefix(81, 0))


@pytest.mark.parametrize("subnet", ["2001:db8:43::/64", "2001:db8::/32", "::/0"])
def test_a_subnet_outside_the_network_has_no_prefix(subnet: str) -> None:
    with pytest.raises(WireError):
        NETWORK.prefix_of(IPv6Network(subnet))
