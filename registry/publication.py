"""The signed documents that all nodes need: parameters and revocation list, made once per change.

They are kept in the database, so that every process serves the same bytes, and a restart too.
"""

from base64 import b64encode
from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from caucase_ca.authority import Authority
from caucase_ca.policy import CRL_RENEWAL
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.mac_key import derive_key
from re6st_core.netparams import NetworkParameters, sign_parameters
from registry.domain.publishing import next_parameters
from registry.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Publication:
    """What is served."""

    parameters: NetworkParameters
    signed: bytes
    """JSON of SignedParameters."""
    crl: bytes
    """PEM."""
    crl_number: int
    due: datetime
    """When it must be made again though nothing changes: the list, or a certificate on it, ends."""

    @property
    def key(self) -> tuple[int, int]:
        """Changes whenever the content does."""
        return self.parameters.version, self.crl_number

    def is_revoked(self, serial: int) -> bool:
        """Whether the certificate with this serial number must not be accepted."""
        place = bisect_left(self.parameters.revoked, serial)
        return self.parameters.revoked[place : place + 1] == (serial,)


def mac_key(authority: Authority, epoch: int) -> bytes:
    """The key that authenticates Babel's packets in this epoch."""
    secret = authority.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return derive_key(secret, epoch)


def load(transaction: Transaction) -> Publication | None:
    """The documents in the database."""
    row = transaction.publication()
    if row is None:
        return None
    return Publication(
        decode_json_untrusted(NetworkParameters, row["parameters"], max_size=1 << 30),
        row["signed"].encode(),
        row["crl"].encode(),
        row["crl_number"],
        datetime.fromtimestamp(row["due"], UTC),
    )


def refresh(
    transaction: Transaction, authority: Authority, wanted: NetworkParameters | None, now: datetime
) -> Publication:
    """Make the documents again if what they say has changed, or if they are due.

    ``wanted``: the operator's parameters; None keeps those in the database.
    """
    old = load(transaction)
    if wanted is None:
        wanted = old.parameters if old else NetworkParameters(version=1)
    if not wanted.mac_epoch:  # the operator's settings do not have it
        epoch, since = (old.parameters.mac_epoch, old.parameters.mac_from) if old else (1, 0)
        wanted = replace(wanted, mac_epoch=epoch, mac_from=since)
    digest = sha256(mac_key(authority, wanted.mac_epoch)).hexdigest() if wanted.mac_epoch else ""
    der = authority.certificate.public_bytes(Encoding.DER)
    wanted = replace(wanted, mac_digest=digest, ca=b64encode(der).decode())
    revoked = transaction.revoked(now)
    parameters = next_parameters(
        old.parameters if old else None, wanted, [serial for serial, _, _ in revoked]
    )
    if old and parameters == old.parameters and now < old.due:
        return old
    number = transaction.next_crl_number()
    crl = authority.issue_crl([(serial, when) for serial, when, _ in revoked], number=number, now=now)
    new = Publication(
        parameters,
        encode_json(sign_parameters(parameters, authority.key)),
        crl.public_bytes(Encoding.PEM),
        number,
        min([now + CRL_RENEWAL, *(expires for _, _, expires in revoked)]),
    )
    transaction.publish(
        {
            "version": parameters.version,
            "crl_number": number,
            "parameters": encode_json(parameters).decode(),
            "signed": new.signed.decode(),
            "crl": new.crl.decode(),
            "due": int(new.due.timestamp()) + 1,
        }
    )
    return new
