"""What each verb of ``re6st-registry`` does, and its exit status: 0, 1 (refused), 2 (configuration)."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from re6st_core.errors import CertificateError, ConfigError, Re6stError, WireError
from re6st_core.identity import fingerprint
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Network, Prefix
from registry import app
from registry.cli.arguments import MAX_AFTER_S, MIN_AFTER_S, parser
from registry.domain.records import Node, Token
from registry.service import Registry
from registry.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        _COMMANDS[arguments.command, getattr(arguments, "verb", None)](arguments)
    except (ConfigError, CertificateError) as exc:
        problems = exc.problems if isinstance(exc, ConfigError) else (str(exc),)
        for problem in problems:
            print(f"re6st-registry: {problem}", file=sys.stderr)
        return 2
    except Re6stError as exc:
        print(f"re6st-registry: {exc}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing more to say
        return 1
    return 0


def _init(arguments: argparse.Namespace) -> None:
    wanted = _settings(arguments)
    existing = app.load_settings(arguments.dir)
    if existing:
        _check_same(arguments, existing, wanted)
        registry = app.open_registry(arguments.dir)
    else:
        registry = app.initialise(arguments.dir, wanted, rsa_bits=arguments.rsa, now=_now())
    digest = fingerprint(registry.authority.certificate)
    network, url = str(registry.settings.network), registry.settings.url
    registry.database.close()
    if arguments.json:
        print(json.dumps({"fingerprint": digest, "url": url, "network": network}))
        return
    print(f"{'exists already' if existing else 'made'}: {arguments.dir}")
    print(f"network: {network}")
    print(f"fingerprint: {digest}")
    print(f"url: {url}")
    print(f"next: re6st-registry run --dir {arguments.dir}")


def _settings(arguments: argparse.Namespace) -> Settings:
    """Settings as the options say.  Raises ConfigError listing every problem."""
    try:
        network = Network.parse(arguments.network)
    except WireError as exc:
        raise ConfigError(f"--network: {exc}") from exc
    count = arguments.client_count
    maximum = arguments.max_clients
    if maximum is None and count is not None:
        maximum = min(2 * count, 40)
    chosen = {"client_count": count, "max_clients": maximum, "hello_s": arguments.hello}
    parameters = NetworkParameters(version=1, **{k: v for k, v in chosen.items() if v is not None})
    optional = {
        "port": arguments.port,
        "prefix_length": arguments.prefix_length,
        "anonymous_prefix_length": arguments.anonymous_prefix_length,
    }
    settings = Settings(network=network, hosts=tuple(arguments.host), parameters=parameters)
    return replace(settings, **{k: v for k, v in optional.items() if v is not None})


_PARAMETERS = {"client_count": "client_count", "max_clients": "max_clients", "hello": "hello_s"}
"""Options, and the parameters that they set."""


def _check_same(arguments: argparse.Namespace, existing: Settings, wanted: Settings) -> None:
    """Running init again is harmless, unless it means another registry.  Raises ConfigError."""
    given = {
        "network": (existing.network, wanted.network),
        "hosts": (existing.hosts, wanted.hosts),
    }
    if arguments.port is not None:
        given["port"] = (existing.port, wanted.port)
    if arguments.prefix_length is not None:
        given["prefix_length"] = (existing.prefix_length, wanted.prefix_length)
    if arguments.anonymous_prefix_length is not None:
        lengths = (existing.anonymous_prefix_length, wanted.anonymous_prefix_length)
        given["anonymous_prefix_length"] = lengths
    for option, name in _PARAMETERS.items():
        if getattr(arguments, option) is not None:
            given[name] = (getattr(existing.parameters, name), getattr(wanted.parameters, name))
    config = arguments.dir / app.CONFIG
    problems = [
        f"{config} exists, with {name} = {_text(old)}, not {_text(new)}: edit it, or choose another --dir"
        for name, (old, new) in given.items()
        if old != new
    ]
    if problems:
        raise ConfigError(*problems)


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _run(arguments: argparse.Namespace) -> None:
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")
    from registry import server  # noqa: PLC0415 - the other commands need no web server: half of their time

    server.run(arguments.dir, tuple(arguments.listen) if arguments.listen else server.EVERYWHERE)


def _token_add(arguments: argparse.Namespace) -> None:
    length, count = arguments.prefix_length, arguments.count
    if count is None:
        with _opened(arguments) as registry:
            token = registry.add_token(arguments.email, length, _now(), arguments.token)
        print(json.dumps({"token": token.text}) if arguments.json else token.text)
        return
    if arguments.token is not None:
        raise ConfigError("--token says what one token is: it cannot be given with --count")
    with _opened(arguments) as registry:
        tokens = [token.text for token in registry.add_tokens(count, arguments.email, length, _now())]
    print(json.dumps({"tokens": tokens}) if arguments.json else "\n".join(tokens))


def _token_list(arguments: argparse.Namespace) -> None:
    with _opened(arguments) as registry:
        tokens = registry.tokens()
    if arguments.json:
        print(json.dumps([_token_json(token) for token in tokens]))
        return
    rows = [("TOKEN", "LENGTH", "EMAIL", "AGE", "USED BY")]
    rows += [
        (t.text, str(t.prefix_length), t.email or "-", _age(t.created), str(t.used_by or "-")) for t in tokens
    ]
    _print_table(rows)


def _token_delete(arguments: argparse.Namespace) -> None:
    with _opened(arguments) as registry:
        registry.delete_token(arguments.token)
    print(json.dumps({"deleted": arguments.token}) if arguments.json else "deleted")


def _node_list(arguments: argparse.Namespace) -> None:
    with _opened(arguments) as registry:
        nodes = registry.nodes()
        network = registry.settings.network
    if arguments.json:
        print(json.dumps([_node_json(node, network) for node in nodes]))
        return
    rows = [("CN", "SUBNET", "STATE", "SEEN", "EXPIRES", "EMAIL", "NAMES")]
    rows += [
        (
            str(node.prefix),
            str(network.subnet(node.prefix)),
            _state(node),
            _age(node.seen) if node.seen else "-",
            f"{node.expires:%Y-%m-%d}",
            node.email or "-",
            node.subject or "-",
        )
        for node in nodes
    ]
    _print_table(rows)


def _node_revoke(arguments: argparse.Namespace) -> None:
    try:
        prefix = Prefix.from_cn(arguments.prefix)
    except WireError as exc:
        raise ConfigError(str(exc)) from exc
    with _opened(arguments) as registry:
        published = registry.revoke(prefix, _now())
    version = published.parameters.version
    if arguments.json:
        print(json.dumps({"revoked": str(prefix), "version": version}))
    else:
        print(f"{prefix} is revoked; the network parameters have version {version}")


def _key_rotate(arguments: argparse.Namespace) -> None:
    if not MIN_AFTER_S <= arguments.after <= MAX_AFTER_S:
        raise ConfigError(f"--after {arguments.after} is outside {MIN_AFTER_S}..{MAX_AFTER_S}")
    with _opened(arguments) as registry:
        parameters = registry.rotate_key(timedelta(seconds=arguments.after), _now())
    since = datetime.fromtimestamp(parameters.mac_from, UTC)
    if arguments.json:
        told = {"epoch": parameters.mac_epoch, "from": since.isoformat(), "version": parameters.version}
        print(json.dumps(told))
    else:
        print(f"key {parameters.mac_epoch} will be used from {since:%Y-%m-%d %H:%M:%S} UTC on")


_COMMANDS: dict[tuple[str, str | None], Callable[[argparse.Namespace], None]] = {
    ("init", None): _init,
    ("run", None): _run,
    ("token", "add"): _token_add,
    ("token", "list"): _token_list,
    ("token", "delete"): _token_delete,
    ("node", "list"): _node_list,
    ("node", "revoke"): _node_revoke,
    ("key", "rotate"): _key_rotate,
}


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Registry]:
    registry = app.open_registry(arguments.dir)
    try:
        yield registry
    finally:
        registry.database.close()


def _token_json(token: Token) -> dict[str, object]:
    return {
        "token": token.text,
        "prefix_length": token.prefix_length,
        "email": token.email,
        "created": token.created.isoformat(),
        "used_at": token.used_at.isoformat() if token.used_at else None,
        "used_by": str(token.used_by) if token.used_by else None,
    }


def _node_json(node: Node, network: Network) -> dict[str, object]:
    return {
        "prefix": str(node.prefix),
        "subnet": str(network.subnet(node.prefix)),
        "address": str(network.address(node.prefix)),
        "state": _state(node),
        "created": node.created.isoformat(),
        "expires": node.expires.isoformat(),
        "seen": node.seen.isoformat() if node.seen else None,
        "endpoints": node.endpoints,
        "email": node.email,
        "location": node.location,
        "names": node.subject,
    }


def _state(node: Node) -> str:
    if node.revoked:
        return "revoked"
    return "expired" if node.expires < _now() else "member"


def _age(when: datetime) -> str:
    """One number with its unit, such as ``3 h``."""
    age = max(_now() - when, timedelta())
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if age >= size:
            return f"{age // size} {unit}"
    return f"{age.seconds} s"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _now() -> datetime:
    return datetime.now(UTC)
