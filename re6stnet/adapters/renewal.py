"""Keep the node's certificate in date: renew it in good time, use the new one, warn when that fails.

    30 days left    ask the registry, every hour until it works; the file is replaced in one step
    21 days left    a warning a day: nine days of trying were in vain
     7 days left    an error a day; also once it has ended, as the registry renews it even then

Nothing is restarted: TLS, signatures and new OpenVPN processes take the new certificate at once.  One that
somebody else has put in the place of ours (``re6st-conf``) is taken up, too.
"""

import asyncio
import logging
import random
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from re6st_core.errors import CertificateError, Re6stError
from re6st_core.identity import verify_node_certificate
from re6st_core.netparams import NetworkParameters
from re6stnet.adapters.clock import Clock
from re6stnet.adapters.credentials import Credentials
from re6stnet.enrolment.credentials import request_pem
from re6stnet.enrolment.places import Place
from registry.client import RENEWAL_MARGIN, RegistryClient

log = logging.getLogger(__name__)

LOOK_S = 3600.0
WARN_LEFT, LOUD_LEFT = timedelta(days=21), timedelta(days=7)
CA_WARN_LEFT = timedelta(days=365)
SAY_AGAIN = timedelta(days=1)


class Renewal:
    """``followers`` are called when there is another certificate."""

    def __init__(
        self, credentials: Credentials, client: RegistryClient, clock: Clock, rng: random.Random
    ) -> None:
        self._credentials = credentials
        self._client = client
        self._clock = clock
        self._rng = rng
        self._said: datetime | None = None
        self._failure = ""
        self.followers: list[Callable[[], Awaitable[None]]] = []

    async def run(self) -> None:
        """Look every hour, until cancelled."""
        while True:
            try:
                await self._look()
            except Re6stError as exc:
                self._failure = str(exc)
                log.info("the certificate of this node stays as it is: %s", exc)
            self._say()
            await asyncio.sleep(LOOK_S * self._rng.uniform(0.75, 1.25))

    async def _look(self) -> None:
        await self._take_up()
        if self._left < RENEWAL_MARGIN:
            await self._renew()
            await self._take_up()
        self._failure = ""

    async def _take_up(self) -> None:
        """Use the certificate that is in our file, if it is another one."""
        if not self._credentials.reload():
            return
        self._client.load_certificate()
        identity = self._credentials.identity
        log.info("the certificate of this node is valid until %s now", f"{identity.not_after:%Y-%m-%d}")
        for follow in self.followers:
            await follow()

    async def follow_ca(self, parameters: NetworkParameters) -> None:
        """The signed parameters carry the CA's certificate: use it if it is a renewed one."""
        if not parameters.ca:
            return
        try:
            if not self._credentials.renew_ca(b64decode(parameters.ca, validate=True)):
                return
        except (Re6stError, ValueError) as exc:
            log.error("the CA's certificate in the network parameters is of no use: %s", exc)
            return
        log.info(
            "the CA's certificate is valid until %s now",
            f"{self._credentials.ca.not_valid_after_utc:%Y-%m-%d}",
        )
        for follow in self.followers:
            await follow()

    async def _renew(self) -> None:
        """Ask for a new certificate for our key and put it in the place of the old one, in one step."""
        with Place(self._credentials.cert_path) as place:  # room for it, before anything is asked
            key = self._credentials.key
            certificate = await self._client.renew(request_pem(key, x509.Name([])))
            if certificate.public_key() != key.public_key():
                raise CertificateError("the registry's certificate is for another key than ours")
            identity = verify_node_certificate(certificate, self._credentials.ca, now=None)
            if identity.not_after <= self._credentials.identity.not_after:
                raise CertificateError("the registry gives no certificate that lasts longer")
            place.write(certificate.public_bytes(Encoding.PEM))

    # --- warnings ---------------------------------------------------------------------------------------

    @property
    def _left(self) -> timedelta:
        return self._credentials.identity.not_after - self._clock.now()

    def warnings(self) -> list[str]:
        """What the operator must see to."""
        found = []
        if self._left < WARN_LEFT:
            why = f": {self._failure}" if self._failure else ""
            ends = self._credentials.identity.not_after
            has_ended = "has ended" if self._left < timedelta() else f"ends in {self._left.days} days"
            found.append(
                f"the certificate of this node {has_ended}, on {ends:%Y-%m-%d}; it is not renewed{why}"
            )
        ca_ends = self._credentials.ca.not_valid_after_utc
        if ca_ends - self._clock.now() < CA_WARN_LEFT:
            found.append(f"the certificate of the network's CA ends on {ca_ends:%Y-%m-%d}: ask its operator")
        return found

    def _say(self) -> None:
        """Log the warnings, once a day."""
        now = self._clock.now()
        if self._said is not None and abs(now - self._said) < SAY_AGAIN:
            return
        level = logging.ERROR if self._left < LOUD_LEFT else logging.WARNING
        for warning in self.warnings():
            log.log(level, "%s", warning)
            self._said = now
