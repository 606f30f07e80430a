"""What carries a tunnel between two nodes: WireGuard over their UDP ports, or OpenVPN over TCP."""

from typing import TYPE_CHECKING

from netns_lab.model.nat import Address

if TYPE_CHECKING:
    from netns_lab.model.node import Node

LAN_S = 0.0002
"""One way between two machines on one LAN."""
OPENVPN_SILENCE_S = 4.0
"""``--ping-exit``: the client's process ends, and the daemon learns it."""


class WireguardCarrier:
    """A device at each end; a direction works when the other end's device gets what this one sends."""

    openvpn = False

    def __init__(self, nonce: str, one: "Node", other: "Node") -> None:
        self._nonce = nonce
        self._ends = one, other

    def carries(self, end: int) -> bool:
        """Whether hellos of this end reach the other's device; as authenticated packets they also show where
        this end is now."""
        sender, receiver = self._ends[end], self._ends[1 - end]
        arrived = sender.udp.reaches(self._nonce)
        if arrived is None or arrived[0] is not receiver.host:
            return False
        device = receiver.udp.devices.get(self._nonce)
        if device is None or not device.session or receiver.udp.claimant(arrived[1]) is not device:
            return False
        device.endpoint = arrived[1]
        return True

    def one_way_s(self, end: int) -> float:
        """Delay of the path, without noise."""
        sender, receiver = self._ends[end], self._ends[1 - end]
        return sender.underlay.delay_s(sender.host.site, receiver.host.site)

    def loss(self) -> float:
        """What the weather takes, if the packets go through it."""
        one, other = self._ends
        return one.underlay.weather.loss if one.host.site != other.host.site else 0.0


class OpenvpnCarrier:
    """One TCP connection, made by the client; packets of a path that loses some come late, not never."""

    openvpn = True

    def __init__(self, client: "Node", server: "Node", endpoint: Address, port: int, *, first: bool) -> None:
        """``first``: the client is end 0."""
        self._client = client
        self._server = server
        self._endpoint = endpoint
        self._port = port
        self._ends = (client, server) if first else (server, client)
        self.connected = True
        """Until the client's process ends, or either machine dies."""

    def carries(self, end: int) -> bool:
        """Both ways or none."""
        if not self.connected or not self._server.tcp_server:
            return False
        arrived = self._client.underlay.way(self._client.host, "tcp", self._port, self._endpoint, keep=True)
        return arrived is not None and arrived.host is self._server.host

    def one_way_s(self, end: int) -> float:
        """Delay of the path, without noise."""
        return self._client.underlay.delay_s(self._ends[end].host.site, self._ends[1 - end].host.site)

    def loss(self) -> float:
        """None: TCP repeats."""
        return 0.0

    def close(self) -> None:
        """The connection ends."""
        self.connected = False
        self._client.underlay.release(self._client.host, "tcp", self._port, self._endpoint)


class LanCarrier:
    """No tunnel: two nodes that speak Babel on the LAN they share."""

    openvpn = False

    def __init__(self, one: "Node", other: "Node") -> None:
        self._ends = one, other

    def carries(self, end: int) -> bool:
        """As long as both are on the LAN and alive."""
        one, other = self._ends
        return one.host.alive and other.host.alive and one.host.realm is other.host.realm

    def one_way_s(self, end: int) -> float:
        """A LAN's."""
        return LAN_S

    def loss(self) -> float:
        """None."""
        return 0.0
