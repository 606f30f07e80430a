"""Joining against a real registry: nothing is lost, whatever fails."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from caucase_ca.authority import Authority
from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import Identity, fingerprint
from re6stnet.enrolment import joining
from re6stnet.enrolment.joining import CaNotTrustedError, Files, RenewalRefusedError, Request
from registry.errors import RefusedError, RejectedError, StoreFailedError, StoreFullError, TooManyError
from tests.helpers.registry import NETWORK, Served, new_token, now, served


def request(registry: Served, token: str | None = None) -> Request:
    token = token or new_token(registry.registry)
    return Request(registry=registry.url, names=x509.Name([]), token=token, location="FR,EU")


async def joined(registry: Served, directory: Path) -> tuple[Files, Identity]:
    files = joining.make_directory(directory)
    return files, await joining.join(request(registry), files, registry.ca, now())


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


async def test_four_files(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, identity = await joined(registry, tmp_path / "node")
        assert {path.name for path in files.directory.iterdir()} == {
            "ca.crt",
            "cert.crt",
            "cert.key",
            "re6stnet.conf",
        }
        assert joining.current_identity(files, registry.ca, now()) == identity
        assert "country FR\n" in files.config.read_text()


async def test_the_ca_is_believed_by_fingerprint_or_by_file_only(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files = joining.make_directory(tmp_path / "node")
        with pytest.raises(CaNotTrustedError, match=fingerprint(registry.ca)):
            await joining.trusted_ca(registry.url, None, files)
        with pytest.raises(CertificateError, match="another network, or somebody between"):
            await joining.trusted_ca(registry.url, "sha256:" + "00" * 32, files)
        assert await joining.trusted_ca(registry.url, fingerprint(registry.ca), files) == registry.ca
        joining.save_ca(registry.ca, files)
        assert await joining.trusted_ca(registry.url, None, files) == registry.ca
        joining.save_ca(Authority.create(NETWORK, now=now()).certificate, files)
        with pytest.raises(CertificateError, match=r"ca\.crt is not the CA"):
            await joining.trusted_ca(registry.url, None, files)


@pytest.mark.parametrize("name", ["ca.crt", "cert.crt", "cert.key"])
async def test_no_token_is_spent_when_a_file_cannot_be_written(tmp_path: Path, name: str) -> None:
    async with served(tmp_path / "reg") as registry:
        files = joining.make_directory(tmp_path / "node")
        (files.directory / name).mkdir()
        with pytest.raises(ConfigError, match=name):
            await joining.join(request(registry), files, registry.ca, now())
        (stored,) = registry.registry.tokens()
        assert stored.used_at is None


async def test_no_token_is_spent_when_the_disk_is_full(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, asked = joining.make_directory(tmp_path / "node"), request(registry)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            with pytest.raises(ConfigError, match="cannot be written: File too large"):
                await joining.join(asked, files, registry.ca, now())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(files.directory.iterdir()) == []
        (stored,) = registry.registry.tokens()
        assert stored.used_at is None


@pytest.mark.root
async def test_no_token_is_spent_on_a_read_only_disk(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, asked = joining.make_directory(tmp_path / "node"), request(registry)
        with (
            read_only(files.directory),
            pytest.raises(ConfigError, match="Read-only file system"),
        ):
            await joining.join(asked, files, registry.ca, now())
        (stored,) = registry.registry.tokens()
        assert stored.used_at is None


async def test_a_lost_answer_costs_no_second_token(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files = joining.make_directory(tmp_path / "node")
        asked = request(registry)
        first = await joining.join(asked, files, registry.ca, now())
        files.cert.unlink()
        assert await joining.join(asked, files, registry.ca, now()) == first


async def test_the_option_file_of_the_operator_is_kept(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files = joining.make_directory(tmp_path / "node")
        files.config.write_text("port 4242\n")
        await joining.join(request(registry), files, registry.ca, now())
        joining.complete(request(registry), files, registry.ca)
        assert files.config.read_text() == "port 4242\n"


async def test_what_is_missing_beside_a_certificate_is_written(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, _ = await joined(registry, tmp_path / "node")
        files.ca.unlink()
        files.config.unlink()
        joining.complete(request(registry), files, registry.ca)
        assert files.ca.exists()
        assert files.config.exists()


async def test_files_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, _ = await joined(registry, tmp_path / "node")
        other = Authority.create(NETWORK, now=now()).certificate
        with pytest.raises(CertificateError, match=r"cert\.crt: .*not issued by this network's CA"):
            joining.current_identity(files, other, now())
        with pytest.raises(CertificateError, match="expired on"):
            joining.current_identity(files, registry.ca, now() + timedelta(days=400))
        assert joining.current_identity(files, registry.ca, None)
        key = files.key.read_bytes()
        files.key.unlink()
        with pytest.raises(ConfigError, match="has no key"):
            joining.current_identity(files, registry.ca, now())
        await joined(registry, tmp_path / "other")
        files.key.write_bytes((tmp_path / "other" / "cert.key").read_bytes())
        with pytest.raises(CertificateError, match="does not belong to"):
            joining.current_identity(files, registry.ca, now())
        files.key.write_bytes(key)
        assert joining.current_identity(files, registry.ca, now())


async def test_an_ended_certificate_is_renewed_without_token(tmp_path: Path) -> None:
    async with served(tmp_path / "reg") as registry:
        files, identity = await joined(registry, tmp_path / "node")
        later = identity.not_after + timedelta(days=1)
        registry.server._context.now = lambda: later
        renewed = await joining.renew(request(registry), files, registry.ca, later)
        assert renewed.prefix == identity.prefix
        assert renewed.not_after > later
        assert joining.current_identity(files, registry.ca, later) == renewed
        registry.registry.revoke(renewed.prefix, later)
        with pytest.raises(RenewalRefusedError, match="revoked"):
            await joining.renew(request(registry), files, registry.ca, later)


@pytest.mark.parametrize(
    ("error", "status"),
    [(TooManyError("x", 7), 429), (StoreFailedError("x"), 503), (StoreFullError("x"), 507)],
)
async def test_a_renewal_that_fails_for_now_is_not_taken_for_a_refusal(
    tmp_path: Path, error: RejectedError, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_request: object) -> None:
        raise error

    async with served(tmp_path / "reg") as registry:
        files, _ = await joined(registry, tmp_path / "node")
        monkeypatch.setattr(registry.registry, "renew", fail)
        before = files.cert.read_bytes()
        with pytest.raises(RefusedError) as caught:
            await joining.renew(request(registry), files, registry.ca, now())
        assert caught.value.status == status
        assert not isinstance(caught.value, RenewalRefusedError)
        assert files.cert.read_bytes() == before


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        joining.make_directory(tmp_path / "file" / "node")
