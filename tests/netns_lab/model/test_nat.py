"""Each kind of NAT against the definitions of RFC 4787."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.boxes.behaviour import KINDS, Behaviour, Depends
from netns_lab.model.nat import Address, Nat

INSIDE = 0x0A000002, 1194
OUTSIDE = 0xC6120007
REMOTES = [(0xC6120101, 1000), (0xC6120101, 2000), (0xC6120102, 1000)]
"""A remote, another port of it, another address."""

rules = st.sampled_from(list(Depends))
behaviours = st.builds(Behaviour, mapping=rules, filtering=rules, preserves_port=st.booleans())


def nat(behaviour: Behaviour) -> Nat:
    return Nat(behaviour, OUTSIDE, random.Random(1))


@given(behaviours)
def test_mapping_as_section_4_1_defines_it(behaviour: Behaviour) -> None:
    box = nat(behaviour)
    first, other_port, other_address = (box.outbound("udp", INSIDE, remote, 0.0) for remote in REMOTES)
    assert {first[0], other_port[0], other_address[0]} == {OUTSIDE}
    assert (first == other_port) == (behaviour.mapping is not Depends.ADDRESS_AND_PORT)
    assert (first == other_address) == (behaviour.mapping is Depends.NOTHING)


@given(behaviours)
def test_filtering_as_section_5_defines_it(behaviour: Behaviour) -> None:
    box = nat(behaviour)
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0)
    lets_in = [box.inbound("udp", port, remote, 1.0) == INSIDE for remote in REMOTES]
    assert lets_in == [
        True,
        behaviour.filtering is not Depends.ADDRESS_AND_PORT,
        behaviour.filtering is Depends.NOTHING,
    ]


@given(behaviours)
def test_nothing_comes_in_unasked(behaviour: Behaviour) -> None:
    box = nat(behaviour)
    assert box.inbound("udp", 1194, REMOTES[0], 0.0) is None
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0)
    assert box.inbound("tcp", port, REMOTES[0], 0.0) is None
    assert box.inbound("udp", port ^ 1, REMOTES[0], 0.0) is None


@given(behaviours, st.lists(st.tuples(st.integers(2, 9), st.sampled_from(REMOTES)), max_size=30))
def test_no_two_hosts_get_each_others_packets(
    behaviour: Behaviour, sent: list[tuple[int, tuple[int, int]]]
) -> None:
    box = nat(behaviour)
    owner: dict[int, Address] = {}
    for host, remote in sent:
        inside = 0x0A000000 + host, 1194
        _, port = box.outbound("udp", inside, remote, 0.0)
        assert owner.setdefault(port, inside) == inside
        assert box.inbound("udp", port, remote, 0.0) == inside


def test_the_first_host_keeps_its_port_where_one_port_serves_all_remotes() -> None:
    box = nat(KINDS["full_cone"])
    assert box.outbound("udp", INSIDE, REMOTES[0], 0.0)[1] == 1194
    assert box.outbound("udp", (0x0A000003, 1194), REMOTES[0], 0.0)[1] != 1194


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapping_ends_when_nothing_was_sent_for_its_time(kind: str) -> None:
    box = nat(KINDS[kind])
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0)
    assert box.inbound("udp", port, REMOTES[0], 120.0) == INSIDE
    assert box.inbound("udp", port, REMOTES[0], 120.1) is None


def test_what_comes_in_does_not_keep_a_mapping_alive() -> None:
    box = nat(KINDS["full_cone"])
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0)
    for now in range(0, 120, 10):
        assert box.inbound("udp", port, REMOTES[0], float(now)) == INSIDE
    assert box.inbound("udp", port, REMOTES[0], 130.0) is None


def test_tcp_mappings_last_longer() -> None:
    box = nat(KINDS["symmetric"])
    _, port = box.outbound("tcp", INSIDE, REMOTES[0], 0.0)
    assert box.inbound("tcp", port, REMOTES[0], 7000.0) == INSIDE


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_lasts_until_it_is_released(kind: str) -> None:
    box = nat(KINDS[kind])
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0, keep=True)
    assert box.outbound("udp", INSIDE, REMOTES[0], 10.0) == (OUTSIDE, port)
    assert box.inbound("udp", port, REMOTES[0], 1e6) == INSIDE
    box.release("udp", INSIDE, REMOTES[0], 1e6)
    assert box.inbound("udp", port, REMOTES[0], 1e6 + 119) == INSIDE
    assert box.inbound("udp", port, REMOTES[0], 1e6 + 121) is None


def test_a_reboot_forgets_everything() -> None:
    box = nat(KINDS["full_cone"])
    _, port = box.outbound("udp", INSIDE, REMOTES[0], 0.0, keep=True)
    box.reboot()
    assert box.inbound("udp", port, REMOTES[0], 0.0) is None
    assert len(box) == 0


def test_old_mappings_make_room() -> None:
    box = nat(KINDS["symmetric"])
    for second in range(0, 10_000, 10):
        box.outbound("udp", INSIDE, (REMOTES[0][0], 1 + second), float(second))
    assert len(box) <= 14


def test_a_box_that_shares_ports_gives_two_hosts_the_same_one_towards_different_peers() -> None:
    box, other = nat(KINDS["masquerade"]), (0x0A000003, 1194)
    assert box.outbound("udp", INSIDE, REMOTES[0], 0.0) == (OUTSIDE, 1194)
    assert box.outbound("udp", other, REMOTES[2], 0.0) == (OUTSIDE, 1194)
    assert box.inbound("udp", 1194, REMOTES[0], 0.0) == INSIDE
    assert box.inbound("udp", 1194, REMOTES[2], 0.0) == other
    assert box.outbound("udp", other, REMOTES[0], 0.0)[1] != 1194  # taken towards that peer


def test_a_box_that_does_not_keep_ports_takes_any() -> None:
    box = nat(KINDS["carrier"])
    ports = {box.outbound("udp", (INSIDE[0], port), REMOTES[0], 0.0)[1] for port in range(5000, 5020)}
    assert len(ports) == 20
    assert ports != set(range(5000, 5020))
