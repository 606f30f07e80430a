"""How the simulator's C functions share the processors: they let go of the interpreter's lock."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WORKERS = len(os.sched_getaffinity(0))

Part = TypeVar("Part")
Result = TypeVar("Result")


def shares(items: Sequence[int], parts: int = WORKERS) -> list[Sequence[int]]:
    """Cut in at most so many parts, about equal, none empty, in order."""
    size = -(-len(items) // parts) or 1
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_parallel(
    work: Callable[[Part, threading.Event], Result], parts: Iterable[Part], workers: int = WORKERS
) -> list[Result]:
    """Results in the order of the parts.

    After an exception, Ctrl-C too, no part is begun any more; those under way see the event.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(lambda part: work(part, stop), parts))
        except BaseException:
            stop.set()
            raise
