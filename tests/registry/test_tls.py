"""The registry's own certificate: made when needed, kept while it is good."""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.policy import CA_RENEWAL, NODE_LIFETIME, RENEWAL_MARGIN
from re6st_core.identity import check_renewed_ca, load_certificate_untrusted
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.netparams import SignedParameters, verify_parameters_untrusted
from registry.service import Registry
from registry.tls import renew_authority, renew_server_certificate, server_context
from tests.helpers.registry import make, now

NOW = now()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = make(tmp_path)
    yield registry
    registry.database.close()


def test_it_is_made_once_and_again_before_it_ends(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    assert renew_server_certificate(registry, path, NOW) == NODE_LIFETIME - RENEWAL_MARGIN
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    renew_server_certificate(registry, path, NOW + timedelta(days=300))
    assert path.read_bytes() == first
    renew_server_certificate(registry, path, NOW + timedelta(days=336))
    assert path.read_bytes() != first


def test_it_is_made_again_for_other_names(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    renew_server_certificate(registry, path, NOW)
    first = path.read_bytes()
    settings = replace(registry.settings, hosts=("registry.example",))
    renamed = Registry(settings, registry.authority, registry.database)
    renew_server_certificate(renamed, path, NOW)
    assert path.read_bytes() != first


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_file_is_replaced(registry: Registry, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(content)
    renew_server_certificate(registry, path, NOW)
    assert server_context(path, tmp_path / "ca.crt")


def test_another_authority_s_certificate_is_replaced(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", address=registry.settings.hosts[0])
    path = tmp_path / "server.pem"
    renew_server_certificate(other, path, NOW)
    first = path.read_bytes()
    renew_server_certificate(registry, path, NOW)
    assert path.read_bytes() != first
    other.database.close()


def test_the_ca_s_certificate_is_renewed_in_good_time_with_the_same_key_and_published(tmp_path: Path) -> None:
    registry = make(tmp_path)
    path = tmp_path / "ca.crt"
    old = registry.authority.certificate
    before = registry.published(now())
    assert not renew_authority(registry, path, now())
    late = old.not_valid_after_utc - CA_RENEWAL + timedelta(days=1)
    assert renew_authority(registry, path, late)
    new = load_certificate_untrusted(path.read_bytes())
    assert new == registry.authority.certificate
    check_renewed_ca(new, old)
    assert new.not_valid_after_utc > old.not_valid_after_utc + timedelta(days=17 * 365)
    after = registry.published(late)
    assert after.parameters.version == before.parameters.version + 1
    assert b64decode(after.parameters.ca) == new.public_bytes(Encoding.DER)
    assert after.parameters.mac_digest == before.parameters.mac_digest
    signed = decode_json_untrusted(SignedParameters, after.signed)
    assert verify_parameters_untrusted(signed, old) == after.parameters, (
        "who knows the old one only believes it"
    )
    assert not renew_authority(registry, path, late)
    registry.database.close()
