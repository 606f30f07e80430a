"""Prefixes never overlap, and come in the order that re6st gives them (``re6st-protocol.md`` §11.3)."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from re6st_core.prefix import Prefix
from registry.domain.allocation import EVERYWHERE, State, allocate, release
from registry.errors import NoPrefixError
from tests.helpers.memory_space import MemorySpace

FREE_BITS = 80


def take(space: MemorySpace, length: int, community: Prefix = EVERYWHERE) -> Prefix:
    return allocate(space, length, free_bits=FREE_BITS, community=community)


def test_the_published_sequence() -> None:
    space = MemorySpace()
    expected = [(16, f"{n}/16") for n in range(6)] + [(13, "1/13"), (16, "6/16"), (16, "7/16"), (16, "16/16")]
    expected += [(77, f"{17 << 61}/77"), (80, f"{(17 << 64) + 8}/80"), (80, f"{(17 << 64) + 9}/80")]
    expected += [(16, "18/16"), (8, "1/8")]
    assert [str(take(space, length)) for length, _ in expected] == [cn for _, cn in expected]


def test_the_address_of_the_network_itself_is_never_given() -> None:
    space = MemorySpace()
    assert [str(take(space, 80)) for _ in range(3)] == ["1/80", "2/80", "3/80"]
    assert space.blocks[Prefix(80, 0)] is State.RESERVED


def test_a_full_space_says_so_and_freed_halves_are_joined() -> None:
    space = MemorySpace()
    assert [str(take(space, 3)) for _ in range(8)] == [f"{n}/3" for n in range(8)]
    with pytest.raises(NoPrefixError):
        take(space, 3)
    release(space, Prefix(3, 2))
    release(space, Prefix(3, 3))
    assert [block for block, state in space.blocks.items() if state is State.FREE] == [Prefix(2, 1)]
    assert str(take(space, 2)) == "1/2"


def test_communities_have_their_own_part() -> None:
    space = MemorySpace()
    asked = [Prefix.from_bits(bits) for bits in ("000", "000", "001", "010", "000")]
    assert [str(take(space, 13, c)) for c in asked] == ["0/16", "1/16", "8192/16", "16384/16", "2/16"]


@pytest.mark.parametrize("length", [0, -1, 81, 10**6])
def test_impossible_lengths_are_refused(length: int) -> None:
    with pytest.raises(NoPrefixError):
        take(MemorySpace(), length)


@given(st.lists(st.integers(1, 80), max_size=60))
def test_big_blocks_stay_whole_as_long_as_possible(lengths: list[int]) -> None:
    space = MemorySpace()
    for length in lengths:
        largest = min(b.length for b, s in space.blocks.items() if s is State.FREE)
        if largest <= length:  # something large enough is free: it must be found
            assert take(space, length).length == length


class Membership(RuleBasedStateMachine):
    """Any sequence of joining and leaving."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.space = MemorySpace()

    @rule(target=members, length=st.integers(2, 8), community=st.sampled_from(["", "0", "01"]))
    def join(self, length: int, community: str) -> Prefix | None:
        try:
            return take(self.space, length, Prefix.from_bits(community))
        except NoPrefixError:
            return None

    @rule(member=consumes(members))
    def leave(self, member: Prefix | None) -> None:
        if member is not None:
            release(self.space, member)

    @invariant()
    def the_space_is_a_partition(self) -> None:
        blocks = sorted(self.space.blocks, key=lambda block: block.bits)
        assert not any(a.overlaps(b) for a, b in pairwise(blocks))
        assert sum(1 << (FREE_BITS - block.length) for block in blocks) == 1 << FREE_BITS

    @invariant()
    def no_two_halves_are_free(self) -> None:
        free = {block for block, state in self.space.blocks.items() if state is State.FREE}
        assert not any(Prefix(b.length, b.value ^ 1) in free for b in free if b.length)


TestMembership = Membership.TestCase
TestMembership.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
