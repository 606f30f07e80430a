"""What goes in and out of the engine: events from the shell, commands to it.

A tunnel is named by the nonce of its offer, at both ends, from its first event to its last command.
"""

from dataclasses import dataclass

from re6st_core.address import Endpoint
from re6st_core.distance_wire import DistanceAnswer
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import Message
from re6st_core.prefix import Prefix

# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The shell is ready; ``adopted`` are tunnels that lived on while no daemon ran."""

    adopted: tuple["TunnelRecord", ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointsChanged:
    """Where this node can be reached by anybody; empty behind a NAT."""

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """This host has other addresses than before: where it can be reached is to be found out."""


@dataclass(frozen=True, slots=True)
class ParametersChanged:
    """The network parameters to follow from now on."""

    parameters: NetworkParameters


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """A node that exists, and where it says it can be reached."""

    prefix: Prefix
    endpoints: tuple[Endpoint, ...] = ()
    relayed: bool = False
    """It listens on the registry's WebSocket."""


@dataclass(frozen=True, slots=True)
class PeersLearned:
    """From the registry, a peer, or the cache."""

    peers: tuple[PeerSeen, ...]
    by_registry: bool = False
    """It has just answered."""


@dataclass(frozen=True, slots=True)
class BootstrapFailed:
    """The registry did not give peers."""

    reason: str


@dataclass(frozen=True, slots=True)
class EndpointsUnknown:
    """The peer did not tell where it can be reached."""

    peer: Prefix


@dataclass(frozen=True, slots=True)
class Received:
    """A verified message from a peer, and the serial number of the certificate that signed it."""

    message: Message
    serial: int


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A message of this tunnel could not be carried to the peer."""

    tunnel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Local port and key are ready.  ``source``: our mapped address; None: no answer by UDP, or not asked."""

    tunnel: str
    public_key: str
    source: Endpoint | None = None
    rtt_us: int | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """The tunnel's device exists and is probed."""

    tunnel: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The tunnel's device or process failed; it carries nothing any more."""

    tunnel: str
    reason: str
    narrow: bool = False
    """The path by UDP takes no packets of the size that IPv6 needs."""


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """The peer of a tunnel sends from another place than before; our packets go there."""

    tunnel: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Retired:
    """babeld has given up the tunnel; its device is still there."""

    tunnel: str


@dataclass(frozen=True, slots=True)
class Rotate:
    """The operator wants the tunnel with this peer to end and another one to take its place."""

    peer: Prefix


@dataclass(frozen=True, slots=True)
class NeighbourChanged:
    """Babel hears the peer on this tunnel (``alive``) or no longer does.  ``rtt_us``: None if not known."""

    tunnel: str
    alive: bool
    rtt_us: int | None = None


@dataclass(frozen=True, slots=True)
class TunnelAnswers:
    """The peer's kernel answers probes on this tunnel: for the first time, or again after a silence."""

    tunnel: str


@dataclass(frozen=True, slots=True)
class TunnelSilent:
    """The peer's kernel answers no more.  ``witnessed``: another's did meanwhile, so it is not our fault."""

    tunnel: str
    witnessed: bool


@dataclass(frozen=True, slots=True)
class RouteChange:
    """Babel's route to ``destination`` through ``tunnel``; ``metric`` None: there is none any more."""

    destination: Prefix
    tunnel: str
    metric: int | None
    installed: bool = False
    refmetric: int = 0
    """As the peer announces it; 0: the destination is the peer."""


@dataclass(frozen=True, slots=True)
class RoutesChanged:
    """Changes since the last event of this kind."""

    changes: tuple[RouteChange, ...]


@dataclass(frozen=True, slots=True)
class Originates:
    """Babel's neighbour on this tunnel announces a destination as its own, not as another's way."""

    tunnel: str
    destination: Prefix


@dataclass(frozen=True, slots=True)
class Probed:
    """Underlay RTT to the peers that were probed; None: no answer."""

    rtt_us: tuple[tuple[Prefix, int | None], ...]


@dataclass(frozen=True, slots=True)
class DistancesTold:
    """What those said that were asked and answered."""

    answers: tuple[tuple[Prefix, DistanceAnswer], ...]


@dataclass(frozen=True, slots=True)
class TrafficSeen:
    """Bytes that this site sent to other nodes since the last event of this kind."""

    sent: tuple[tuple[Prefix, int], ...]


@dataclass(frozen=True, slots=True)
class Timer:
    """The time given by ``next_timer()`` has come."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The node leaves for good: tell the peers, remove everything."""


Event = (
    Started
    | EndpointsChanged
    | AddressesChanged
    | ParametersChanged
    | PeersLearned
    | BootstrapFailed
    | EndpointsUnknown
    | Received
    | Undeliverable
    | Prepared
    | Created
    | Broken
    | PeerMoved
    | Retired
    | Rotate
    | NeighbourChanged
    | TunnelAnswers
    | TunnelSilent
    | RoutesChanged
    | Originates
    | Probed
    | DistancesTold
    | TrafficSeen
    | Timer
    | Stopping
)

# --- commands -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepare:
    """Take a local port and make a key; with ``server``, learn our mapped address from it.  -> Prepared"""

    tunnel: str
    peer: Prefix
    transport: str
    server: Endpoint | None


@dataclass(frozen=True, slots=True)
class Send:
    """Carry a message, stamped with its expiry, to where the recipient was seen.  -> Undeliverable"""

    message: Message
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class TunnelRecord:
    """A tunnel as it is created, and as it is remembered for the next daemon."""

    tunnel: str
    peer: Prefix
    initiator: bool
    transport: str
    mtu: int
    endpoint: Endpoint | None = None
    """Where to send to; None: wait for the peer's first packet."""
    peer_key: str = ""
    serial: int | None = None
    """Of the peer's certificate; None before its first message."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make the device of a prepared tunnel and probe it.  -> Created, TunnelAnswers, Broken"""

    record: TunnelRecord


@dataclass(frozen=True, slots=True)
class Join:
    """Give the tunnel's device to babeld.  -> NeighbourChanged, Broken"""

    tunnel: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Take the tunnel's device from babeld at once, and keep it.  -> TunnelAnswers, when it works again"""

    tunnel: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take the tunnel from babeld; its device goes on carrying what comes.  -> Retired"""

    tunnel: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the tunnel from babeld and undo what Prepare and Create did, as far as they came."""

    tunnel: str
    peer: Prefix
    reason: str


@dataclass(frozen=True, slots=True)
class KeepRelay:
    """Have (or no longer have) a WebSocket to the registry."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class AskBootstrap:
    """Ask the registry for peers.  -> PeersLearned, BootstrapFailed"""


@dataclass(frozen=True, slots=True)
class AskEndpoints:
    """Ask a routed peer over the overlay where it can be reached.  -> PeersLearned, EndpointsUnknown"""

    peer: Prefix


@dataclass(frozen=True, slots=True)
class Accuse:
    """Tell the operator that a peer takes a prefix that is not its own; its tunnel is being removed."""

    peer: Prefix
    destination: Prefix


@dataclass(frozen=True, slots=True)
class Probe:
    """Measure the underlay RTT to these peers' STUN reflectors.  -> Probed"""

    targets: tuple[tuple[Prefix, Endpoint], ...]


@dataclass(frozen=True, slots=True)
class AskDistances:
    """Ask these routed peers how far the destinations of these tags are.  -> DistancesTold"""

    peers: tuple[Prefix, ...]
    tags: tuple[int, ...]


Command = (
    Prepare
    | Send
    | Create
    | Join
    | Leave
    | Retire
    | Remove
    | KeepRelay
    | AskBootstrap
    | AskEndpoints
    | Accuse
    | Probe
    | AskDistances
)
