"""Own certificate, key and CA: each mistake is named with its file and the way out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from re6st_core.errors import CertificateError
from re6st_core.prefix import Prefix
from re6stnet.adapters.credentials import Credentials
from tests.helpers.node_certificates import authority, load, write_node

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


def test_an_expired_certificate_is_refused_with_the_way_out(tmp_path: Path) -> None:
    here = write_node(tmp_path, authority(), NODE)
    late = datetime.now(UTC) + timedelta(days=10000)
    with pytest.raises(CertificateError, match=r"expired on .* run re6st-conf again"):
        Credentials.load(here / "ca.crt", here / "cert.crt", here / "cert.key", now=late)


@pytest.mark.parametrize("name", ["ca.crt", "cert.crt", "cert.key"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\n", None])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    here = write_node(tmp_path, authority(), NODE)
    (here / name).unlink()
    if content is not None:
        (here / name).write_bytes(content)
    with pytest.raises(CertificateError, match=name):
        load(here)
