"""``re6stnet``: the node daemon.  ``re6stnet @re6stnet.conf`` from the configuration directory runs it."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from re6st_core.errors import CertificateError, ConfigError, Re6stError
from re6stnet.cli.optionfile import Parser
from re6stnet.settings import DEFAULT_PORT, Settings, settings_from

LEVELS = (logging.CRITICAL, logging.WARNING, logging.INFO, logging.DEBUG, logging.DEBUG)


def parser() -> Parser:
    """The command line, also read by the test of the man page; values are validated by the settings."""
    top = Parser(
        prog="re6stnet",
        description="Node of an IPv6 overlay mesh.  Options may stand in a file: re6stnet @re6stnet.conf",
        allow_abbrev=False,
    )
    add = top.add_argument
    add("--registry", metavar="URL", help="the registry, http://host[:port]/")
    add("--ca", metavar="FILE", help="certificate of the network's CA")
    add("--cert", metavar="FILE", help="certificate of this node")
    add("--key", metavar="FILE", help="private key of this node")
    add(
        "--ip",
        metavar="ADDRESS",
        action="append",
        help="address to announce (repeatable; default: found out)",
    )
    add("--port", metavar="N", help=f"the one port to open, UDP and TCP (default: {DEFAULT_PORT})")
    add(
        "-l", "--log", metavar="DIR", default="/var/log/re6stnet", help="log directory (default: %(default)s)"
    )
    add("-r", "--run", metavar="DIR", default="/run/re6stnet", help="run directory (default: %(default)s)")
    add(
        "-s",
        "--state",
        metavar="DIR",
        default="/var/lib/re6stnet",
        help="state directory (default: %(default)s)",
    )
    add(
        "-v",
        "--verbose",
        metavar="LEVEL",
        help="0 silent, 1 warnings, 2 what changes, 3 everything (default: 2)",
    )
    add("-i", "--interface", metavar="DEVICE", action="append", help="LAN interface for Babel (repeatable)")
    add("-I", "--main-interface", metavar="DEVICE", help="where the node's address goes (default: lo)")
    add("--client-count", metavar="N", help="tunnels to open (default: as the network says)")
    add("--max-clients", metavar="N", help="tunnels to accept (default: as the network says)")
    add("--country", metavar="CC", help="country to announce, ISO 3166")
    add(
        "--neighbour",
        metavar="INT/LEN",
        action="append",
        help="node to have a tunnel with, whatever it carries (repeatable)",
    )
    add(
        "--transport",
        metavar="NAME",
        action="append",
        help="wireguard or openvpn: what tunnels may be made of (repeatable; default: both)",
    )
    add("--check", action="store_true", help="check the settings, then leave")
    return top


def read_settings(argv: Sequence[str]) -> tuple[Settings, bool]:
    """Settings, and whether ``--check`` was given.  Raises ConfigError with every mistake found."""
    options, problems = parser().read(argv)
    try:
        settings = settings_from(vars(options), base=Path.cwd())
    except ConfigError as exc:
        raise ConfigError(*problems, *exc.problems) from exc
    if problems:
        raise ConfigError(*problems)
    return settings, options.check


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; 0 after SIGTERM, 2 for what the operator must change, 1 for everything else."""
    try:
        settings, check = read_settings(sys.argv[1:] if argv is None else argv)
        if check:
            print("re6stnet: the settings are valid")
            return 0
        if os.geteuid() != 0:
            raise ConfigError("must be run as root: it adds network interfaces, routes and firewall rules")
        logging.basicConfig(
            level=LEVELS[settings.verbose], format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        )
        if settings.verbose < 4:
            logging.getLogger("asyncio").setLevel(logging.WARNING)
        # aiohttp reads the system's CAs, twice, when it is imported: 0.05 s and 2 MB.  We trust none of them.
        os.environ["SSL_CERT_FILE"] = os.devnull
        from re6stnet.app import run  # noqa: PLC0415 - --check and mistakes need none of its imports

        return run(settings)
    except ConfigError as exc:
        for problem in exc.problems:
            print(f"re6stnet: {problem}", file=sys.stderr)
        return 2
    except Re6stError as exc:
        print(f"re6stnet: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, CertificateError) else 1


if __name__ == "__main__":
    sys.exit(main())
