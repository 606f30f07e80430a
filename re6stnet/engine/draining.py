"""End tunnels without losing a packet: both ends agree, give the tunnel to nobody, then remove it.  Pure.

    A                      B
    | -- ask ------------> |   B looks whether there is another way between both
    | <-- agree or refuse  |   agreed: both take it from babeld at once; the device still carries what comes
    | <-- done ----------> |   nothing of mine goes in any more
    |                      |   the device goes LINGER_S after both have said so, or when the state times out

A peer with which both have a tunnel is such a way, and leads to all that lies behind either end.  Else each
end looks at its own routes.

Messages may be lost, doubled and late: a question is asked again, and answered again, and who never gets an
answer keeps its tunnel.  Both may ask at once.
"""

import random
from dataclasses import dataclass

from re6st_core.peer_wire import AGREE, ASK, DONE, MAX_NEIGHBOURS, MAX_REASON, REFUSE, Close, Drain
from re6st_core.prefix import Prefix
from re6stnet.engine.budgets import Budgets
from re6stnet.engine.messages import Command, Remove, Retire, Send
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import PeerBook
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.tunnel import State, Step, Tunnel

ASK_AGAIN_S, MAX_ASKS = 1.5, 4
LINGER_S = 1.0
"""How long a tunnel that gets nothing new is kept: longer than a packet is on its way."""
SETTLED_S = 5.0
"""How long a tunnel must have worked to count as another way: Babel prefers what it has known for longer."""
KEPT_S = 60.0
"""How long a tunnel is left alone that the peer did not want to end."""
ASK_BURST, ASK_EVERY_S, MAX_ASKERS = 10.0, 1.0, 4096
"""How often one peer may ask; each answer costs a signature and a request."""
_WORKING = (State.ACTIVE, State.CONNECTING, State.SILENT)


@dataclass(slots=True)
class _Asked:
    """The peer is to say whether it can do without."""

    reason: str
    again_at: float
    asks: int = 1


@dataclass(slots=True)
class _Drained:
    """A tunnel that gets nothing new."""

    tunnel: Tunnel
    reason: str
    carried: frozenset[Prefix]
    """What went through it."""
    retired: bool = False
    done: bool = False
    """Nothing of ours goes in any more."""
    peer_done: bool = False
    remove_at: float | None = None


