"""The options of ``re6st-registry``."""

import argparse
from pathlib import Path

DEFAULT_DIR = Path("/var/lib/re6st-registry")
DEFAULT_AFTER_S, MIN_AFTER_S, MAX_AFTER_S = 600, 5, 7 * 86400


def parser() -> argparse.ArgumentParser:
    """The whole command line; ``command`` and ``verb`` tell what was chosen."""
    top = argparse.ArgumentParser(prog="re6st-registry", description="The registry of a re6st network.")
    commands = top.add_subparsers(dest="command", required=True)
    _init(commands.add_parser("init", help="make the CA, the database and the settings of a new network"))
    run = commands.add_parser("run", help="serve until SIGTERM")
    _common(run, json=False)
    run.add_argument(
        "--listen",
        action="append",
        metavar="ADDRESS",
        help="address to listen on (repeatable; all addresses)",
    )
    run.add_argument("--verbose", "-v", action="store_true", help="log details too")
    _tokens(commands.add_parser("token", help="permissions to join"))
    _nodes(commands.add_parser("node", help="who has joined"))
    _keys(commands.add_parser("key", help="the key that authenticates Babel's packets"))
    return top


def _common(command: argparse.ArgumentParser, *, json: bool = True) -> None:
    command.add_argument(
        "--dir", type=Path, default=DEFAULT_DIR, metavar="DIR", help=f"where everything is ({DEFAULT_DIR})"
    )
    if json:
        command.add_argument("--json", action="store_true", help="print JSON")


def _init(init: argparse.ArgumentParser) -> None:
    _common(init)
    init.add_argument("--network", required=True, metavar="PREFIX", help="IPv6 prefix, as 2001:db8:42::/48")
    init.add_argument(
        "--host",
        action="append",
        required=True,
        metavar="NAME|IP",
        help="name or address of this host, which the registry's certificate will carry (repeatable)",
    )
    init.add_argument("--port", type=int, help="port of HTTP (80); HTTPS is on 443 for 80, else on the next")
    init.add_argument(
        "--prefix-length", type=int, metavar="L", help="bits of the prefix that a token gives (16)"
    )
    init.add_argument(
        "--anonymous-prefix-length",
        type=int,
        metavar="L",
        help="bits for nodes without token (0: none may join)",
    )
    init.add_argument("--client-count", type=int, metavar="N", help="tunnels that a node opens (10)")
    init.add_argument("--max-clients", type=int, metavar="N", help="tunnels that a node accepts (twice that)")
    init.add_argument("--hello", type=float, metavar="S", help="Babel's hello interval in seconds (0.5)")
    init.add_argument("--rsa", type=int, metavar="BITS", help="RSA key for the CA (EC P-256)")


def _tokens(token: argparse.ArgumentParser) -> None:
    verbs = token.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add", help="make a token for one node, or several, and print it")
    _common(add)
    add.add_argument("--email", default="", help="of who gets it")
    add.add_argument("--prefix-length", type=int, metavar="L", help="bits of the node's prefix")
    add.add_argument("--token", help="the token itself, instead of a random one")
    add.add_argument("--count", type=int, metavar="N", help="make so many, each for one node")
    _common(verbs.add_parser("list", help="show all, with their age and who used them"))
    delete = verbs.add_parser("delete", help="withdraw a token")
    _common(delete)
    delete.add_argument("token")


def _keys(key: argparse.ArgumentParser) -> None:
    verbs = key.add_subparsers(dest="verb", required=True)
    rotate = verbs.add_parser("rotate", help="change it, without loss")
    _common(rotate)
    rotate.add_argument(
        "--after",
        type=int,
        default=DEFAULT_AFTER_S,
        metavar="S",
        help=f"seconds until it is used, within which all nodes must fetch it ({DEFAULT_AFTER_S})",
    )


def _nodes(node: argparse.ArgumentParser) -> None:
    verbs = node.add_subparsers(dest="verb", required=True)
    _common(verbs.add_parser("list", help="show all"))
    revoke = verbs.add_parser("revoke", help="cut a node off, for good")
    _common(revoke)
    revoke.add_argument("prefix", metavar="INT/LEN", help="the CN of its certificate")
