"""``_native/gains.c`` in plain Python; tests hold it to this.  Pure, short and slow: nobody else should call
it."""

from collections.abc import Sequence

from re6stnet.engine.gains import INFINITE


def model_total(weight: Sequence[float], rows: Sequence[Sequence[int]]) -> float:
    """All metrics together: of each destination the best that a row has."""
    return sum(w * min((row[k] for row in rows), default=INFINITE) for k, w in enumerate(weight))


def model_believe(
    via: Sequence[Sequence[int]], offered: Sequence[Sequence[int]], routes: Sequence[int]
) -> list[list[int]]:
    """Each metric within its candidate's route of our own best; without tunnels as it was said."""
    if not via:
        return [list(row) for row in offered]
    ours = [min(column) for column in zip(*via, strict=True)]
    return [
        [max(mine - route, min(told, mine + route)) for mine, told in zip(ours, row, strict=True)]
        for row, route in zip(offered, routes, strict=True)
    ]


def model_gains(
    weight: Sequence[float],
    via: Sequence[Sequence[int]],
    offered: Sequence[Sequence[int]],
    cost: Sequence[int],
) -> tuple[list[float], list[float], list[float], list[float]]:
    """gain, theirs, loss, swap: each is the difference of two totals."""
    now = model_total(weight, via)
    best = [min((row[k] for row in via), default=INFINITE) for k in range(len(weight))]
    ways = [_through(row, price) for row, price in zip(offered, cost, strict=True)]
    left = [[row for other, row in enumerate(via) if other != tunnel] for tunnel in range(len(via))]
    gain = [now - model_total(weight, [*via, way]) for way in ways]
    theirs = [
        model_total(weight, [row]) - model_total(weight, [row, _through(best, price)])
        for row, price in zip(offered, cost, strict=True)
    ]
    loss = [model_total(weight, rest) - now for rest in left]
    swap = [now - model_total(weight, [*rest, way]) for way in ways for rest in left]
    return gain, theirs, loss, swap


def _through(metrics: Sequence[int], cost: int) -> list[int]:
    return [min(INFINITE, metric + cost) for metric in metrics]