class Drainer:
    """The tunnels of one node that are to end, by nonce."""

    def __init__(
        self, own: Prefix, tunnels: Negotiator, peers: PeerBook, routes: RouteTable, *, rng: random.Random
    ) -> None:
        self._own = own
        self._rng = rng
        self._budgets = Budgets(ASK_BURST, ASK_EVERY_S, most=MAX_ASKERS)
        self._tunnels = tunnels
        self._peers = peers
        self._routes = routes
        self._asked: dict[str, _Asked] = {}
        self._kept: dict[str, tuple[float, str]] = {}
        """Tunnels that the peer does not want to end: until when they are left alone, and why."""
        self._drained: dict[str, _Drained] = {}

    @property
    def asking(self) -> bool:
        """Whether the end of a tunnel waits for the word of its peer."""
        return bool(self._asked)

    @property
    def draining(self) -> list[Tunnel]:
        """Those that both ends have given up."""
        return [drained.tunnel for drained in self._drained.values()]

    def expendable(self, nonce: str, *, now: float) -> bool:
        """Whether it is worth while to ask for a tunnel's end now."""
        until, _ = self._kept.get(nonce, (now, ""))
        if nonce in self._asked or until > now:
            return False
        return self._routes.expendable(nonce) or any(t.nonce != nonce for t in self._tunnels.active())

    def kept(self, nonce: str) -> str:
        """Why the peer did not want the tunnel to end when it was asked the last time; empty: it was not."""
        return self._kept.get(nonce, (0.0, ""))[1]

    def ask(self, tunnel: Tunnel, reason: str, *, now: float) -> list[Command]:
        """Begin to end a working tunnel."""
        if tunnel.nonce in self._asked or tunnel.state not in _WORKING:
            return []
        self._asked[tunnel.nonce] = _Asked(reason, now + ASK_AGAIN_S)
        return [self._question(tunnel, reason, now)]

    def received(self, message: Drain, *, now: float) -> list[Command]:
        """The peer's word."""
        if message.step == ASK and not self._budgets.spend(message.sender, now=now):
            return []
        drained, tunnel = self._drained.get(message.nonce), self._tunnels.get(message.nonce)
        if drained is not None:
            return self._while_draining(drained, message, now=now)
        if tunnel is None and message.step == ASK:
            # We hold nothing of the kind, so nothing of ours goes in.
            return [self._send(message.sender, message.nonce, DONE, "")]
        if tunnel is None or tunnel.peer != message.sender or tunnel.state not in _WORKING:
            return []
        return self._while_working(tunnel, message, now=now)

    def _while_working(self, tunnel: Tunnel, message: Drain, *, now: float) -> list[Command]:
        asked = self._asked.get(tunnel.nonce)
        match message.step:
            case "ask":
                if reason := self._reason_to_keep(tunnel, message, now):
                    return [self._message(tunnel, REFUSE, reason)]
                self._peers.closed(tunnel.peer, now=now, rng=self._rng)
                reason = f"left by the peer: {message.reason}"
                return [self._message(tunnel, AGREE), *self._begin(tunnel, reason, now=now)]
            case "agree" if asked is not None:
                return self._begin(tunnel, asked.reason, now=now)
            case "refuse" if asked is not None:
                self._keep(tunnel.nonce, message.reason, now)
            case "done":  # it has agreed, or has lost the tunnel
                commands = self._begin(tunnel, asked.reason if asked else "left by the peer", now=now)
                self._drained[tunnel.nonce].peer_done = True
                return commands
        return []

    def _others(self, tunnel: Tunnel, now: float) -> list[Prefix]:
        """Peers of other tunnels that have worked for so long that routes through them have settled."""
        active = (t for t in self._tunnels.active() if t is not tunnel and t.nonce not in self._asked)
        return [t.peer for t in active if now - t.since >= SETTLED_S]

    def _reason_to_keep(self, tunnel: Tunnel, question: Drain, now: float) -> str:
        if not set(question.neighbours).isdisjoint(self._others(tunnel, now)):
            return ""
        if question.needed:
            return "we have no neighbour in common, and you know no other way"
        lost = next(iter(self._routes.lost_without(tunnel.nonce)), None)
        return "" if lost is None else f"I reach {lost} through it alone"

    def _while_draining(self, drained: _Drained, message: Drain, *, now: float) -> list[Command]:
        if message.sender != drained.tunnel.peer:
            return []
        if message.step == ASK:
            return [self._message(drained.tunnel, DONE if drained.done else AGREE)]
        if message.step == DONE:
            drained.peer_done = True
        return self._look(drained, now)

    def _begin(self, tunnel: Tunnel, reason: str, *, now: float) -> list[Command]:
        self._asked.pop(tunnel.nonce, None)
        tunnel.step(Step.AGREED, now=now)
        self._tunnels.release(tunnel)
        carried = frozenset(self._routes.carried(tunnel.nonce))
        self._drained[tunnel.nonce] = _Drained(tunnel, reason, carried)
        return [Retire(tunnel.nonce)]

    def closed(self, close: Close, *, now: float) -> list[Command]:
        """The peer ends a tunnel without asking, as a node does that stops; it forwards for a moment yet.

        Nothing if the tunnel does not work, or is none of the peer's: that is not a drain.
        """
        tunnel = self._tunnels.get(close.nonce)
        if tunnel is None or tunnel.peer != close.sender or tunnel.state is not State.ACTIVE:
            return []
        self._peers.closed(tunnel.peer, now=now, rng=self._rng)
        commands = self._begin(tunnel, f"closed by the peer: {close.reason}", now=now)
        drained = self._drained[tunnel.nonce]
        drained.done = drained.peer_done = True  # there is nobody to tell
        return commands

    def retired(self, nonce: str) -> None:
        """babeld has let go of a tunnel."""
        if (drained := self._drained.get(nonce)) is not None:
            drained.retired = True

    def broken(self, nonce: str, *, now: float) -> None:
        """What carries a tunnel failed: there is nothing more to wait for."""
        if (drained := self._drained.get(nonce)) is not None:
            drained.remove_at = now

    def _keep(self, nonce: str, reason: str, now: float) -> None:
        del self._asked[nonce]
        self._kept[nonce] = now + KEPT_S, reason

    # --- what time and routes bring ---------------------------------------------------------------------

    def due(self, *, now: float) -> list[Command]:
        """What is to be done now: after each event, and at :meth:`next_deadline`."""
        commands: list[Command] = []
        for nonce, asked in list(self._asked.items()):
            tunnel = self._tunnels.get(nonce)
            if tunnel is None:
                del self._asked[nonce]  # it has ended otherwise
            elif asked.again_at <= now and asked.asks >= MAX_ASKS:
                # Nobody there who could agree; if its machine is gone, Babel tells.
                self._keep(nonce, "no answer", now)
            elif asked.again_at <= now:
                asked.again_at, asked.asks = now + ASK_AGAIN_S, asked.asks + 1
                commands.append(self._question(tunnel, asked.reason, now))
        for nonce in [n for n in self._kept if self._tunnels.get(n) is None]:
            del self._kept[nonce]
        for drained in list(self._drained.values()):
            commands += self._look(drained, now)
        return commands

    def _look(self, drained: _Drained, now: float) -> list[Command]:
        commands: list[Command] = []
        tunnel = drained.tunnel
        if drained.retired and not drained.done and self._moved(drained):
            drained.done = True
            commands.append(self._message(tunnel, DONE))
        if drained.done and drained.peer_done and drained.remove_at is None:
            drained.remove_at = now + LINGER_S
        deadline = self._deadline(drained)
        if deadline is not None and deadline <= now:
            tunnel.step(Step.FAILED, now=now)
            del self._drained[tunnel.nonce]
            commands.append(Remove(tunnel.nonce, tunnel.peer, drained.reason))
        return commands

    def _moved(self, drained: _Drained) -> bool:
        """Whether all that went through it goes another way."""
        if self._routes.carried(drained.tunnel.nonce):
            return False
        return all(map(self._routes.is_reachable, drained.carried))

    @staticmethod
    def _deadline(drained: _Drained) -> float | None:
        return drained.tunnel.deadline if drained.remove_at is None else drained.remove_at

    def next_deadline(self) -> float | None:
        """Monotonic seconds when :meth:`due` has something to do, if nothing happens before."""
        times = [asked.again_at for asked in self._asked.values()]
        times += [t for d in self._drained.values() if (t := self._deadline(d)) is not None]
        return min(times, default=None)

    def stop(self) -> list[Command]:
        """The node leaves: remove what is left."""
        drained, self._drained = self._drained, {}
        self._asked.clear()
        return [Remove(d.tunnel.nonce, d.tunnel.peer, d.reason) for d in drained.values()]

    # --- messages ---------------------------------------------------------------------------------------

    def _question(self, tunnel: Tunnel, reason: str, now: float) -> Send:
        neighbours = self._others(tunnel, now)
        needed = not self._routes.expendable(tunnel.nonce)
        message = Drain(
            sender=self._own,
            recipient=tunnel.peer,
            nonce=tunnel.nonce,
            expires=0,
            step=ASK,
            reason=reason[:MAX_REASON],
            neighbours=tuple(neighbours[:MAX_NEIGHBOURS]),
            needed=needed,
        )
        return Send(message, self._peers.get(tunnel.peer).endpoints)

    def _message(self, tunnel: Tunnel, step: str, reason: str = "") -> Send:
        return self._send(tunnel.peer, tunnel.nonce, step, reason)

    def _send(self, peer: Prefix, nonce: str, step: str, reason: str) -> Send:
        message = Drain(
            sender=self._own, recipient=peer, nonce=nonce, expires=0, step=step, reason=reason[:MAX_REASON]
        )
        return Send(message, self._peers.get(peer).endpoints)
