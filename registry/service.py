"""What can be asked of a registry, each as one transaction: decide, sign, store, answer.

Synchronous, for one thread; the HTTP server and the command line both come here.
"""

import base64
import hashlib
import logging
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caucase_ca.authority import Authority
from caucase_ca.policy import load_request_untrusted
from re6st_core.errors import CertificateError
from re6st_core.identity import Identity
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import EnrolRequest
from registry import publication
from registry.domain import joining
from registry.domain.allocation import release
from registry.domain.records import Held, Node, Token
from registry.errors import BadRequestError, NotAllowedError, StoreFailedError, StoreFullError
from registry.publication import Publication
from registry.settings import Settings
from registry.store.database import Database
from registry.store.transaction import Transaction

_log = logging.getLogger(__name__)
FRESH = timedelta(seconds=1)
"""For how long another process's revocation may go unnoticed: every request asks for the newest list."""
MAX_TOKENS = 10_000
"""At once: whoever types one zero too many does not wait for minutes."""
MAX_TEXT = 200
"""Characters of the email, location and names that a node gives."""


class Registry:
    """One network's members: who is, who may be, who is no more."""

    def __init__(self, settings: Settings, authority: Authority, database: Database) -> None:
        self.settings = settings
        self.authority = authority
        self.database = database
        self._publication: Publication | None = None
        self._looked: datetime | None = None
        """When we last looked in the database for a newer publication."""

    # For nodes

    def enrol(self, request: EnrolRequest, now: datetime) -> Held:
        """Certificate for a new node, or the one that its key has.

        Raises BadRequestError, NotAllowedError, NoPrefixError, StoreFailedError, StoreFullError.
        """
        csr = _request(request.csr)
        for name, text in (
            ("token", request.token),
            ("email", request.email),
            ("location", request.location),
        ):
            if text is not None and (len(text) > MAX_TEXT or not text.isprintable()):
                raise BadRequestError(f"{name}: at most {MAX_TEXT} printable characters")
        key = key_digest(csr)
        with self.database.write() as transaction:
            decision = joining.join(
                transaction,
                key,
                request.token,
                free_bits=self.settings.network.free_bits,
                anonymous_prefix_length=self.settings.anonymous_prefix_length,
                now=now,
            )
            if isinstance(decision, Held):
                return decision
            number = transaction.add_node(
                decision.prefix,
                email=decision.token.email if decision.token else request.email,
                location=request.location,
                subject=_subject(csr),
                now=now,
            )
            if decision.token:
                transaction.use_token(decision.token.text, decision.prefix, key, now)
            held = self._issue(transaction, csr, decision.prefix, number, now)
        _log.info("%s joined", held.prefix)
        return held

    def renew(self, identity: Identity, csr_pem: str, now: datetime) -> Held:
        """New certificate for a member.  Raises as :meth:`enrol` does, and TooManyError."""
        csr = _request(csr_pem)
        with self.database.write() as transaction:
            held = joining.renew(transaction, identity.prefix, key_digest(csr), now)
            if held is None:
                node = transaction.node(identity.prefix)
                assert node is not None  # renew() would have raised
                held = self._issue(transaction, csr, identity.prefix, node.number, now)
                _log.info("%s has a new certificate", held.prefix)
        return held

    def fresh(self, now: datetime) -> Publication | None:
        """What is published, if we looked a moment ago; reads nothing, any thread may ask."""
        publication, looked = self._publication, self._looked
        if publication is None or looked is None or not looked <= now < min(looked + FRESH, publication.due):
            return None
        return publication

    def published(self, now: datetime) -> Publication:
        """The newest parameters and revocation list; old ones rather than none if the disk is bad."""
        if publication := self.fresh(now):
            return publication
        return self._look(now)

    def newest(self, now: datetime) -> Publication:
        """The same, looked for now, however lately that was done."""
        return self._look(now)

    def _look(self, now: datetime) -> Publication:
        try:
            with self.database.read() as transaction:
                if self._publication is None or transaction.publication_key() != self._publication.key:
                    self._publication = publication.load(transaction)
            if self._publication is None or now >= self._publication.due:
                self._publication = self._refresh(now)
        except (StoreFullError, StoreFailedError) as exc:
            if self._publication is None:
                raise
            _log.warning("old parameters are served: %s", exc)
        self._looked = now
        return self._publication

    def see(self, prefix: Prefix, endpoints: str | None, now: datetime) -> str:
        """Store that a node called, and where it can be reached if it said so; return where that is.

        Raises StoreFailedError, StoreFullError.
        """
        with self.database.write() as transaction:
            return transaction.see_node(prefix, endpoints, now)

    def last_seen(self, count: int, now: datetime) -> list[Node]:
        """The members that called last, however long ago.  Raises StoreFailedError."""
        with self.database.read() as transaction:
            return transaction.last_seen(count, now)

    def nodes_seen_since(self, when: datetime) -> list[tuple[Node, int]]:
        """Nodes that called since, with the serial number of their newest certificate."""
        with self.database.read() as transaction:
            return transaction.nodes_seen_since(when)

    # For the operator

    def add_token(
        self, email: str, prefix_length: int | None, now: datetime, text: str | None = None
    ) -> Token:
        """A new token.  Raises BadRequestError for an impossible length, or a token that exists."""
        length = self._token_length(prefix_length)
        if text is None:
            text = _random_token()
        if not 8 <= len(text) <= MAX_TEXT or not text.isprintable():
            raise BadRequestError(f"a token has 8 to {MAX_TEXT} printable characters")
        token = Token(text=text, email=email, prefix_length=length, created=now)
        with self.database.write() as transaction:
            if transaction.token(text):
                raise BadRequestError("this token exists already")
            transaction.add_token(token)
        return token

    def add_tokens(self, count: int, email: str, prefix_length: int | None, now: datetime) -> list[Token]:
        """``count`` random tokens, all or none.  Raises BadRequestError as :meth:`add_token` does."""
        if not 1 <= count <= MAX_TOKENS:
            raise BadRequestError(f"{count} tokens are outside 1..{MAX_TOKENS}")
        length = self._token_length(prefix_length)
        tokens = [
            Token(text=_random_token(), email=email, prefix_length=length, created=now) for _ in range(count)
        ]
        with self.database.write() as transaction:
            for token in tokens:
                transaction.add_token(token)
        return tokens

    def _token_length(self, wanted: int | None) -> int:
        length = self.settings.prefix_length if wanted is None else wanted
        if not 1 <= length <= self.settings.network.free_bits:
            raise BadRequestError(f"prefix length {length} is outside 1..{self.settings.network.free_bits}")
        return length

    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        with self.database.read() as transaction:
            return transaction.tokens()

    def delete_token(self, text: str) -> None:
        """Raises NotAllowedError if there is no such token."""
        with self.database.write() as transaction:
            if not transaction.delete_token(text):
                raise NotAllowedError("there is no such token")

    def nodes(self) -> list[Node]:
        """All members, also revoked ones until their prefix is free again."""
        with self.database.read() as transaction:
            return transaction.nodes()

    def revoke(self, prefix: Prefix, now: datetime) -> Publication:
        """Cut a node off for good; its prefix stays taken until its certificates have ended.

        Raises NotAllowedError if there is no such node.
        """
        with self.database.write() as transaction:
            if transaction.node(prefix) is None:
                raise NotAllowedError(f"there is no node {prefix}")
            transaction.revoke(prefix, now)
            published = publication.refresh(transaction, self.authority, None, now)
        self._publication = published
        return published

    def mac_key(self, epoch: int, now: datetime) -> bytes:
        """The key of Babel's packets with this number.  Raises NotAllowedError if there is none yet."""
        if not 0 < epoch <= self.published(now).parameters.mac_epoch:
            raise NotAllowedError(f"there is no key {epoch}")
        return publication.mac_key(self.authority, epoch)

    def rotate_key(self, after: timedelta, now: datetime) -> NetworkParameters:
        """A new key for Babel's packets, used from ``after`` on; nodes fetch it meanwhile.

        Raises NotAllowedError if the network has none, or the last change is still under way.
        """
        with self.database.write() as transaction:
            current = publication.refresh(transaction, self.authority, None, now).parameters
            if not current.mac_epoch:
                raise NotAllowedError("the packets of Babel are not authenticated in this network")
            if now.timestamp() < current.mac_from:
                raise NotAllowedError(f"key {current.mac_epoch} is not in use yet: wait until it is")
            wanted = replace(
                current, mac_epoch=current.mac_epoch + 1, mac_from=int((now + after).timestamp())
            )
            published = publication.refresh(transaction, self.authority, wanted, now)
        self._publication = published
        return published.parameters

    # Upkeep

    def start(self, now: datetime) -> None:
        """Publish the operator's parameters, if they changed.  Raises StoreFailedError, StoreFullError."""
        self._publication = self._refresh(now)

    def clean_up(self, now: datetime) -> None:
        """Forget old tokens, and nodes that ended long ago: their prefixes are free again."""
        with self.database.write() as transaction:
            transaction.delete_tokens_before(now - joining.TOKEN_LIFETIME - joining.GRACE)
            for prefix in transaction.expired_nodes(now - joining.GRACE):
                transaction.delete_node(prefix)
                release(transaction, prefix)
                _log.info("%s is free again", prefix)

    def server_serial(self) -> int:
        """A serial number for the registry's own certificate."""
        with self.database.write() as transaction:
            return transaction.next_serial(self.authority.certificate.serial_number)

    def _refresh(self, now: datetime) -> Publication:
        with self.database.write() as transaction:
            return publication.refresh(transaction, self.authority, self.settings.parameters, now)

    def _issue(
        self,
        transaction: Transaction,
        csr: x509.CertificateSigningRequest,
        prefix: Prefix,
        number: int,
        now: datetime,
    ) -> Held:
        serial = transaction.next_serial(self.authority.certificate.serial_number)
        certificate = self.authority.issue_node(csr, prefix, number=number, serial=serial, now=now)
        held = Held(
            serial=serial,
            prefix=prefix,
            key=key_digest(csr),
            pem=certificate.public_bytes(Encoding.PEM).decode(),
            issued=now,
            expires=certificate.not_valid_after_utc,
        )
        transaction.add_certificate(held)
        return held


def key_digest(holder: x509.CertificateSigningRequest | x509.Certificate) -> bytes:
    """SHA-256 of the public key."""
    public = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()


def _request(pem: str) -> x509.CertificateSigningRequest:
    try:
        return load_request_untrusted(pem)
    except CertificateError as exc:
        raise BadRequestError(str(exc)) from exc


def _random_token() -> str:
    return base64.b32encode(secrets.token_bytes(15)).decode().lower()


def _subject(csr: x509.CertificateSigningRequest) -> str:
    """The names that a request asks for, as one printable line."""
    try:
        text = csr.subject.rfc4514_string()
    except ValueError:
        return ""
    return "".join(c if c.isprintable() else "?" for c in text)[:MAX_TEXT]
