"""Who this node is, who belongs to its network, and what time it is there: the parts, put together.

Credentials        own certificate, TLS in both directions
Clock              the host's clock, corrected
Renewal            of our certificate, by the registry
ParametersKeeper   what the network has decided, revocations among it  <-- registry, Spreader
BabelKeys          what authenticates Babel's packets
PeerHttp, PeerApi  questions to peers, and theirs
Prover             who answers for a prefix
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Collection, Iterable

from cryptography import x509

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import CertificateError
from re6st_core.identity import Identity
from re6st_core.mac_key import KEY_PATH, MAX_KEY_MESSAGE
from re6st_core.peer_wire import MAX_MESSAGE
from re6st_core.prefix import Prefix
from re6st_core.spread_wire import MAX_TOLD, PARAMETERS_PATH
from re6stnet.adapters.babel_key import BabelKeys
from re6stnet.adapters.clock import Clock
from re6stnet.adapters.credentials import Credentials
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.peer_api import MESSAGE_PATH, Handler, PeerApi
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.adapters.proving import Prover
from re6stnet.adapters.renewal import Renewal
from re6stnet.adapters.spreading import AT_ONCE, Spreader
from re6stnet.adapters.status import MembershipStatus
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.clock import in_words
from re6stnet.ports import Post
from re6stnet.settings import Settings
from registry.client import RegistryClient


class Membership:
    """Of one node; ``mark``: fwmark of underlay packets."""

    def __init__(
        self, settings: Settings, store: SqliteStore, post: Post, *, mark: int, rng: random.Random
    ) -> None:
        """Raises CertificateError for credentials that do not fit."""
        self._settings = settings
        self._store = store
        self._rng = rng
        self._mark = mark
        self.credentials = Credentials(settings.ca, settings.cert, settings.key)
        self.clock = Clock(self.identity)
        self.renewal: Renewal | None = None
        self.keys: BabelKeys | None = None
        self.prover: Prover | None = None
        self.keeper = ParametersKeeper(
            self.credentials.ca, store, post, own_serial=lambda: self.identity.serial
        )
        self.http = PeerHttp(
            self.identity.network,
            self.credentials.client_context(self._check),
            mark=mark,
            on_date=self.clock.peer_says,
        )

    @property
    def identity(self) -> Identity:
        """What our certificate states."""
        return self.credentials.identity

    def _check(self, certificate: x509.Certificate) -> None:
        """Raises CertificateError for the certificate of a peer that must not be accepted."""
        serial, now = certificate.serial_number, self.clock.now_if_trusted()
        if serial in self.keeper.revoked:
            raise CertificateError(f"certificate {serial:x} is revoked")
        if now is not None and not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise CertificateError(
                f"certificate {serial:x} is valid from {certificate.not_valid_before_utc} "
                f"to {certificate.not_valid_after_utc}, now it is {now}"
            )

    def registry_client(self, stack: contextlib.AsyncExitStack) -> RegistryClient:
        """Calls of the registry, which also tell the time, and renew our certificate.  Raises ConfigError."""
        client = RegistryClient(
            self._settings.registry,
            self.credentials.ca,
            self._settings.cert,
            self._settings.key,
            fwmark=self._mark,
            now=self.clock.now_if_told,
            on_date=self.clock.registry_says,
        )
        stack.push_async_callback(client.close)
        self.renewal = Renewal(self.credentials, client, self.clock, self._rng)
        self.keeper.followers.append(self.renewal.follow_ca)
        self.keys = BabelKeys(
            self._settings.state / "babel.key",
            client,
            self.http,
            self.keeper,
            self.clock,
            peers=self._remembered,
            rng=self._rng,
        )
        return client

    @property
    def babel_keys(self) -> BabelKeys:
        """What authenticates Babel's packets."""
        assert self.keys is not None, "registry_client() was not called"
        return self.keys

    def _remembered(self) -> list[tuple[Prefix, Endpoint | None]]:
        """Peers of the last time, where they can be asked while there is no tunnel."""
        found: list[tuple[Prefix, Endpoint | None]] = []
        for prefix, endpoints in self._store.peers():
            found += [(prefix, each) for each in endpoints if each.protocol is Protocol.TCP][:1]
        return found

    def on_renewed(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Have this called whenever we have another certificate."""
        assert self.renewal is not None, "registry_client() was not called"
        self.renewal.followers.append(follow)

    async def renew(self) -> None:
        """Keep our certificate in date, until cancelled."""
        assert self.renewal is not None, "registry_client() was not called"
        await self.renewal.run()

    async def start_http(self, stack: contextlib.AsyncExitStack) -> None:
        """Be able to ask peers."""
        stack.push_async_callback(self.http.close)
        await self.http.start()

    def api(
        self,
        stack: contextlib.AsyncExitStack,
        endpoints: Callable[[], tuple[Endpoint, ...]],
        messages: Handler,
        spreader: Spreader,
    ) -> PeerApi:
        """What peers may ask."""
        api = PeerApi(
            self.credentials.server_context(self._check),
            endpoints,
            lambda: self.keeper.revoked,
            self.clock.now,
        )
        api.serve(MESSAGE_PATH, messages, limit=MAX_MESSAGE)
        api.serve(PARAMETERS_PATH, spreader.serve, limit=MAX_TOLD, at_once=AT_ONCE)
        api.serve(KEY_PATH, self.babel_keys.serve, limit=MAX_KEY_MESSAGE)
        stack.push_async_callback(api.close)
        return api

    def make_prover(self, reachable: Callable[[], Collection[Prefix]]) -> Prover:
        """Challenges who answers for a prefix."""
        tls = self.credentials.client_context(self._check)
        tls.check_hostname = False  # an impostor shall be named
        self.prover = Prover(self.identity.network, tls, reachable=reachable, rng=self._rng)
        return self.prover

    def status(self, warnings: Iterable[str] = ()) -> MembershipStatus:
        """For ``re6st status``, with more warnings from elsewhere."""
        wrong_by_s, found = self.clock.wrong_by_s, list(warnings)
        parts = (self.renewal, self.keys, self.prover)
        if self.keeper.revokes_us:
            found.append("the certificate of this node is revoked: the others have cut it off")
        if wrong_by_s:
            found.append(f"the clock of this host is {in_words(wrong_by_s)}, says {self.clock.witness}")
        return MembershipStatus(
            revoked=self.keeper.revokes_us,
            clock_wrong_by_s=round(wrong_by_s, 1),
            clock_source=self.clock.source,
            babel_key=self.keys.in_use if self.keys else 0,
            warnings=(*found, *(line for part in parts if part for line in part.warnings())),
        )

    def spreader(self, neighbours: Callable[[], Collection[Prefix]]) -> Spreader:
        """Passes the parameters on; after the first are known."""
        self.babel_keys.peers = lambda: [*((peer, None) for peer in neighbours()), *self._remembered()]
        return Spreader(self.identity.prefix, self.keeper, self.http, neighbours=neighbours, rng=self._rng)
