"""Signed documents are made once per change, and the same for every process."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509

from caucase_ca.authority import generate_key
from caucase_ca.policy import CRL_RENEWAL
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.netparams import SignedParameters, verify_parameters_untrusted
from re6st_core.registry_wire import EnrolRequest
from registry import publication
from registry.publication import Publication, mac_key
from registry.service import Registry
from tests.helpers.registry import make, new_token, now, request_pem

NOW = now()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = make(tmp_path)
    yield registry
    registry.database.close()


def refresh(registry: Registry, later: timedelta = timedelta(), hello_s: float | None = None) -> Publication:
    wanted = registry.settings.parameters
    if hello_s is not None:
        wanted = replace(wanted, hello_s=hello_s)
    with registry.database.write() as transaction:
        return publication.refresh(transaction, registry.authority, wanted, NOW + later)


def test_nothing_new_gives_the_same_bytes(registry: Registry) -> None:
    first = refresh(registry)
    assert first.key == (1, 1)
    assert refresh(registry, timedelta(hours=1)) == replace(first, due=refresh(registry).due)


def test_a_changed_parameter_is_a_new_version_and_back_is_another(registry: Registry) -> None:
    assert [refresh(registry, hello_s=s).parameters.version for s in (None, 2, 2, None)] == [1, 2, 2, 3]


def test_both_documents_are_signed_by_the_ca(registry: Registry) -> None:
    published = refresh(registry)
    ca = registry.authority.certificate
    signed = decode_json_untrusted(SignedParameters, published.signed)
    parameters = verify_parameters_untrusted(signed, ca)
    assert parameters == published.parameters
    assert (parameters.version, parameters.mac_epoch, parameters.mac_from) == (1, 1, 0)
    assert parameters.mac_digest == sha256(mac_key(registry.authority, 1)).hexdigest()
    crl = x509.load_pem_x509_crl(published.crl)
    assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]  # EC here


def test_a_revocation_is_in_both_until_the_certificate_ends(registry: Registry) -> None:
    held = registry.enrol(EnrolRequest(csr=request_pem(generate_key()), token=new_token(registry)), NOW)
    published = registry.revoke(held.prefix, NOW)
    assert published.parameters.version == 2
    assert published.is_revoked(held.serial)
    assert not published.is_revoked(held.serial + 1)
    crl = x509.load_pem_x509_crl(published.crl)
    assert [entry.serial_number for entry in crl] == [held.serial]
    after = refresh(registry, held.expires - NOW + timedelta(seconds=2))
    assert after.parameters.revoked == ()
    assert after.parameters.version == 3


def test_the_list_is_made_again_before_it_ends(registry: Registry) -> None:
    first = refresh(registry)
    assert refresh(registry, CRL_RENEWAL - timedelta(hours=1)).crl == first.crl
    later = refresh(registry, CRL_RENEWAL + timedelta(hours=1))
    assert later.key == (1, 2)
    with registry.database.read() as transaction:
        assert publication.load(transaction) == replace(later, due=later.due + timedelta(seconds=1))
