"""Life of a tunnel, at both ends.  Pure: a table, and a deadline for each state.

initiator  PREPARING --PREPARED--> OFFERED --ANSWERED--> CREATING --CREATED--> CONNECTING --HEARD--> ACTIVE
responder  ANSWERING --PREPARED-----------------------------^                     ^--------LOST--------+
                                        ^--RECOVERED-- SILENT <--SILENCED-- CONNECTING, ACTIVE
           ACTIVE, CONNECTING, SILENT --AGREED--> DRAINING
any state  --FAILED--> CLOSED
"""

import enum
from dataclasses import dataclass

from re6st_core.address import Endpoint
from re6st_core.peer_wire import MAX_MTU
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import TunnelRecord


class State(enum.Enum):
    """Where a tunnel is in its life."""

    PREPARING = "preparing"
    OFFERED = "offered"
    ANSWERING = "answering"
    CREATING = "creating"
    CONNECTING = "connecting"
    ACTIVE = "active"
    SILENT = "silent"
    DRAINING = "draining"
    CLOSED = "closed"


class Step(enum.Enum):
    """What moves a tunnel on."""

    PREPARED = "prepared"
    ANSWERED = "answered"
    CREATED = "created"
    HEARD = "heard"
    LOST = "lost"
    SILENCED = "silenced"
    RECOVERED = "recovered"
    AGREED = "agreed"
    FAILED = "failed"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.PREPARING, Step.PREPARED): State.OFFERED,
    (State.OFFERED, Step.ANSWERED): State.CREATING,
    (State.ANSWERING, Step.PREPARED): State.CREATING,
    (State.CREATING, Step.CREATED): State.CONNECTING,
    (State.CONNECTING, Step.HEARD): State.ACTIVE,
    (State.ACTIVE, Step.LOST): State.CONNECTING,
    (State.ACTIVE, Step.SILENCED): State.SILENT,
    (State.CONNECTING, Step.SILENCED): State.SILENT,
    (State.SILENT, Step.RECOVERED): State.CONNECTING,
    (State.ACTIVE, Step.AGREED): State.DRAINING,
    (State.CONNECTING, Step.AGREED): State.DRAINING,
    (State.SILENT, Step.AGREED): State.DRAINING,
    **{(state, Step.FAILED): State.CLOSED for state in State if state is not State.CLOSED},
}

DEADLINE_S: dict[State, float] = {
    State.PREPARING: 5.0,
    State.ANSWERING: 5.0,
    State.OFFERED: 8.0,
    State.CREATING: 10.0,
    State.CONNECTING: 20.0,
    State.SILENT: 60.0,
    State.DRAINING: 20.0,
}
"""How long a state may last before the attempt counts as failed; ACTIVE has no limit."""

NEGOTIATING = (State.PREPARING, State.OFFERED, State.ANSWERING)
UNDER_WAY = (*NEGOTIATING, State.CREATING)
"""Also until the device is there: what costs processor time is not over."""


@dataclass(slots=True)
class Tunnel:
    """One end of a tunnel, in memory of the engine."""

    nonce: str
    peer: Prefix
    initiator: bool
    transport: str
    state: State
    since: float
    """Monotonic seconds when ``state`` was entered."""
    endpoint: Endpoint | None = None
    """Where our packets go."""
    server: Endpoint | None = None
    """The STUN reflector to ask for our mapped address, while preparing."""
    public_key: str = ""
    peer_key: str = ""
    source: Endpoint | None = None
    mtu: int = MAX_MTU
    rtt_us: int | None = None
    serial: int | None = None
    """Of the peer's certificate, once it has sent a message."""
    answered: bool = False
    """It has carried packets both ways."""

    @classmethod
    def adopted(cls, record: TunnelRecord, *, now: float) -> "Tunnel":
        """A tunnel that an earlier daemon made; Babel will tell whether it is alive."""
        return cls(
            nonce=record.tunnel,
            peer=record.peer,
            initiator=record.initiator,
            transport=record.transport,
            state=State.CONNECTING,
            since=now,
            endpoint=record.endpoint,
            peer_key=record.peer_key,
            mtu=record.mtu,
            serial=record.serial,
        )

    @property
    def record(self) -> TunnelRecord:
        """What the shell must know to create it."""
        return TunnelRecord(
            self.nonce,
            self.peer,
            self.initiator,
            self.transport,
            self.mtu,
            self.endpoint,
            self.peer_key,
            self.serial,
        )

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds when the current state times out; None: never."""
        if self.state is State.ACTIVE:  # most are, and each event asks
            return None
        limit = DEADLINE_S.get(self.state)
        return None if limit is None else self.since + limit

    def step(self, step: Step, *, now: float) -> bool:
        """Advance; False if this step means nothing in this state (it came late, or twice)."""
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            return False
        self.state = state
        self.since = now
        return True
