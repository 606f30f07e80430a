"""How the simulator's C functions share the processors: they let go of the interpreter's lock."""

import os
from collections.abc import Sequence

WORKERS = len(os.sched_getaffinity(0))


def shares(items: Sequence[int], workers: int = WORKERS) -> list[Sequence[int]]:
    """Cut in as many parts as there are processors, about equal, none empty, in order."""
    size = -(-len(items) // workers) or 1
    return [items[start : start + size] for start in range(0, len(items), size)]
