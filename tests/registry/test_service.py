"""What nodes and the operator can ask, without HTTP."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import event

from caucase_ca.authority import generate_key
from re6st_core.identity import load_certificate_untrusted, verify_node_certificate
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import EnrolRequest
from registry.domain.joining import GRACE
from registry.domain.records import Held
from registry.errors import BadRequestError, NotAllowedError, RejectedError
from registry.service import FRESH, Registry
from tests.helpers.registry import make, new_token, now, request_pem

NOW = now()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = make(tmp_path)
    yield registry
    registry.database.close()


def enrol(registry: Registry, **fields: str | None) -> Held:
    message = {"csr": request_pem(generate_key()), "token": None} | fields
    if fields.get("token") is None:
        message["token"] = new_token(registry)
    return registry.enrol(EnrolRequest(**message), NOW)  # type: ignore[arg-type]  # csr is never None


@contextmanager
def full_disk(directory: Path) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_certificate_is_in_the_database_before_it_is_given(registry: Registry) -> None:
    held = enrol(registry)
    certificate = load_certificate_untrusted(held.pem.encode())
    identity = verify_node_certificate(certificate, registry.authority.certificate, now=NOW)
    assert (identity.prefix, identity.serial, identity.not_after) == (held.prefix, held.serial, held.expires)
    with registry.database.read() as transaction:
        assert transaction.certificates_of_node(held.prefix) == [held]


def test_the_token_s_email_and_the_request_s_names_are_shown_to_the_operator(registry: Registry) -> None:
    names = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Evil\nCorp")])
    key = generate_key()
    csr = x509.CertificateSigningRequestBuilder().subject_name(names).sign(key, hashes.SHA256())
    enrol(registry, csr=csr.public_bytes(Encoding.PEM).decode(), email="forged@example.org")
    node = registry.nodes()[0]
    assert node.email == "someone@example.org"
    assert "Evil" in node.subject
    assert node.subject.isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        {"csr": ""},
        {"csr": "garbage"},
        {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"},
        {"token": "x" * 300},
        {"token": "a\nb"},
        {"email": "x" * 300},
        {"location": "\x1b[2J"},
    ],
)
def test_senseless_requests_are_refused(registry: Registry, fields: dict[str, str]) -> None:
    with pytest.raises(BadRequestError):
        enrol(registry, **fields)


def test_a_full_disk_spends_nothing(registry: Registry, tmp_path: Path) -> None:
    token, csr = new_token(registry), request_pem(generate_key())
    with registry.database.read() as transaction:
        before = transaction.blocks(), transaction.tokens(), transaction.nodes()
    with full_disk(tmp_path), pytest.raises(RejectedError):
        enrol(registry, token=token, csr=csr)
    with registry.database.read() as transaction:
        assert (transaction.blocks(), transaction.tokens(), transaction.nodes()) == before
    assert enrol(registry, token=token, csr=csr).prefix == Prefix(16, 0)


def test_on_a_full_disk_what_is_published_stays_so(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = registry.published(NOW)
    with full_disk(tmp_path), caplog.at_level(logging.WARNING):
        assert registry.published(published.due + timedelta(seconds=1)) == published
    assert "old parameters are served" in caplog.text
    assert registry.published(published.due + timedelta(seconds=1)).crl_number == published.crl_number + 1


def test_another_process_s_revocation_is_noticed_within_a_second(registry: Registry, tmp_path: Path) -> None:
    held = enrol(registry)
    assert not registry.published(NOW).is_revoked(held.serial)
    other = make(tmp_path, address=registry.settings.hosts[0])
    other.revoke(held.prefix, NOW)
    other.database.close()
    assert registry.published(NOW + FRESH).is_revoked(held.serial)
    assert registry.nodes()[0].revoked


def test_our_own_revocation_is_noticed_at_once(registry: Registry) -> None:
    held = enrol(registry)
    assert not registry.published(NOW).is_revoked(held.serial)
    registry.revoke(held.prefix, NOW)
    assert registry.published(NOW).is_revoked(held.serial)


def test_what_is_published_is_read_once_a_second(registry: Registry) -> None:
    queries: list[object] = []
    event.listen(registry.database._engine, "before_cursor_execute", lambda *about: queries.append(about[2]))
    for step in range(100):
        registry.published(NOW + step * FRESH / 50)
    assert len(queries) == 2
    assert registry.fresh(NOW + 3 * FRESH) is None
    assert registry.fresh(NOW) is None  # the clock was set back


def test_an_old_list_is_not_fresh(registry: Registry) -> None:
    published = registry.published(NOW)
    registry.published(published.due - FRESH / 2)
    assert registry.fresh(published.due - FRESH / 4)
    assert registry.fresh(published.due) is None


def test_a_prefix_is_free_again_long_after_its_last_certificate(registry: Registry) -> None:
    held = enrol(registry)
    enrol(registry)
    registry.revoke(held.prefix, NOW)
    registry.clean_up(held.expires + GRACE)
    assert len(registry.nodes()) == 2
    registry.clean_up(held.expires + GRACE + timedelta(seconds=1))
    assert registry.nodes() == []
    assert enrol(registry).prefix == Prefix(16, 0)


def test_operators_are_told_what_does_not_exist(registry: Registry) -> None:
    with pytest.raises(NotAllowedError, match="no node 9/16"):
        registry.revoke(Prefix(16, 9), NOW)
    with pytest.raises(NotAllowedError, match="no such token"):
        registry.delete_token("nothing")


@pytest.mark.parametrize("length", [0, 81, -1])
def test_tokens_for_impossible_prefixes_are_refused(registry: Registry, length: int) -> None:
    with pytest.raises(BadRequestError):
        registry.add_token("", length, NOW)


@pytest.mark.parametrize("text", ["short", "two\nlines", "x" * 201])
def test_tokens_have_a_sensible_form(registry: Registry, text: str) -> None:
    with pytest.raises(BadRequestError):
        registry.add_token("", None, NOW, text)


def test_a_token_exists_once(registry: Registry) -> None:
    registry.add_token("", None, NOW, "chosen token")
    with pytest.raises(BadRequestError, match="exists already"):
        registry.add_token("", None, NOW, "chosen token")
    assert len({new_token(registry) for _ in range(20)}) == 20


def test_many_tokens_are_made_at_once_and_each_is_for_one_node(registry: Registry) -> None:
    made = registry.add_tokens(3, "fleet@example.org", 8, NOW)
    assert len({token.text for token in made}) == 3
    assert sorted(registry.tokens(), key=lambda t: t.text) == sorted(made, key=lambda t: t.text)
    for count in (0, 10_001):
        with pytest.raises(BadRequestError, match=r"1\.\.10000"):
            registry.add_tokens(count, "", None, NOW)
    assert len(registry.tokens()) == 3
