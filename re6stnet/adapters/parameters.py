"""The newest network parameters that this node knows, whoever brought them: verified, kept, followed.

They have no expiry: a registry that is away does not stop the mesh.  A lower version never replaces a higher
one, neither now nor after a restart.
"""

import logging
from collections.abc import Awaitable, Callable

from cryptography import x509

from re6st_core import logfields as lf
from re6st_core.errors import WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.logfields import describe
from re6st_core.netparams import NetworkParameters, SignedParameters, verify_parameters_untrusted
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import ParametersChanged
from re6stnet.ports import Post

log = logging.getLogger(__name__)
_CACHED = "parameters"


class ParametersKeeper:
    """``own_serial`` tells the serial number of our own certificate, so that a revocation of it is said."""

    def __init__(
        self, ca: x509.Certificate, store: SqliteStore, post: Post, *, own_serial: Callable[[], int]
    ) -> None:
        self._ca = ca
        self._store = store
        self._post = post
        self._own_serial = own_serial
        self._parameters: NetworkParameters | None = None
        self._signed: SignedParameters | None = None
        self.revoked: frozenset[int] = frozenset()
        """Serial numbers of certificates that must not be accepted."""
        self.followers: list[Callable[[NetworkParameters], Awaitable[None]]] = []
        """What must follow besides the engine."""

    @property
    def parameters(self) -> NetworkParameters | None:
        """The newest; None before the first."""
        return self._parameters

    @property
    def signed(self) -> SignedParameters | None:
        """The same, as they may be passed on."""
        return self._signed

    @property
    def version(self) -> int:
        """Of the newest; 0 before the first."""
        return self._parameters.version if self._parameters else 0

    @property
    def revokes_us(self) -> bool:
        """Whether our own certificate is revoked."""
        return self._own_serial() in self.revoked

    def load(self) -> NetworkParameters | None:
        """Those of the last time, from the disk; nothing if there are none that can be used."""
        cached = self._store.value(_CACHED)
        if cached is not None:
            try:
                signed = decode_json_untrusted(SignedParameters, cached)
                self._keep(signed, verify_parameters_untrusted(signed, self._ca))
            except WireError as exc:
                log.warning("cached network parameters are not usable: %s", exc)
        return self._parameters

    async def take(self, signed: SignedParameters, source: object) -> bool:
        """Follow these if they are newer; whether they are.  Raises WireError if they are not genuine."""
        parameters = verify_parameters_untrusted(signed, self._ca)
        if parameters.version <= self.version:
            return False
        log.info(describe("network parameters", {lf.VERSION: parameters.version, lf.SOURCE: source}))
        self._keep(signed, parameters)
        self._store.save_value(_CACHED, encode_json(signed))
        self._post(ParametersChanged(parameters))
        for follow in self.followers:
            await follow(parameters)
        return True

    def _keep(self, signed: SignedParameters, parameters: NetworkParameters) -> None:
        known = self.revokes_us
        self._signed, self._parameters = signed, parameters
        self.revoked = frozenset(parameters.revoked)
        if self.revokes_us and not known:
            log.error("the certificate of this node is revoked: the others cut it off")
