"""Who answers for a prefix: asked of the prefix's own address, over the overlay, and proved.

The challenge is the one that TLS 1.3 begins with: who answers must sign what we have drawn by chance, with
the key of its certificate (RFC 8446 §4.4.3), and its certificate states its prefix.  No session is resumed,
which would leave that out.  It needs a TCP connection first, so nobody can make us send to somebody else.

Each node asks for a prefix now and then, drawn among those that it has a route to: who takes the traffic of
others for itself is found out and said.
"""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from re6st_core import logfields as lf
from re6st_core.errors import CertificateError
from re6st_core.identity import load_certificate_untrusted, prefix_of_certificate
from re6st_core.logfields import describe
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.peer_api import PEER_PORT

log = logging.getLogger(__name__)

CONNECT_S, HANDSHAKE_S = 3.0, 5.0
SPOT_CHECK_S = 60.0
MAX_IMPOSTORS = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """Outcome of one challenge; proven if it was ``answered_by`` the prefix that was asked."""

    prefix: Prefix
    answered_by: Prefix | None
    """The prefix in the certificate of who answered; None: nobody did, or nobody of this network."""
    rtt_us: int | None
    """Of the first packets of the connection; None: nobody answered."""
    reason: str
    """Why nobody is proven to have answered; empty if somebody is."""

    @property
    def proven(self) -> bool:
        """Whether the prefix's own node answered."""
        return self.answered_by == self.prefix


class Prover:
    """``tls`` must not check names: whoever answers shall be known; ``reachable`` tells where routes go."""

    def __init__(
        self,
        network: Network,
        tls: ssl.SSLContext,
        *,
        reachable: Callable[[], Collection[Prefix]],
        rng: random.Random,
        port: int = PEER_PORT,
    ) -> None:
        assert not tls.check_hostname, "an impostor could not be named"
        self._network = network
        self._tls = tls
        self._reachable = reachable
        self._rng = rng
        self._port = port
        self._one_at_a_time = asyncio.Lock()
        self._impostors: dict[Prefix, Prefix] = {}

    async def prove(self, prefix: Prefix) -> Proof:
        """Challenge who answers at the address of this prefix; takes a few seconds at most."""
        async with self._one_at_a_time:
            proof = await self._challenge(prefix)
        self._note(proof)
        return proof

    async def run(self) -> None:
        """Challenge somebody now and then, until cancelled."""
        while True:
            await asyncio.sleep(SPOT_CHECK_S * self._rng.uniform(0.75, 1.25))
            if candidates := sorted(self._reachable()):
                await self.prove(self._rng.choice(candidates))

    def warnings(self) -> list[str]:
        """What the operator must see to."""
        return [f"{impostor} answers for {prefix}" for prefix, impostor in self._impostors.items()]

    def _note(self, proof: Proof) -> None:
        if proof.answered_by is None:
            return  # gone, or on its way: no news of who it is
        if proof.proven:
            if self._impostors.pop(proof.prefix, None) is not None:
                log.info(describe("the prefix's own node answers again", {lf.PREFIX: proof.prefix}))
            return
        if self._impostors.get(proof.prefix) != proof.answered_by:
            fields: dict[str, object] = {lf.PREFIX: proof.prefix, lf.PEER: proof.answered_by}
            log.error(describe("another node answers for a prefix", fields))
        while len(self._impostors) >= MAX_IMPOSTORS:
            del self._impostors[next(iter(self._impostors))]
        self._impostors[proof.prefix] = proof.answered_by

    async def _challenge(self, prefix: Prefix) -> Proof:
        loop = asyncio.get_running_loop()
        address = str(self._network.address(prefix))
        rtt_us: int | None = None
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
                connection.setblocking(False)
                began = loop.time()
                async with asyncio.timeout(CONNECT_S):
                    await loop.sock_connect(connection, (address, self._port))
                rtt_us = round((loop.time() - began) * 1e6)
                der = await self._shake_hands(connection.dup(), address)
            answered_by = prefix_of_certificate(load_certificate_untrusted(der))
        except (OSError, TimeoutError, CertificateError) as exc:
            return Proof(prefix, None, rtt_us, str(exc) or "no answer")
        return Proof(prefix, answered_by, rtt_us, "")

    async def _shake_hands(self, connection: socket.socket, address: str) -> bytes:
        """The certificate of who answers, which has proved to be its own.  Raises OSError."""
        connection.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol,
            sock=connection,
            ssl=self._tls,
            server_hostname=address,
            ssl_handshake_timeout=HANDSHAKE_S,
        )
        ssl_object = transport.get_extra_info("ssl_object")
        der: bytes = ssl_object.getpeercert(binary_form=True)
        transport.abort()
        return der
