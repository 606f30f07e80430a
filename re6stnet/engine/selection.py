"""Which peers to open tunnels to, and which tunnels to give up.  Pure: a view in, a decision out.

Missing tunnels are drawn at random.  Each round compares what candidates would bring with what tunnels are
worth (:mod:`re6stnet.engine.gains`) and swaps the best pair, as long as a swap is worth it.
"""

import random
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Generic

from re6stnet.engine.gains import INFINITE, Gains, believe, work_out
from re6stnet.engine.scouting import Peer

UNREACHABLE_NODE_TUNNELS = 2
"""A node to which nobody can connect opens no more than this until somebody is reached: it must not fill the
places of those that can be reached (re6st's rule, ``re6st-protocol.md`` §8.5)."""
FLOOR = 10
"""One in so many opened tunnels is one that was drawn at random, whatever it carries: those hold the mesh
together when nodes fail, for what is best for each is not best for that."""
ASKED_HELD = 4
"""Of the peers of our own tunnels, so many are asked in a round."""
MAX_SWAPS = 3
"""In one round."""
WORTH, WORTH_MORE = 0.0005, 0.001
"""A swap must take away this share of all our metrics, the second of a round more: below are the errors of
measurement, and tunnels would come and go for nothing."""


@dataclass(frozen=True, slots=True)
class TunnelView(Generic[Peer]):
    """What selection may know of one tunnel."""

    tunnel: str
    peer: Peer
    initiator: bool
    active: bool
    drawn: bool
    """Opened because one was missing, to whomever."""
    wanted: bool
    """The operator wants it (``--neighbour``), or its successor or predecessor is on the way."""
    carried: int
    """How many destinations go through it."""
    expendable: bool
    """Every one of them has another route."""


@dataclass(frozen=True, slots=True)
class Offered(Generic[Peer]):
    """What a candidate says when it is asked."""

    peer: Peer
    cost: int
    """Of a tunnel to it, by its measured RTT."""
    metrics: "array[int]"
    """Of its own routes, one for each destination."""
    room: bool
    """It would take one more tunnel."""
    route: int = INFINITE
    """Our metric of the way to it that we have now; INFINITE: of a tunnel's peer, it leaves us out."""


@dataclass(frozen=True, slots=True)
class Survey(Generic[Peer]):
    """What was found out in a round; each row has one metric for each destination.

    An answer leaves out what its sender reaches through us, so that of a tunnel's peer tells what it would
    have without that tunnel.
    """

    weight: "array[float]"
    via: "Mapping[str, array[int]]"
    """Our metrics through each tunnel that works."""
    offers: tuple[Offered[Peer], ...]
    """Of candidates."""
    held: "Mapping[str, Offered[Peer]]"
    """Of peers of our own tunnels; who was not asked, or did not answer, keeps its tunnel."""


@dataclass(frozen=True, slots=True)
class View(Generic[Peer]):
    """What selection may know at all: measured or announced, never the simulator's truth."""

    tunnels: tuple[TunnelView[Peer], ...]
    candidates: tuple[Peer, ...]
    """Peers without tunnel that can be tried now."""
    client_count: int
    swapping: int = 0
    """So many tunnels more than wanted are open until they work and others are closed for them."""
    may_swap: int = MAX_SWAPS
    """So many swaps are allowed now, as far as time is concerned."""
    neighbours: Collection[Peer] = ()
    """Peers that the operator wants a tunnel with."""
    survey: Survey[Peer] | None = None

    def with_survey(self, survey: Survey[Peer], may_swap: int) -> "View[Peer]":
        """The same, and what a round has found."""
        return replace(self, survey=survey, may_swap=may_swap)


@dataclass(frozen=True, slots=True)
class Swap(Generic[Peer]):
    """Open one tunnel; when it works, close another."""

    peer: Peer
    tunnel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision(Generic[Peer]):
    """What to do now; tunnels to close are named with a reason."""

    open: tuple[Peer, ...] = ()
    swaps: tuple[Swap[Peer], ...] = ()
    close: tuple[tuple[str, str], ...] = ()


