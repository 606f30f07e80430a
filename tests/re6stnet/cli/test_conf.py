"""``re6st-conf`` against a real registry: what it prints, writes, and its exit status."""

import asyncio
import io
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from caucase_ca.authority import Authority
from caucase_ca.policy import NODE_LIFETIME
from re6st_core.identity import fingerprint, load_certificate_untrusted, prefix_of_certificate
from re6st_core.prefix import Prefix
from re6stnet.cli.conf import main
from registry import app
from registry.server import Server
from registry.service import Registry
from tests.helpers.registry import NETWORK, PORT, make, new_token, now, own_address, request_for

Conf = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    """A user who types this."""

    def isatty(self) -> bool:
        return True


@contextmanager
def background(directory: Path) -> Iterator[Registry]:
    """A registry that serves from another thread: the command has an event loop of its own."""
    address = own_address()
    registry = make(directory, address=address)
    started, loop = threading.Event(), asyncio.new_event_loop()
    server = Server(directory, registry)
    stop = asyncio.Event()

    async def serve() -> None:
        await server.start((address,))
        started.set()
        await stop.wait()
        await server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield registry
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with background(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def conf(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Conf:
    """Run on the test's directory, with this registry and no terminal: status, output, errors."""

    def run(*words: str, url: str = registry.settings.url) -> tuple[int, str, str]:
        status = main(["--registry", url, "-d", str(tmp_path / "node"), *words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def trusted(registry: Registry) -> tuple[str, str]:
    return "--fingerprint", fingerprint(registry.authority.certificate)


def token_of(registry: Registry) -> tuple[str, str]:
    """Options with a new token; made by another connection, as ``re6st-registry token add`` does."""
    other = app.open_registry(registry.database.path.parent)
    text = new_token(other)
    other.database.close()
    return "--token", text


def used(registry: Registry, token: tuple[str, str]) -> bool:
    other = app.open_registry(registry.database.path.parent)
    stored = {t.text: t.used_at for t in other.tokens()}
    other.database.close()
    return stored[token[1]] is not None


def one_line(result: tuple[int, str, str], status: int, *parts: str) -> None:
    assert (result[0], result[1]) == (status, "")
    assert len(result[2].splitlines()) == 1, result[2]
    for part in parts:
        assert part in result[2]


def test_the_last_line_is_the_subnet(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    status, output, errors = conf(
        *trusted, *token_of(registry), "--location", "FR,EU", "-r", "O", "Some Company"
    )
    assert (status, errors) == (0, "")
    cn = output.splitlines()[-1].split("(CN ")[1].rstrip(")")
    assert output.splitlines()[-1] == f"subnet: {NETWORK.subnet(Prefix.from_cn(cn))} (CN {cn})"
    assert (tmp_path / "node/cert.key").stat().st_mode & 0o777 == 0o600
    assert "country FR" in (tmp_path / "node/re6stnet.conf").read_text()


def test_running_again_changes_nothing(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    first = conf(*trusted, *token_of(registry))[1].splitlines()[-1]
    before = {path.name: path.read_bytes() for path in (tmp_path / "node").iterdir()}
    status, output, _ = conf()
    assert status == 0
    assert "nothing to do" in output
    assert output.splitlines()[-1] == first
    token = token_of(registry)
    assert conf("--force", *token)[1].splitlines()[-1] == first
    assert not used(registry, token)
    assert {path.name: path.read_bytes() for path in (tmp_path / "node").iterdir()} == before


def test_until_when_the_certificate_is_good_is_always_said(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    joined = conf(*trusted, *token_of(registry))[1]
    end = certificate(tmp_path).not_valid_after_utc
    assert f"cert.crt is valid until {end:%Y-%m-%d}" in joined
    assert f"cert.crt is valid until {end:%Y-%m-%d}" in conf()[1]


def test_it_renews_when_the_end_is_near_and_not_before(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    first = conf(*trusted, *token_of(registry))[1].splitlines()[-1]
    key = load_pem_private_key((tmp_path / "node/cert.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    for days_left, renewed in ((31, False), (29, True), (-1, True)):
        began = now() - NODE_LIFETIME + timedelta(days=days_left)
        prefix = prefix_of_certificate(certificate(tmp_path))
        old = registry.authority.issue_node(request_for(key), prefix, number=0, serial=10**6, now=began)
        age_stored_certificates(registry, old.not_valid_after_utc)
        (tmp_path / "node/cert.crt").write_bytes(old.public_bytes(Encoding.PEM))
        status, output, errors = conf()
        assert (status, errors) == (0, "")
        assert ("renewed" in output, "nothing to do" in output) == (renewed, not renewed)
        assert (certificate(tmp_path) != old) is renewed
        assert output.splitlines()[-1] == first
        assert f"valid until {certificate(tmp_path).not_valid_after_utc:%Y-%m-%d}" in output
    assert "nothing to do" in conf()[1]


def test_a_renewal_that_is_refused_gives_up_nothing_that_is_good(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    conf(*trusted, *token_of(registry))
    operator = app.open_registry(registry.database.path.parent)
    operator.revoke(prefix_of_certificate(certificate(tmp_path)), now())
    operator.database.close()
    token, before = token_of(registry), certificate(tmp_path)
    old = now() - NODE_LIFETIME + timedelta(days=20)
    key = load_pem_private_key((tmp_path / "node/cert.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    prefix = prefix_of_certificate(before)
    ending = registry.authority.issue_node(request_for(key), prefix, number=0, serial=10**6, now=old)
    (tmp_path / "node/cert.crt").write_bytes(ending.public_bytes(Encoding.PEM))
    one_line(conf(*token), 1, "403", "revoked")
    assert certificate(tmp_path) == ending
    assert not used(registry, token)


def certificate(directory: Path) -> x509.Certificate:
    return load_certificate_untrusted((directory / "node/cert.crt").read_bytes())


def age_stored_certificates(registry: Registry, end: datetime) -> None:
    """Let the registry, too, think that what it gave ends then."""
    connection = sqlite3.connect(registry.database.path)
    connection.execute("UPDATE certificate SET expires = ?", (int(end.timestamp()),))
    connection.commit()
    connection.close()


def test_without_fingerprint_it_refuses(conf: Conf, registry: Registry, tmp_path: Path) -> None:
    token = token_of(registry)
    one_line(conf(*token), 2, fingerprint(registry.authority.certificate), "--fingerprint")
    assert list((tmp_path / "node").iterdir()) == []
    assert not used(registry, token)
    one_line(conf("--ca-only"), 2, "--fingerprint")


def test_on_a_terminal_it_asks(
    conf: Conf, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert conf(*token_of(registry))[0] == 2
    monkeypatch.setattr("sys.stdin", Terminal("y\n" + token_of(registry)[1] + "\n"))
    status, output, _ = conf("--email", "a@example.org")
    assert status == 0
    assert "does not send mail" in output


def test_who_does_not_answer_loses_nothing(
    conf: Conf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    status, _, errors = conf()
    assert status == 130
    assert "nothing is lost" in errors


def test_a_wrong_fingerprint_spends_nothing(conf: Conf, registry: Registry, tmp_path: Path) -> None:
    token = token_of(registry)
    one_line(conf("--fingerprint", "sha256:" + "ab" * 32, *token), 2, "another network, or somebody between")
    assert not used(registry, token)
    assert list((tmp_path / "node").iterdir()) == []


def test_a_fingerprint_may_be_written_with_colons(
    conf: Conf, trusted: tuple[str, str], tmp_path: Path
) -> None:
    digest = trusted[1].removeprefix("sha256:").upper()
    written = ":".join(digest[i : i + 2] for i in range(0, 64, 2))
    assert conf("--fingerprint", "SHA256:" + written, "--ca-only")[0] == 0
    assert [path.name for path in (tmp_path / "node").iterdir()] == ["ca.crt"]


def test_wrong_and_used_tokens(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    one_line(conf(*trusted, "--token", "guess"), 1, "does not know this token")
    key = (tmp_path / "node/cert.key").read_bytes()
    token = token_of(registry)
    assert conf(*trusted, *token)[0] == 0
    assert (tmp_path / "node/cert.key").read_bytes() == key
    one_line(conf(*trusted, *token, "-d", str(tmp_path / "other")), 1, "used already")
    one_line(conf(*trusted, "--anonymous", "-d", str(tmp_path / "other")), 1, "a token is needed")


def test_without_token(conf: Conf, trusted: tuple[str, str]) -> None:
    one_line(conf(*trusted), 2, "a token is needed")
    one_line(conf(*trusted, "--email", "a@example.org"), 2, "operator of the network")
    one_line(conf(*trusted, "--token", " "), 2, "a token is needed")


def test_all_mistakes_in_the_options_are_told_at_once(conf: Conf) -> None:
    status, _, errors = conf(
        *("--fingerprint", "md5:00", "--anonymous", "--token", "x", "--location", "Paris", "-r", "CN", "me"),
        url="https://registry.example/",
    )
    assert status == 2
    assert len(errors.splitlines()) == 5


def test_an_unreachable_registry(conf: Conf) -> None:
    url = f"http://{own_address()}:{PORT}/"
    one_line(conf(url=url), 1, url, "cannot be reached")
    one_line(conf("--is-needed", url=url), 2, url)


def test_another_network_s_files_are_kept(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    conf(*trusted, *token_of(registry))
    other = Authority.create(NETWORK, now=now())
    (tmp_path / "node/ca.crt").write_bytes(other.certificate_pem)
    one_line(conf(*token_of(registry)), 2, "ca.crt is not the CA of")
    assert (tmp_path / "node/ca.crt").read_bytes() == other.certificate_pem
    assert conf(*trusted)[0] == 0
    assert (tmp_path / "node/ca.crt").read_bytes() == registry.authority.certificate_pem


def test_certificate_and_key_that_do_not_match(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    conf(*trusted, *token_of(registry))
    (tmp_path / "node/cert.key").write_bytes(other_key())
    one_line(conf(), 2, "does not belong to")
    (tmp_path / "node/cert.key").write_bytes(b"garbage")
    one_line(conf(), 2, "cert.key is not a private key")


def other_key() -> bytes:
    return Authority.create(NETWORK, now=now()).key_pem


def test_no_token_is_spent_when_nothing_can_be_written(
    conf: Conf, registry: Registry, trusted: tuple[str, str], tmp_path: Path
) -> None:
    token = token_of(registry)
    (tmp_path / "node/cert.crt").mkdir(parents=True)
    one_line(conf(*trusted, *token), 2, "cert.crt")
    (tmp_path / "node/cert.crt").rmdir()
    one_line(conf(*trusted, *token, "-d", "/proc/nowhere"), 2, "/proc/nowhere cannot be made")
    assert not used(registry, token)
    assert conf(*trusted, *token)[0] == 0


def test_whether_it_is_needed(conf: Conf, trusted: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert conf("--is-needed", *trusted) == (0, "", "")
    assert conf("--is-needed") == (0, "", "")
    monkeypatch.setattr("re6stnet.cli.conf.overlay_reached", lambda network: network == NETWORK)
    assert conf("--is-needed", *trusted) == (1, "", "")


def test_it_starts_without_an_http_library() -> None:
    code = "import sys, re6stnet.cli.conf; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
