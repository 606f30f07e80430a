"""The node's key and its certificate request."""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier

from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import load_certificate_untrusted
from re6stnet.enrolment.places import Place

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ATTRIBUTES = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "title": NameOID.TITLE,
    "street": NameOID.STREET_ADDRESS,
    "UID": NameOID.USER_ID,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}


def subject(attributes: Sequence[tuple[str, str]]) -> x509.Name:
    """Names for the request, from ``--req``.  Raises ConfigError listing every mistake."""
    problems, names = [], []
    for name, value in attributes:
        if name in ("CN", "serial", "serialNumber", "commonName"):
            problems.append(f"--req {name}: the registry decides on it")
            continue
        if not value or not value.isprintable():
            problems.append(f"--req {name} {value!r}: the value must be printable text")
            continue
        try:
            names.append(x509.NameAttribute(_oid(name), value))
        except (ValueError, KeyError) as exc:
            reason = exc if isinstance(exc, ValueError) else f"known are {', '.join(ATTRIBUTES)} and OIDs"
            problems.append(f"--req {name} {value!r}: {reason}")
    if problems:
        raise ConfigError(*problems)
    return x509.Name(names)


def _oid(name: str) -> ObjectIdentifier:
    return ObjectIdentifier(name) if name[:1].isdigit() else ATTRIBUTES[name]


def key_in(path: Path, ca: x509.Certificate) -> PrivateKey:
    """The key in this file; made, of the kind that the network uses, if there is none.

    EC P-256, or RSA of the CA's size where the CA has an RSA key.  Raises ConfigError, CertificateError.
    """
    if path.exists():
        return _load_key(path)
    ca_key = ca.public_key()
    made: PrivateKey
    if isinstance(ca_key, rsa.RSAPublicKey):
        made = rsa.generate_private_key(65537, ca_key.key_size)
    else:
        made = ec.generate_private_key(ec.SECP256R1())
    with Place(path, mode=0o600) as place:
        place.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def certificate_in(path: Path) -> x509.Certificate | None:
    """The certificate in this file, if there is one.  Raises ConfigError, CertificateError."""
    try:
        return load_certificate_untrusted(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    except CertificateError as exc:
        raise CertificateError(f"{path}: {exc}") from exc


def request_pem(key: PrivateKey, names: x509.Name) -> str:
    """Certificate request, which proves that we hold the key."""
    request = x509.CertificateSigningRequestBuilder().subject_name(names).sign(key, hashes.SHA512())
    return request.public_bytes(Encoding.PEM).decode()


def _load_key(path: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise CertificateError(f"{path} is not a private key without password: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(f"{path} is neither an EC nor an RSA key")
    return key
