"""Which peers to open tunnels to, and which tunnel to give up.  Pure: a view in, a decision out.

The rule here is re6st's in its simplest form: as many tunnels as the network asks for, to peers drawn at
random; now and then the tunnel that carries least makes room for another peer, if that cuts nobody off.
"""

import random
from dataclasses import dataclass

from re6st_core.prefix import Prefix

UNREACHABLE_NODE_TUNNELS = 2
"""A node to which nobody can connect opens no more than this until somebody is reached: it must not fill the
places of those that can be reached (re6st's rule, ``re6st-protocol.md`` §8.5)."""


@dataclass(frozen=True, slots=True)
class TunnelView:
    """What selection may know of one tunnel."""

    tunnel: str
    peer: Prefix
    initiator: bool
    active: bool
    rtt_us: int | None
    carried: int
    """How many destinations go through it."""
    expendable: bool
    """Every one of them has another route."""


@dataclass(frozen=True, slots=True)
class View:
    """What selection may know at all: measured or announced, never the simulator's truth."""

    tunnels: tuple[TunnelView, ...]
    candidates: tuple[Prefix, ...]
    """Peers without tunnel that can be tried now."""
    client_count: int
    refresh_due: bool
    swapping: bool
    """One tunnel more than wanted is open until its successor works."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now; tunnels to close are named with a reason."""

    open: tuple[Prefix, ...] = ()
    close: tuple[tuple[str, str], ...] = ()


def decide(view: View, *, rng: random.Random) -> Decision:
    """Fill up to ``client_count`` opened tunnels; if all are there and a refresh is due, swap one."""
    opened = [t for t in view.tunnels if t.initiator]
    missing = view.client_count - len(opened)
    candidates = list(view.candidates)
    rng.shuffle(candidates)
    if missing > 0:
        return Decision(open=tuple(candidates[:missing]))
    surplus = missing < 0 and not view.swapping
    droppable = [t for t in opened if t.active and t.expendable]
    if not droppable or not (surplus or (view.refresh_due and candidates)):
        return Decision()
    least = min(droppable, key=lambda t: (t.carried, -(t.rtt_us or 0), t.tunnel))
    if surplus:
        return Decision(close=((least.tunnel, "one more than wanted"),))
    return Decision(
        open=(candidates[0],),
        close=(
            (
                least.tunnel,
                f"carries {least.carried} destinations, the fewest; {candidates[0]} gets its place",
            ),
        ),
    )
