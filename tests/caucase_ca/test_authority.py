"""Certificates and revocation lists, judged by the openssl command."""

import subprocess
from datetime import timedelta
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.authority import Authority, generate_key
from caucase_ca.ip_blocks import ip_block_extension
from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import network_of_ca, verify_node_certificate
from re6st_core.prefix import Prefix
from tests.helpers.registry import NETWORK, now, request_for

PREFIX = Prefix.from_cn("5/13")


@pytest.fixture(scope="module", params=[None, 2048], ids=["EC", "RSA"])
def authority(request: pytest.FixtureRequest) -> Authority:
    return Authority.create(NETWORK, now=now(), rsa_bits=request.param)


def openssl(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=False)


def written(directory: Path, name: str, item: x509.Certificate | x509.CertificateRevocationList) -> str:
    (directory / name).write_bytes(item.public_bytes(Encoding.PEM))
    return name


@pytest.fixture
def node(authority: Authority, tmp_path: Path) -> x509.Certificate:
    certificate = authority.issue_node(request_for(generate_key()), PREFIX, number=4, serial=9, now=now())
    written(tmp_path, "ca", authority.certificate)
    written(tmp_path, "node", certificate)
    return certificate


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_a_node_for_both_roles(node: x509.Certificate, tmp_path: Path, purpose: str) -> None:
    done = openssl(tmp_path, "verify", "-x509_strict", "-CAfile", "ca", "-purpose", purpose, "node")
    assert done.stdout == "node: OK\n", done.stderr
    address = str(NETWORK.address(PREFIX))
    done = openssl(tmp_path, "verify", "-CAfile", "ca", "-verify_ip", address, "node")
    assert done.stdout == "node: OK\n", done.stderr


def test_openssl_shows_names_usages_and_addresses(node: x509.Certificate, tmp_path: Path) -> None:
    text = openssl(tmp_path, "x509", "-in", "node", "-text", "-noout").stdout
    for wanted in (
        "Version: 3",
        "Serial Number: 9",
        "Subject: serialNumber = 4, CN = 5/13",
        "IP Address:2001:DB8:42:28:0:0:0:1",
        "TLS Web Client Authentication, TLS Web Server Authentication",
        "CA:FALSE",
        "Digital Signature",
        "sbgp-ipAddrBlock",
        "2001:db8:42:28::/61",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
    ):
        assert wanted in text


def test_openssl_shows_the_network_of_the_ca(node: x509.Certificate, tmp_path: Path) -> None:
    text = openssl(tmp_path, "x509", "-in", "ca", "-text", "-noout").stdout
    for wanted in ("0x120010db80042", "CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "2001:db8:42::/48"):
        assert wanted in text


def test_openssl_refuses_addresses_outside_the_network(authority: Authority, tmp_path: Path) -> None:
    issuer = authority.certificate.subject
    key = generate_key().public_key()
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(x509.Name([])).public_key(key)
    builder = builder.serial_number(1).not_valid_before(now()).not_valid_after(now() + timedelta(days=1))
    builder = builder.add_extension(ip_block_extension(IPv6Network("2001:db8:43::/64")), critical=False)
    written(tmp_path, "ca", authority.certificate)
    written(tmp_path, "forged", builder.sign(authority.key, hashes.SHA256()))
    done = openssl(tmp_path, "verify", "-CAfile", "ca", "forged")
    assert "RFC 3779 resource not subset" in done.stderr


def test_the_registry_is_accepted_under_its_names_as_server_only(
    authority: Authority, tmp_path: Path
) -> None:
    key = generate_key()
    hosts = ["registry.example", "203.0.113.1", "2001:db8::1"]
    server = authority.issue_server(key.public_key(), hosts, serial=2, now=now())
    written(tmp_path, "ca", authority.certificate)
    written(tmp_path, "server", server)
    base = ("verify", "-x509_strict", "-CAfile", "ca")
    for name in (["-verify_hostname", hosts[0]], ["-verify_ip", hosts[1]], ["-verify_ip", hosts[2]]):
        assert openssl(tmp_path, *base, "-purpose", "sslserver", *name, "server").returncode == 0
    assert openssl(tmp_path, *base, "-purpose", "sslclient", "server").returncode != 0
    assert openssl(tmp_path, *base, "-verify_hostname", "other.example", "server").returncode != 0
    with pytest.raises(CertificateError, match="not a node's certificate"):
        verify_node_certificate(server, authority.certificate, now=now())


def test_openssl_refuses_what_is_revoked_and_nothing_else(
    authority: Authority, node: x509.Certificate, tmp_path: Path
) -> None:
    check = ("verify", "-CAfile", "ca", "-CRLfile", "crl", "-crl_check", "node")
    written(tmp_path, "crl", authority.issue_crl([(8, now())], number=1, now=now()))
    assert openssl(tmp_path, *check).stdout == "node: OK\n"
    written(tmp_path, "crl", authority.issue_crl([(8, now()), (9, now())], number=2, now=now()))
    assert "certificate revoked" in openssl(tmp_path, *check).stderr
    text = openssl(tmp_path, "crl", "-in", "crl", "-text", "-noout").stdout
    assert "Version 2" in text
    assert "X509v3 CRL Number" in text
    assert "X509v3 Authority Key Identifier" in text


def test_an_authority_survives_being_written_and_read(authority: Authority) -> None:
    again = Authority.load(authority.certificate_pem, authority.key_pem)
    assert again.certificate == authority.certificate
    assert network_of_ca(again.certificate) == NETWORK


def test_a_key_of_another_authority_is_refused(authority: Authority) -> None:
    other = Authority.create(NETWORK, now=now())
    with pytest.raises(CertificateError, match="does not belong"):
        Authority.load(authority.certificate_pem, other.key_pem)


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_garbage_instead_of_the_key_is_the_known_error(authority: Authority, pem: bytes) -> None:
    with pytest.raises(CertificateError):
        Authority.load(authority.certificate_pem, pem)


def test_rsa_keys_have_a_sound_size() -> None:
    with pytest.raises(ConfigError):
        generate_key(1024)


def test_a_renewed_authority_vouches_for_what_was_issued_before_and_after(
    authority: Authority, tmp_path: Path
) -> None:
    node = authority.issue_node(request_for(generate_key()), PREFIX, number=1, serial=2**60, now=now())
    later = now() + timedelta(days=7000)
    renewed = authority.renewed(later)
    newer = renewed.issue_node(request_for(generate_key()), PREFIX, number=1, serial=2**60 + 1, now=later)
    assert renewed.network == authority.network
    assert renewed.certificate.not_valid_after_utc > authority.certificate.not_valid_after_utc
    for name, certificate in (("old", authority.certificate), ("new", renewed.certificate)):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        for number, issued in enumerate((node, newer)):
            verify_node_certificate(issued, certificate, now=None)
            (tmp_path / f"{number}.pem").write_bytes(issued.public_bytes(Encoding.PEM))
            words = ("verify", "-no_check_time", "-CAfile", f"{name}.pem", f"{number}.pem")
            assert openssl(tmp_path, *words).returncode == 0
    assert len(renewed.certificate.extensions) == len(authority.certificate.extensions)
