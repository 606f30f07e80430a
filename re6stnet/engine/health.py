"""What becomes of a tunnel whose peer does not answer probes, and of one that does again.  Pure.

    new --answers--> in babeld --silent, others heard--> out of babeld, kept, probed --> dropped in the end
                     |      ^                                        | answers
                     |      +------ has answered for a while --------+
                     +--silent, nobody is heard: our own fault, perhaps: stays as it is

A tunnel that comes and goes waits longer each time before babeld gets it again.  "Nobody is heard" ends with
a sign that the underlay works: an answered probe, by which the prober then verifies the others, or the
registry's answer, after which all that stay silent are given up, to be made anew.
"""

from dataclasses import dataclass

from re6stnet.engine.messages import Command, Join, Leave
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.tunnel import State, Step, Tunnel

FIRST_HOLD_S, LAST_HOLD_S = 1.0, 8.0
"""How long a tunnel must answer before babeld gets it again, from its second death on: doubled each time."""
SOONEST_VERDICT_S, LATEST_VERDICT_S = 0.3, 1.5
CALM_S = 60.0
"""A tunnel that was in babeld for so long has no past."""


@dataclass(slots=True)
class _Condition:
    """What is known of a tunnel."""

    joined: bool = False
    """babeld has its device."""
    since: float = 0.0
    """When that began or ended."""
    answers: bool = False
    silent_at: float = 0.0
    join_at: float | None = None
    deaths: int = 0


class Health:
    """The condition of each tunnel that can carry packets; each method returns what the shell must do."""

    def __init__(self, tunnels: Negotiator) -> None:
        self._tunnels = tunnels
        self._conditions: dict[str, _Condition] = {}
        self._verdict_at: float | None = None

    def adopt(self, nonce: str, *, now: float) -> None:
        """babeld has had this one since before our time."""
        self._conditions[nonce] = _Condition(joined=True, since=now)

    @property
    def cut_off(self) -> bool:
        """Whether tunnels that worked are silent, and none is not."""
        joined = [c for nonce, c in self._conditions.items() if c.joined and self._tunnels.get(nonce)]
        return bool(joined) and not any(c.answers for c in self._conditions.values())

    def answered(self, nonce: str, *, now: float) -> list[Command]:
        """The peer's kernel answers, for the first time or again."""
        tunnel = self._tunnels.get(nonce)
        if tunnel is None:
            return []
        condition = self._conditions.setdefault(nonce, _Condition())
        condition.answers = tunnel.answered = True
        if not condition.joined:
            again = condition.deaths - 1
            hold_s = min(FIRST_HOLD_S * 2.0 ** (again - 1), LAST_HOLD_S) if again > 0 else 0.0
            condition.join_at = now + hold_s
            tunnel.since = now
        return self.due(now)

    def silent(self, nonce: str, witnessed: bool, *, now: float) -> list[Command]:
        """The peer's kernel answers no more; ``witnessed``: somebody else's does."""
        tunnel, condition = self._tunnels.get(nonce), self._conditions.get(nonce)
        if tunnel is None or condition is None:
            return []
        if condition.answers:
            condition.silent_at = now
        condition.answers, condition.join_at = False, None
        return self._leave(tunnel, condition, now) if witnessed and condition.joined else []

    def underlay_works(self, *, now: float) -> None:
        """Somebody was heard without a tunnel: if all of ours stay silent, they are dead, or we have moved.

        They may answer a moment later, when it was our own link that is back: pauses between probes grow with
        the silence.
        """
        if self.cut_off and self._verdict_at is None:
            silent_s = now - max(c.silent_at for c in self._conditions.values())
            self._verdict_at = now + min(max(silent_s, SOONEST_VERDICT_S), LATEST_VERDICT_S)

    def given_up(self, now: float) -> list[Tunnel]:
        """Tunnels to be removed now, after :meth:`underlay_works`."""
        if self._verdict_at is None or self._verdict_at > now:
            return []
        self._verdict_at = None
        if not self.cut_off:
            return []
        return [
            tunnel for nonce in self._conditions if (tunnel := self._tunnels.get(nonce)) and tunnel.answered
        ]

    def _leave(self, tunnel: Tunnel, condition: _Condition, now: float) -> list[Command]:
        calm = now - condition.since > CALM_S
        condition.deaths = 1 if calm else condition.deaths + 1
        condition.joined, condition.since = False, now
        tunnel.step(Step.SILENCED, now=now)
        return [Leave(tunnel.nonce)]

    def due(self, now: float) -> list[Command]:
        """What time brings: tunnels that have answered for long enough."""
        commands: list[Command] = []
        for nonce, condition in list(self._conditions.items()):
            tunnel = self._tunnels.get(nonce)
            if tunnel is None:
                del self._conditions[nonce]
            elif condition.join_at is not None and condition.join_at <= now:
                condition.joined, condition.since, condition.join_at = True, now, None
                tunnel.step(Step.RECOVERED, now=now)
                commands.append(Join(nonce))
        return commands

    def next_deadline(self) -> float | None:
        """Monotonic seconds when ``due`` has something to do."""
        times = [self._verdict_at, *(c.join_at for c in self._conditions.values())]
        return min((t for t in times if t is not None), default=None)


def is_usable(tunnel: Tunnel) -> bool:
    """Whether a tunnel counts among those that a node has."""
    return tunnel.state is not State.SILENT
