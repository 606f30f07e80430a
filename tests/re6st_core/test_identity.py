"""A node's certificate is believed only if this network's CA issued it, in date, for a prefix that fits."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given

from re6st_core.errors import CertificateError
from re6st_core.identity import (
    check_fingerprint,
    fingerprint,
    load_certificate_untrusted,
    network_of_ca,
    prefix_of_certificate,
    verify_node_certificate,
)
from re6st_core.prefix import Network, Prefix
from tests.helpers.core_certificates import (
    CA,
    NETWORK,
    NODE,
    NODE_PREFIX,
    NOW,
    OTHER_CA_KEY,
    make_ca,
    make_node,
    rsa_key,
)
from tests.helpers.core_strategies import networks, prefixes


def test_a_certificate_states_network_prefix_serial_and_end() -> None:
    identity = verify_node_certificate(NODE, CA, now=NOW)
    assert identity.network == NETWORK
    assert identity.prefix == NODE_PREFIX
    assert identity.serial == 7
    assert identity.not_after == NOW + timedelta(days=365)
    assert identity.certificate is NODE


@given(prefixes(80))
def test_any_prefix_that_fits_the_network_is_accepted(prefix: Prefix) -> None:
    assert verify_node_certificate(make_node(prefix.cn), CA, now=NOW).prefix == prefix


@given(networks())
def test_the_ca_states_the_network(network: Network) -> None:
    assert network_of_ca(make_ca(network.ca_serial)) == network


def test_a_ca_whose_serial_is_no_network_is_refused() -> None:
    with pytest.raises(CertificateError, match="does not encode a network"):
        network_of_ca(make_ca(serial=1))


def test_a_network_with_an_rsa_ca_works_too() -> None:
    ca = make_ca(key=rsa_key())
    node = make_node("2/16", ca_key=rsa_key())
    assert verify_node_certificate(node, ca, now=NOW).prefix == NODE_PREFIX


def test_another_ca_of_the_same_name_and_serial_is_refused() -> None:
    with pytest.raises(CertificateError, match="not issued by"):
        verify_node_certificate(make_node("2/16", ca_key=OTHER_CA_KEY), CA, now=NOW)


def test_dates_count_to_the_second_and_only_when_the_time_is_known() -> None:
    node = make_node("2/16", not_before=NOW, not_after=NOW + timedelta(hours=1))
    second = timedelta(seconds=1)
    verify_node_certificate(node, CA, now=NOW)
    verify_node_certificate(node, CA, now=NOW + timedelta(hours=1))
    with pytest.raises(CertificateError, match="not valid before"):
        verify_node_certificate(node, CA, now=NOW - second)
    with pytest.raises(CertificateError, match="expired on"):
        verify_node_certificate(node, CA, now=NOW + timedelta(hours=1) + second)
    verify_node_certificate(node, CA, now=None)


@pytest.mark.parametrize("cn", ["registry.example", "02/16", "4/2", "2/16 "])
def test_a_name_that_is_no_prefix_is_refused(cn: str) -> None:
    with pytest.raises(CertificateError, match="not a node's certificate"):
        verify_node_certificate(make_node(cn), CA, now=NOW)


@pytest.mark.parametrize("names", [(), ("2/16", "3/16")])
def test_there_is_exactly_one_name(names: tuple[str, ...]) -> None:
    with pytest.raises(CertificateError, match="exactly one CN"):
        prefix_of_certificate(make_node(*names))


def test_a_prefix_that_does_not_fit_the_network_is_refused() -> None:
    with pytest.raises(CertificateError, match="does not fit"):
        verify_node_certificate(make_node("0/81"), CA, now=NOW)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_both_encodings_are_read(encoding: Encoding) -> None:
    assert load_certificate_untrusted(NODE.public_bytes(encoding)) == NODE


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x80", b"\n  no certificate"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError, match="not a certificate"):
        load_certificate_untrusted(data)


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    version_3, version_6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"  # RFC 5280 §4.1: counted from 0
    data = NODE.public_bytes(Encoding.DER)
    assert version_3 in data
    with pytest.raises(CertificateError, match="not a certificate"):
        load_certificate_untrusted(data.replace(version_3, version_6, 1))


def test_the_fingerprint_is_accepted_in_any_usual_form() -> None:
    text = fingerprint(CA)
    assert text == "sha256:" + CA.fingerprint(hashes.SHA256()).hex()
    check_fingerprint(CA, text)
    check_fingerprint(CA, text.upper())
    check_fingerprint(CA, "SHA256:" + CA.fingerprint(hashes.SHA256()).hex(":"))
    check_fingerprint(CA, "sha512:" + CA.fingerprint(hashes.SHA512()).hex())


@pytest.mark.parametrize("expected", ["sha256:00", "md5:00", "sha256", "", "sha256:" + "0" * 64])
def test_a_wrong_fingerprint_is_refused(expected: str) -> None:
    with pytest.raises(CertificateError, match="fingerprint"):
        check_fingerprint(CA, expected)


def test_a_wrong_fingerprint_shows_the_right_one() -> None:
    with pytest.raises(CertificateError, match=fingerprint(CA)):
        check_fingerprint(CA, fingerprint(NODE))
