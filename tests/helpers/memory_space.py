"""The partition of a network's space in a dictionary: a slow, obvious model of the store."""

from re6st_core.prefix import Prefix
from registry.domain.allocation import EVERYWHERE, State


class MemorySpace:
    """Blocks and their state; every change is checked for overlaps."""

    def __init__(self) -> None:
        self.blocks = {EVERYWHERE: State.FREE}

    def lowest_free(self, length: int, within: Prefix) -> Prefix | None:
        found = (
            b for b, s in self.blocks.items() if s is State.FREE and b.length == length and within.contains(b)
        )
        return min(found, key=lambda block: block.value, default=None)

    def block_over(self, prefix: Prefix) -> tuple[Prefix, State] | None:
        return next(((b, s) for b, s in self.blocks.items() if b.contains(prefix)), None)

    def replace(self, old: tuple[Prefix, ...], new: dict[Prefix, State]) -> None:
        for block in old:
            del self.blocks[block]
        assert not any(a.overlaps(b) for a in self.blocks for b in new)
        self.blocks.update(new)

    def used(self) -> list[Prefix]:
        return [block for block, state in self.blocks.items() if state is State.USED]
