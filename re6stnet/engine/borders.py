"""Which tunnels the network's rule about borders (``same_country``) allows.  Pure."""

from collections.abc import Collection


def may_cross(own: str | None, other: str | None, closed: Collection[str]) -> bool:
    """Whether a tunnel may lead from country to country; ``closed``: those whose borders it must not cross.

    Whoever does not say where he is, is taken to be where he may be (re6st's rule, ``re6st-protocol.md``
    §8.4).
    """
    return other is None or own == other or (own not in closed and other not in closed)
