"""Own certificate, key and CA: each mistake is named with its file and the way out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from caucase_ca.authority import Authority
from re6st_core.errors import CertificateError
from re6st_core.prefix import Prefix
from tests.helpers.node_certificates import authority, issue, load, write_node

NODE = Prefix(16, 7)


def test_good_files_say_who_we_are(tmp_path: Path) -> None:
    credentials = load(write_node(tmp_path, authority(), NODE))
    assert credentials.identity.prefix == NODE
    assert "PRIVATE" not in repr(credentials)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    ca = authority()
    here, there = write_node(tmp_path, ca, NODE), write_node(tmp_path, ca, Prefix(16, 8))
    (here / "cert.key").write_bytes((there / "cert.key").read_bytes())
    with pytest.raises(CertificateError, match="was not made for the key"):
        load(here)


def test_a_certificate_of_another_network_is_refused(tmp_path: Path) -> None:
    here = write_node(tmp_path, authority(), NODE)
    (here / "ca.crt").write_bytes(authority().certificate_pem)
    with pytest.raises(CertificateError, match=r"cert\.crt: .*not issued by"):
        load(here)


def test_one_that_has_ended_is_read_as_the_registry_will_renew_it(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    assert load(write_node(tmp_path, authority(), NODE, now=long_ago)).identity.prefix == NODE


@pytest.mark.parametrize("name", ["ca.crt", "cert.crt", "cert.key"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n", None])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    here = write_node(tmp_path, authority(), NODE)
    (here / name).unlink()
    if content is not None:
        (here / name).write_bytes(content)
    with pytest.raises(CertificateError, match=name):
        load(here)


def test_a_renewed_certificate_is_taken_up_once(tmp_path: Path) -> None:
    ca = authority()
    here = write_node(tmp_path, ca, NODE, 1)
    credentials = load(here)
    context = credentials.server_context()
    assert not credentials.reload()
    renew(here, ca, NODE, 2)
    assert credentials.reload()
    assert credentials.identity.serial == 2
    assert not credentials.reload()
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_certificate_of_another_node_is_not_taken_up(tmp_path: Path) -> None:
    ca = authority()
    here = write_node(tmp_path, ca, NODE, 1)
    credentials = load(here)
    renew(here, ca, Prefix(16, 8), 2)
    with pytest.raises(CertificateError, match="restart"):
        credentials.reload()
    assert credentials.identity.serial == 1


def renew(here: Path, ca: Authority, prefix: Prefix, serial: int) -> None:
    """Another certificate for the same key."""
    key = load_pem_private_key((here / "cert.key").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    (here / "cert.crt").write_bytes(issue(ca, key, prefix, serial).public_bytes(Encoding.PEM))


def test_a_renewed_certificate_of_the_ca_is_kept_and_only_that(tmp_path: Path) -> None:
    ca = authority()
    here = write_node(tmp_path, ca, NODE, 1)
    credentials = load(here)
    context = credentials.server_context()
    later = ca.renewed(datetime.now(UTC) + timedelta(days=7000))
    assert credentials.renew_ca(later.certificate.public_bytes(Encoding.DER))
    assert load(here).ca == later.certificate, "on disk, and our own certificate is still good"
    assert context.cert_store_stats()["x509_ca"] == 2
    assert not credentials.renew_ca(ca.certificate.public_bytes(Encoding.DER)), "never back to an earlier end"
    with pytest.raises(CertificateError, match="another CA"):
        credentials.renew_ca(authority().certificate.public_bytes(Encoding.DER))
    with pytest.raises(CertificateError):
        credentials.renew_ca(b"garbage")
    assert load(here).ca == later.certificate
