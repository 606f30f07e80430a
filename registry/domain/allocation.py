"""Allocation of prefixes over a partition of the network's space (``re6st-protocol.md`` §1.6).

The space is cut in blocks that neither overlap nor leave a gap; each is free, used or reserved.  Taking a
prefix splits a free block; giving one back joins it with its free other half, and so on upwards.  Hence no
two free halves of one block ever exist, and each decision looks at as many blocks as a prefix has bits.

A *community* is the part of the space that belongs to a location; until locations are known, it is the
empty prefix, which is everything.
"""

import enum
from typing import Protocol

from re6st_core.prefix import Prefix
from registry.errors import NoPrefixError

EVERYWHERE = Prefix(0, 0)


class State(enum.Enum):
    """What a block of the partition is for."""

    FREE = "free"
    USED = "used"
    RESERVED = "reserved"
    """Its address would be that of the whole network: never handed out."""


class Space(Protocol):
    """The partition, as a store keeps it."""

    def lowest_free(self, length: int, within: Prefix) -> Prefix | None:
        """First free block of exactly this length inside ``within``."""

    def block_over(self, prefix: Prefix) -> tuple[Prefix, State] | None:
        """The block that contains ``prefix``; None if smaller blocks share it."""

    def replace(self, old: tuple[Prefix, ...], new: dict[Prefix, State]) -> None:
        """Put ``new`` blocks in the place of ``old`` ones, which they cover exactly."""


def allocate(space: Space, length: int, *, free_bits: int, community: Prefix = EVERYWHERE) -> Prefix:
    """Mark a prefix of ``community`` plus ``length`` bits as used.  Raises NoPrefixError.

    ``free_bits``: how many bits the network leaves for prefixes.
    """
    wanted = community.length + length
    if not 0 < wanted <= free_bits:
        raise NoPrefixError(f"prefixes of {wanted} bits do not fit in a network that leaves {free_bits} bits")
    while True:
        block = _best_fit(space, wanted, community)
        found, parts = _split(block, wanted, community)
        whole_address = wanted == free_bits and _is_first_after(found, community)
        parts[found] = State.RESERVED if whole_address else State.USED
        space.replace((block,), parts)
        if not whole_address:
            return found


def release(space: Space, prefix: Prefix) -> None:
    """Make a used prefix free, and join it with its free neighbours."""
    old, block = [prefix], prefix
    while block.length:
        sibling = Prefix(block.length, block.value ^ 1)
        if space.block_over(sibling) != (sibling, State.FREE):
            break
        old.append(sibling)
        block = Prefix(block.length - 1, block.value >> 1)
    space.replace(tuple(old), {block: State.FREE})


def _best_fit(space: Space, wanted: int, community: Prefix) -> Prefix:
    """The smallest free block that is large enough: big ones stay whole as long as possible."""
    for length in range(wanted, community.length - 1, -1):
        if block := space.lowest_free(length, community):
            return block
    over = space.block_over(community)
    if over is None or over[1] is not State.FREE:
        raise NoPrefixError(f"no prefix of {wanted} bits is free")
    return over[0]


def _split(block: Prefix, wanted: int, community: Prefix) -> tuple[Prefix, dict[Prefix, State]]:
    """Halve ``block`` until ``wanted`` bits, towards the community, then towards zero."""
    parts: dict[Prefix, State] = {}
    while block.length < wanted:
        zero, one = block.halves()
        towards_one = community.length > block.length and one.overlaps(community)
        block, other = (one, zero) if towards_one else (zero, one)
        parts[other] = State.FREE
    return block, parts


def _is_first_after(prefix: Prefix, community: Prefix) -> bool:
    return prefix.value & ((1 << (prefix.length - community.length)) - 1) == 0
