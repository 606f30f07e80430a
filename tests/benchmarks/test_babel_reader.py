"""The benchmark of babeld's reader, on a table small enough for a test."""

import asyncio

from benchmarks.babel_reader import compared


def test_both_readers_are_timed_on_the_same_table() -> None:
    figures = {each.name: each for each in asyncio.run(compared(routes=50, runs=2))}
    for name in ("C reader", "plain Python"):
        value, interval = figures[name].value, figures[name].interval
        assert isinstance(value, float)
        assert interval is not None
        assert interval[0] <= value <= interval[1]
