"""The process that owns a lab made by ``netns-lab up``: builds it, keeps it, removes it when told to end.

    netns-lab up  --starts-->  this process  --the lab's programs
         ^                          |
         +-- JSON lines on a pipe --+      {"progress": text}  {"up": {…}}  {"error": [text, …]}

The pipe is how the command follows the building.  If it breaks before the lab is up, nobody waits for the lab
any more: it is removed.  From then on SIGTERM (``netns-lab down``) or SIGINT ends it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from netns_lab.control.labs import socket_path
from netns_lab.control.server import ControlServer
from netns_lab.control.steering import Steering
from netns_lab.echo import Pair, Prober
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.topology import Topology, load_topology
from re6st_core.errors import ConfigError, Re6stError

FORMS_WITHIN_S = 120.0
"""After that the lab is up although nodes do not reach each other: that may be what its topology is for."""


class Teller:
    """Tells the waiting command how far it is; BrokenPipeError when that is gone."""

    def __init__(self, pipe: int) -> None:
        """``pipe`` is a descriptor; it is closed once the lab is up."""
        self._pipe = pipe
        self._open = True

    def progress(self, text: str) -> None:
        """One more thing is done."""
        self._tell(progress=text)

    def up(self, lab: Lab, missing: set[Pair]) -> None:
        """All is done, but that pairs of nodes may not have answered; the command goes its way."""
        up = {"id": lab.record.lab_id, "label": lab.record.label, "directory": str(lab.directory)}
        self._tell(up={**up, "missing": sorted(missing)})
        os.close(self._pipe)
        self._open = False

    def error(self, problems: Sequence[str]) -> None:
        """It is not to be; harmless if nobody listens."""
        if self._open:
            with contextlib.suppress(BrokenPipeError):
                self._tell(error=list(problems))

    def _tell(self, **what: object) -> None:
        os.write(self._pipe, json.dumps(what).encode() + b"\n")


async def own(lab: Lab, topology: Topology, *, bare: bool, teller: Teller) -> None:
    """Build the lab, serve it until a signal, remove it."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError), contextlib.ExitStack() as stack:
        stack.enter_context(lab)
        # What goes wrong from here on is for the lab's own log: the command that waits shows the last line.
        with (lab.logs / "owner.log").open("ab") as log:
            os.dup2(log.fileno(), sys.stderr.fileno())
        teller.progress(f"{len(topology.nodes)} machines and their Internet")
        mesh = None if bare else stack.enter_context(_mesh(lab, topology))
        async with ControlServer(socket_path(lab.record), Steering(lab, mesh).handle):
            missing: set[Pair] = set()
            if mesh is not None:
                try:
                    await mesh.unless_one_dies(mesh.form(teller.progress))
                    missing = await mesh.unless_one_dies(_until_all_answer(mesh, teller))
                except Re6stError:
                    lab.keep_files = True  # the error names a log, which is to be read
                    raise
            teller.up(lab, missing)
            await asyncio.Event().wait()


async def _until_all_answer(mesh: Mesh, teller: Teller) -> set[Pair]:
    """Wait until every node reaches every other over the overlay, within limits; the pairs that do not."""
    pairs = {(a, b): mesh.addresses[b] for a in mesh.nodes for b in mesh.nodes if a != b}

    def answered(pair: Pair, missing: int) -> None:
        teller.progress(f"{len(pairs) - missing} of {len(pairs)} pairs of nodes reach each other")

    async with Prober(mesh.machines, pairs) as prober:
        # Hundreds of pairs are work for the processor, which the daemons that start need more.
        every_s = max(0.2, len(pairs) / 1000)
        return await prober.until_all_answer(interval_s=every_s, within_s=FORMS_WITHIN_S, on_answer=answered)


def _mesh(lab: Lab, topology: Topology) -> Mesh:
    if topology.registry is None:
        raise ConfigError(
            f'{topology.name}: no node hosts the registry: call one "registry", '
            "say registry = NODE in the file, or use --bare"
        )
    return Mesh(lab, registry=topology.registry)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a process of its own; the arguments are those of :mod:`netns_lab.cli.up`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--topology", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--internet")
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--tell", type=int, required=True, help="descriptor of the pipe")
    arguments = parser.parse_args(argv)
    teller = Teller(arguments.tell)
    try:
        topology = load_topology(arguments.topology)
        lab = Lab(
            topology, label=arguments.label, keep=arguments.keep, internet=arguments.internet, unique=True
        )
        asyncio.run(own(lab, topology, bare=arguments.bare, teller=teller))
    except ConfigError as exc:
        teller.error(exc.problems)
        return 2
    except Re6stError as exc:
        teller.error([str(exc)])
        return 1
    except BrokenPipeError:  # the command was killed: nobody wants the lab
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
