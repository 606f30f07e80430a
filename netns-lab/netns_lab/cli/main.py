"""The ``netns-lab`` command: one module per group of sub-commands, each with ``add_parser(commands)``.

Exit status: 0 done, and a scenario passed; 1 it failed; 2 it could not be done (usage, topology file,
privileges, programs); 130 after a Ctrl-C before its end.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from netns_lab import rootless
from netns_lab.boxes import command as nat
from netns_lab.cli import completion, housekeeping, inside, ping, report, run, status, steer, up
from netns_lab.model import command as model
from netns_lab.simulate import command as simulate
from netns_lab.topology import command as check
from re6st_core.errors import ConfigError, Re6stError

# In the order of the help.  A module sets ``command`` on its parser: arguments in, exit status out; and
# ``unprivileged`` if it needs no namespaces, so neither root nor a sandbox.
_GROUPS = (
    up,
    status,
    inside,
    ping,
    steer,
    run,
    report,
    check,
    nat,
    model,
    simulate,
    housekeeping,
    completion,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (default: the process's arguments); returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        if os.geteuid() != 0 and not arguments.unprivileged:
            rootless.enter(argv)
        status = command(arguments)
        sys.stdout.flush()
        return status
    except ConfigError as exc:
        for problem in exc.problems:
            print(f"netns-lab: {problem}", file=sys.stderr)
        return 2
    except Re6stError as exc:
        print(f"netns-lab: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough; nothing may fail again when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE  # not 0: no verdict was told


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netns-lab", description="An Internet in network namespaces.")
    parser.set_defaults(unprivileged=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in _GROUPS:
        group.add_parser(commands)
    return parser