def decide(view: View[Peer], *, rng: random.Random) -> Decision[Peer]:
    """Fill up to ``client_count`` opened tunnels; if all are there, improve them by what the survey found."""
    held = {t.peer for t in view.tunnels}
    asked_for = [peer for peer in view.candidates if peer in view.neighbours and peer not in held]
    opened = sum(t.initiator for t in view.tunnels)
    missing = view.client_count + view.swapping - opened
    if missing > 0 or asked_for:
        candidates = [peer for peer in view.candidates if peer not in view.neighbours]
        rng.shuffle(candidates)
        return Decision(open=(*asked_for, *candidates[: max(0, missing - len(asked_for))]))
    may_go = droppable(view)
    if missing < 0 and may_go:
        least = min(may_go, key=lambda t: (t.carried, t.tunnel))
        return Decision(close=((least.tunnel, "one more than wanted"),))
    if view.survey is None:
        return Decision()
    return Decision(
        swaps=tuple(
            _swaps(
                view.survey,
                may_go,
                set(view.candidates) - held,
                min(MAX_SWAPS - view.swapping, view.may_swap),
            )
        )
    )


def droppable(view: View[Peer]) -> list[TunnelView[Peer]]:
    """Our own tunnels that may go: nobody is cut off, and the floor stays."""
    own = [t for t in view.tunnels if t.initiator]
    floor = [t.tunnel for t in own if t.drawn and t.active][: view.client_count // FLOOR]
    return [
        t
        for t in own
        if t.active
        and t.expendable
        and not t.wanted
        and t.peer not in view.neighbours
        and t.tunnel not in floor
    ]


def least_missed(
    view: View[Peer], weight: "array[float]", via: "Mapping[str, array[int]]"
) -> list[TunnelView[Peer]]:
    """Those of our tunnels that may go and are worth least to us: their peers are to be asked what they
    think."""
    losses = dict(zip(via, _gains(weight, list(via.values()), ()).loss, strict=True))
    return sorted((t for t in droppable(view) if t.tunnel in losses), key=lambda t: losses[t.tunnel])[
        :ASKED_HELD
    ]


def expected(survey: Survey[Peer]) -> dict[Peer, float]:
    """What each candidate would bring, to both ends."""
    via = list(survey.via.values())
    offers = _believed(survey.offers, via)
    gains = _gains(survey.weight, via, offers)
    return {offer.peer: gains.gain[k] + gains.theirs[k] for k, offer in enumerate(offers)}


def _swaps(
    survey: Survey[Peer], may_go: list[TunnelView[Peer]], candidates: set[Peer], most: int
) -> list[Swap[Peer]]:
    names, via = list(survey.via), list(survey.via.values())
    asked = [offer for offer in survey.offers if offer.room and offer.peer in candidates]
    offers = _believed(asked, via)
    going = [t.tunnel for t in may_go if t.tunnel in survey.via and t.tunnel in survey.held]
    columns = {tunnel: names.index(tunnel) for tunnel in going}
    # What the two of a tunnel would gain by it if they had it not, they lose with it.
    missed = _gains(survey.weight, via, [survey.held[tunnel] for tunnel in going]).theirs
    theirs = dict(zip(going, missed, strict=True))
    swaps: list[Swap[Peer]] = []
    while columns and offers and len(swaps) < most:
        gains = _gains(survey.weight, via, offers)
        rated = (
            (gains.swap[k * len(via) + column] + gains.theirs[k] - theirs[tunnel], -k, tunnel)
            for k in range(len(offers))
            for tunnel, column in columns.items()
        )
        gained, k, tunnel = max(rated)
        if gained <= gains.total * (WORTH_MORE if swaps else WORTH):
            break
        offer = offers.pop(-k)
        via[columns.pop(tunnel)] = _through(offer)
        swaps.append(
            Swap(offer.peer, tunnel, f"{offer.peer} shortens ways by {gained / gains.total:.1%} in the mean")
        )
    return swaps


def _believed(offers: Collection[Offered[Peer]], via: "list[array[int]]") -> list[Offered[Peer]]:
    """What candidates say, as far as it can be: where we have a route to each other, neither is farther from
    a destination than the other by more than that route.

    Who lies brings no more than a tunnel to it would shorten that route; and a destination that has just
    died, or just appeared, and is known to one of us only, does not outweigh all others.
    """
    rows = believe(via, [offer.metrics for offer in offers], [offer.route for offer in offers])
    return [replace(offer, metrics=row) for offer, row in zip(offers, rows, strict=True)]


def _gains(weight: "array[float]", via: "list[array[int]]", offers: Collection[Offered[Peer]]) -> Gains:
    return work_out(weight, via, [offer.metrics for offer in offers], [offer.cost for offer in offers])


def _through(offer: Offered[Peer]) -> "array[int]":
    return array("i", (min(INFINITE, metric + offer.cost) for metric in offer.metrics))
