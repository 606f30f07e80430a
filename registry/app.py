"""A registry in its directory: made by ``init``, opened by every other command."""

from datetime import datetime
from pathlib import Path

from caucase_ca.authority import Authority
from re6st_core.errors import ConfigError
from registry.files import read_file, write_file
from registry.service import Registry
from registry.settings import Settings, check_settings, format_settings, parse_settings
from registry.store.database import Database

CONFIG, CA, CA_KEY, SERVER, DATABASE = "registry.toml", "ca.crt", "ca.key", "server.pem", "registry.db"


def initialise(directory: Path, settings: Settings, *, rsa_bits: int | None, now: datetime) -> Registry:
    """Make a registry, or complete one whose making was interrupted; what exists is kept.

    The settings are written last: a directory that has them is complete.  Raises ConfigError,
    CertificateError, StoreFailedError, StoreFullError.
    """
    check_settings(settings)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{directory} cannot be made: {exc.strerror}") from exc
    if not (directory / CA).exists():  # a key alone has signed nothing that anybody has seen
        authority = Authority.create(settings.network, now=now, rsa_bits=rsa_bits)
        write_file(directory / CA_KEY, authority.key_pem, mode=0o600)
        write_file(directory / CA, authority.certificate_pem)
    authority = _authority(directory, settings)
    database = Database(directory / DATABASE, create=True)
    database.create(settings.network)
    registry = Registry(settings, authority, database)
    registry.start(now)
    write_file(directory / CONFIG, format_settings(settings).encode())
    return registry


def load_settings(directory: Path) -> Settings | None:
    """Settings of a registry; None if there is none yet.  Raises ConfigError."""
    if not (directory / CONFIG).exists():
        return None
    try:
        return parse_settings(read_file(directory / CONFIG).decode())
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{directory / CONFIG} is not text") from exc


def open_registry(directory: Path) -> Registry:
    """A registry that ``init`` has made.  Raises ConfigError, CertificateError."""
    settings = load_settings(directory)
    if settings is None:
        raise ConfigError(f"{directory} holds no registry: run re6st-registry init first")
    authority = _authority(directory, settings)
    database = Database(directory / DATABASE)
    database.check(settings.network)
    return Registry(settings, authority, database)


def _authority(directory: Path, settings: Settings) -> Authority:
    authority = Authority.load(read_file(directory / CA), read_file(directory / CA_KEY))
    if authority.network != settings.network:
        raise ConfigError(
            f"{directory / CA} is the CA of the network {authority.network}, not {settings.network}"
        )
    return authority
