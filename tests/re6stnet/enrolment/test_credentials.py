"""Key, request and the names in it."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from caucase_ca.authority import Authority
from caucase_ca.policy import load_request_untrusted
from re6st_core.errors import CertificateError, ConfigError
from re6stnet.enrolment.credentials import certificate_in, key_in, request_pem, subject
from tests.helpers.registry import NETWORK, now


@pytest.fixture(scope="module")
def ca() -> x509.Certificate:
    return Authority.create(NETWORK, now=now()).certificate


def test_the_key_is_made_once_and_is_ours_alone(ca: x509.Certificate, tmp_path: Path) -> None:
    path = tmp_path / "cert.key"
    key = key_in(path, ca)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_in(path, ca).public_key() == key.public_key()


def test_a_network_with_an_rsa_key_gets_rsa_keys_of_the_same_size(tmp_path: Path) -> None:
    ca = Authority.create(NETWORK, now=now(), rsa_bits=2048).certificate
    key = key_in(tmp_path / "cert.key", ca)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"garbage",
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        ),
    ],
    ids=["empty", "garbage", "Ed25519", "with password"],
)
def test_a_file_that_is_no_key_of_ours_is_named_and_kept(
    ca: x509.Certificate, tmp_path: Path, pem: bytes
) -> None:
    path = tmp_path / "cert.key"
    path.write_bytes(pem)
    with pytest.raises(CertificateError, match=r"cert\.key"):
        key_in(path, ca)
    assert path.read_bytes() == pem


def test_the_request_carries_the_names_and_a_good_signature(ca: x509.Certificate, tmp_path: Path) -> None:
    names = subject([("O", "Some Company"), ("2.5.4.5.1", "x"), ("C", "FR")])
    request = load_request_untrusted(request_pem(key_in(tmp_path / "key", ca), names))
    assert request.subject == names


def test_all_wrong_names_are_told() -> None:
    wrong = [("CN", "2/16"), ("serial", "1"), ("Colour", "blue"), ("C", "France"), ("O", "")]
    with pytest.raises(ConfigError) as caught:
        subject(wrong)
    assert len(caught.value.problems) == len(wrong)


def test_certificate_files(tmp_path: Path) -> None:
    assert certificate_in(tmp_path / "none") is None
    (tmp_path / "bad").write_text("garbage")
    with pytest.raises(CertificateError, match="bad: not a certificate"):
        certificate_in(tmp_path / "bad")
    with pytest.raises(ConfigError, match="cannot be read"):
        certificate_in(tmp_path)
