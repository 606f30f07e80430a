"""``re6st-conf``: make this host a node of a network (options: ``re6st-protocol.md`` §9.2).

Exit status 0: done; 1: the registry refused, or cannot be reached; 2: something to change here.
With ``--is-needed`` 0: the overlay is not reachable yet; 1: it is; 2: not known.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from re6st_core.errors import CertificateError, ConfigError, Re6stError
from re6st_core.identity import Identity, network_of_ca
from re6st_core.registry_wire import https_url
from re6stnet.enrolment import joining
from re6stnet.enrolment.credentials import subject
from re6stnet.enrolment.reachable import overlay_reached
from registry.client import RENEWAL_MARGIN

_LOCATION = re.compile(r"[A-Z]{2}(,[A-Z]{2})?")
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        _check(arguments)
        if arguments.is_needed:
            return int(not _is_needed(arguments))
        _configure(arguments)
    except ConfigError as exc:
        for problem in exc.problems:
            print(f"re6st-conf: {problem}", file=sys.stderr)
        return 2
    except Re6stError as exc:
        print(f"re6st-conf: {exc}", file=sys.stderr)
        return 2 if arguments.is_needed or isinstance(exc, CertificateError) else 1
    except (KeyboardInterrupt, EOFError):  # the user does not want to answer
        print("re6st-conf: interrupted, nothing is lost: run again", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="re6st-conf", description="Make this host a node of a network.")
    add = parser.add_argument
    add("--registry", required=True, metavar="URL", help="registry of the network, as http://host[:port]/")
    add("--fingerprint", metavar="ALG:HEX", help="of the CA certificate, as the operator told you")
    add(
        "--is-needed",
        action="store_true",
        help="only tell by the exit status: 0 if the overlay is not reachable",
    )
    add("--ca-only", action="store_true", help="only write ca.crt")
    add("-d", "--dir", type=Path, default=Path(), metavar="DIR", help="directory to work in (current)")
    add(
        "-r",
        "--req",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="name to show to the operator, such as O 'Some Company' (repeatable)",
    )
    add("--email", help="your address, which the operator will see")
    add("--token", help="permission to join, from the operator (asked for)")
    add("--anonymous", action="store_true", help="join without token, where the network allows that")
    add("--location", metavar="CC,CONT", help="country and continent of this host, such as FR,EU")
    add("--force", action="store_true", help="ask the registry even if there is a valid certificate")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    """Raises ConfigError listing every mistake in the options."""
    problems: list[str] = []
    for check in (lambda: https_url(arguments.registry), lambda: subject(arguments.req)):
        try:
            check()
        except ConfigError as exc:
            problems += exc.problems
    if arguments.fingerprint is not None and not _is_fingerprint(arguments.fingerprint):
        problems.append(f"--fingerprint {arguments.fingerprint[:80]!r} is not of the form sha256:HEX")
    if arguments.anonymous and (arguments.token is not None or arguments.email is not None):
        problems.append("--anonymous excludes --token and --email")
    if arguments.location and not _LOCATION.fullmatch(arguments.location):
        problems.append(f"--location {arguments.location!r} is not of the form CC,CONT, such as FR,EU")
    if arguments.is_needed and arguments.ca_only:
        problems.append("--is-needed writes nothing, --ca-only writes ca.crt: choose one")
    if problems:
        raise ConfigError(*problems)


def _is_fingerprint(text: str) -> bool:
    algorithm, _, digest = text.partition(":")
    digits = digest.replace(":", "")
    return len(digits) == _DIGITS.get(algorithm.lower(), 0) and not set(digits.lower()) - set(
        "0123456789abcdef"
    )


def _is_needed(arguments: argparse.Namespace) -> bool:
    files = joining.Files(arguments.dir.resolve())
    try:
        ca = asyncio.run(joining.trusted_ca(arguments.registry, arguments.fingerprint, files))
    except joining.CaNotTrustedError as exc:
        ca = exc.ca  # nothing is written, and routes are no secret
    return not overlay_reached(network_of_ca(ca))


def _configure(arguments: argparse.Namespace) -> None:
    files = joining.make_directory(arguments.dir)
    ca = _ca(arguments, files)
    if arguments.ca_only:
        joining.save_ca(ca, files)
        return
    now = datetime.now(UTC)
    identity = joining.current_identity(files, ca, None)
    if identity and now < identity.not_after - RENEWAL_MARGIN and not arguments.force:
        joining.current_identity(files, ca, now)
        joining.complete(_request(arguments, None), files, ca)
        print("nothing to do")
    elif identity and (renewed := _renewed(arguments, files, ca, identity, now)):
        joining.complete(_request(arguments, None), files, ca)
        print("the registry gave the same certificate again" if renewed == identity else "renewed")
        identity = renewed
    else:
        request = _request(arguments, _token(arguments))
        identity = asyncio.run(joining.join(request, files, ca, now))
        print(f"certificate and options are in {files.directory}: start with re6stnet @{files.config}")
    print(f"{files.cert} is valid until {identity.not_after:%Y-%m-%d}")
    print(f"subnet: {identity.network.subnet(identity.prefix)} (CN {identity.prefix})")


def _renewed(
    arguments: argparse.Namespace, files: joining.Files, ca: x509.Certificate, old: Identity, now: datetime
) -> Identity | None:
    """What the renewed certificate states; None if joining anew is all that is left.

    A refusal while the old one is good is for the user to read: only --force gives that prefix up.
    """
    try:
        return asyncio.run(joining.renew(_request(arguments, None), files, ca, now))
    except joining.RenewalRefusedError:
        if now < old.not_after and not arguments.force:
            raise
        return None


def _ca(arguments: argparse.Namespace, files: joining.Files) -> x509.Certificate:
    """The CA, if the fingerprint, the file, or the user says that it is right."""
    try:
        return asyncio.run(joining.trusted_ca(arguments.registry, arguments.fingerprint, files))
    except joining.CaNotTrustedError as exc:
        if not sys.stdin.isatty():
            raise
        print(f"The CA's fingerprint is {exc.fingerprint}")
        if input("Is that what the operator of the network told you? [y/N] ").strip().lower() != "y":
            raise
        return exc.ca


def _token(arguments: argparse.Namespace) -> str | None:
    """The token to use; None: anonymous.  Raises ConfigError."""
    if arguments.anonymous:
        return None
    token: str | None = arguments.token
    if token is None and sys.stdin.isatty():
        if arguments.email:
            print("This registry does not send mail: the operator of the network gives you the token.")
        token = input("Token: ")
    if not token or not token.strip():
        raise ConfigError("a token is needed: the operator of the network has it; give it with --token")
    return token.strip()


def _request(arguments: argparse.Namespace, token: str | None) -> joining.Request:
    return joining.Request(
        registry=arguments.registry,
        names=subject(arguments.req),
        token=token,
        email=arguments.email,
        location=arguments.location,
    )
