"""Make and remove what a tunnel is made of, as the node's tunnel manager does; it outlives the daemon."""

import base64
import hashlib
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.nat import Address
from netns_lab.model.tunnels import OPENVPN_SILENCE_S, OpenvpnCarrier
from re6st_core.address import Endpoint, Protocol
from re6st_core.peer_wire import WIREGUARD
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import Broken, Created, Prepare, Prepared, TunnelRecord

if TYPE_CHECKING:
    from netns_lab.model.node import Node

CREATE_S = 0.15
"""wireguard-go's start, the device's set-up."""
CONNECT_S = 5.0
"""OpenVPN's ``--connect-timeout``."""


class TunnelManager:
    """One node's ends of its tunnels, by nonce."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._mesh = node.mesh
        self._made: dict[str, TunnelRecord] = {}
        self._clients: dict[str, OpenvpnCarrier] = {}

    @property
    def records(self) -> tuple[TunnelRecord, ...]:
        """All that exist, as the next daemon finds them."""
        return tuple(self._made.values())

    def holds(self, nonce: str) -> bool:
        """Whether our end of a tunnel exists."""
        return nonce in self._made

    def client(self, nonce: str) -> OpenvpnCarrier | None:
        """The TCP connection of a tunnel that we opened."""
        return self._clients.get(nonce)

    def clear(self) -> None:
        """The machine is gone, and everything with it."""
        self._made.clear()
        self._clients.clear()

    def prepare(self, command: Prepare) -> None:
        """Make a key; ask the peer's reflector where our packets come from."""
        if command.transport != WIREGUARD:
            self._node.post(Prepared(command.tunnel, ""))
            return
        key = _key(command.tunnel, self._node.prefix)
        if command.server is None:
            self._node.post(Prepared(command.tunnel, key))
            return

        def done(mapped: Address | None, rtt_s: float) -> None:
            source = mapped and Endpoint(IPv4Address(mapped[0]), mapped[1], Protocol.UDP)
            self._node.post(Prepared(command.tunnel, key, source, round(rtt_s * 1e6) if source else None))

        self._node.udp.ask(_address(command.server), done)

    def create(self, record: TunnelRecord) -> None:
        """Make the device or the connection."""
        self._made[record.tunnel] = record
        if record.transport == WIREGUARD:
            self._node.later(CREATE_S, partial(self._create_wireguard, record))
        elif record.initiator:
            self._connect(record)
        else:
            self._mesh.link(record.tunnel, self._node, record.peer)
            self._node.post(Created(record.tunnel))

    def _create_wireguard(self, record: TunnelRecord) -> None:
        if record.tunnel not in self._made:
            return
        assert record.endpoint is not None, "WireGuard knows where to send to"
        key = _key(record.tunnel, self._node.prefix)
        self._node.udp.add(record.tunnel, key, record.peer_key, _address(record.endpoint))
        self._mesh.link(record.tunnel, self._node, record.peer)
        self._mesh.refresh(self._node)
        self._node.post(Created(record.tunnel))

    def _connect(self, record: TunnelRecord) -> None:
        """OpenVPN's client: TCP, then TLS with the server that is found there."""
        assert record.endpoint is not None, "an OpenVPN client connects to an endpoint"
        to, port = _address(record.endpoint), self._node.ephemeral_port()
        peer = self._mesh.by_prefix[record.peer]
        arrived = self._mesh.underlay.way(self._node.host, "tcp", port, to)
        if arrived is None or not peer.serves_openvpn(arrived.host, to[1]):
            wait_s = CONNECT_S if arrived is None else 0.5
            self._node.later(wait_s, partial(self._broken, record.tunnel, "does not get up"))
            return
        self._mesh.ledger.add(self._node.name, "openvpn", wire.tls_opening(wire.OPENVPN_HANDSHAKE))
        self._mesh.ledger.add(
            peer.name, "openvpn", wire.tls_opening(wire.OPENVPN_HANDSHAKE + wire.TLS_SERVER)
        )
        delay_s = self._mesh.underlay.one_way_s(self._node.host.site, peer.host.site)
        self._node.later(8 * delay_s + CREATE_S, partial(self._connected, record, peer, to, port))

    def _connected(self, record: TunnelRecord, peer: "Node", to: Address, port: int) -> None:
        if record.tunnel not in self._made:
            return
        carrier = OpenvpnCarrier(self._node, peer, to, port, first=self._node.index < peer.index)
        if not carrier.carries(0):
            self._node.later(CONNECT_S, partial(self._broken, record.tunnel, "does not get up"))
            return
        self._clients[record.tunnel] = carrier
        self._mesh.link(record.tunnel, self._node, record.peer)
        self._node.post(Created(record.tunnel))

    def _broken(self, nonce: str, reason: str) -> None:
        if nonce in self._made:
            self._node.post(Broken(nonce, reason))

    def remove(self, nonce: str) -> None:
        """Undo it; babeld first, as the node does."""
        if self._made.pop(nonce, None) is None:
            return
        self._node.babel.down(nonce, tell=False)
        self._node.udp.remove(nonce)
        if (carrier := self._clients.pop(nonce, None)) is not None:
            carrier.close()
        self._node.probes.forget(nonce)
        self._mesh.unlink_end(nonce, self._node)
        self._mesh.refresh(self._node)

    def silent(self, nonce: str) -> None:
        """A TCP connection of ours carries nothing: after a while its process ends."""

        def look() -> None:
            carrier = self._clients.get(nonce)
            if carrier is not None and not carrier.carries(0):
                carrier.close()
                self._clients.pop(nonce, None)
                self._broken(nonce, "OpenVPN ended")

        self._mesh.agenda.after(OPENVPN_SILENCE_S + self._mesh.rng.random(), look)


def _key(nonce: str, prefix: Prefix) -> str:
    """A WireGuard key's text, the same in each run."""
    return base64.b64encode(hashlib.sha256(f"{nonce} {prefix}".encode()).digest()).decode()


def _address(endpoint: Endpoint) -> Address:
    return int(endpoint.ip), endpoint.port
