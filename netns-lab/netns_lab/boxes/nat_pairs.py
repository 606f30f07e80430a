"""Which pairs of NATs let a direct UDP tunnel through, derived from how each behaves.  Pure.

Our nodes open a tunnel so: each end asks somewhere by STUN where its one port is mapped to, tells the other,
and then both send there at once, and go on to wherever the last packet came from (WireGuard roams, and the
rules of ``docs/decisions/0004-one-open-port.md`` take packets from another port of a known address).

Let a send to where b's mapping is.  The packet passes b's filter when

- b filters nothing; or
- b's mapping is the same for all, so that what b has sent to a went out from it, and the filter asks for a's
  address only, or for the port too and a's packets come from the very port that a was told.

One direction is enough: the other end then answers to where the packet came from, through the same mapping.
"""

from netns_lab.boxes.behaviour import BLOCKED_UDP, BOXES, ENDS, Behaviour, Depends, behaviour_of

_PUBLIC = Behaviour(Depends.NOTHING, Depends.NOTHING, preserves_port=True)


def expected_direct(a: str | None, b: str | None) -> bool:
    """Whether nodes behind two different boxes of these :data:`ENDS` get a direct UDP tunnel."""
    if BLOCKED_UDP in (a, b):
        return False
    one, two = (behaviour_of(end) if end else _PUBLIC for end in (a, b))
    return _passes(one, two) or _passes(two, one)


def expected_behind_one_box(kind: str, *, hairpin: bool) -> bool:
    """The same for two nodes in one site, with equal ports, that each asked another STUN server.

    Where a port is shared both may have been told the same one, and it does not lead to both.
    """
    box = behaviour_of(kind, hairpin=hairpin)
    return box.hairpin and not box.overloads_port and _passes(box, box)


def _passes(sender: Behaviour, receiver: Behaviour) -> bool:
    if receiver.filtering is Depends.NOTHING:
        return True
    if receiver.mapping is not Depends.NOTHING:
        return False
    return receiver.filtering is Depends.ADDRESS or sender.mapping is Depends.NOTHING


def kinds_table() -> str:
    """How each kind behaves, as Markdown."""
    rows: list[tuple[str, ...]] = [("kind", "mapping", "filter", "keeps the port", "shares a port")]
    for kind in BOXES:
        nat = behaviour_of(kind)
        yes_no = ("yes" if each else "no" for each in (nat.preserves_port, nat.overloads_port))
        rows.append((f"`{kind}`", nat.mapping.words, nat.filtering.words, *yes_no))
    return _markdown(rows)


def pairs_table() -> str:
    """For each pair whether a direct tunnel is expected, and for two nodes behind one box, as Markdown."""
    names = [end or "none" for end in ENDS]
    rows = [("", *(f"`{name}`" for name in names), "one box", "one box, hairpin")]
    for name, a in zip(names, ENDS, strict=True):
        cells = [_mark(expected_direct(a, b)) for b in ENDS]
        for hairpin in (False, True):
            cells.append(_mark(expected_behind_one_box(a, hairpin=hairpin)) if a in BOXES else "")
        rows.append((f"`{name}`", *cells))
    return _markdown(rows)


def _mark(direct: bool) -> str:
    return "yes" if direct else "–"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body, ""])
