"""Which lab a command means, and which machine in it: names from the command line, all mistakes explained."""

import difflib
import os
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from netns_lab import cleanup
from netns_lab.cleanup import LabRecord
from netns_lab.mesh import certified_address
from netns_lab.namespace import NETNS_DIR, Machine
from re6st_core.errors import ConfigError


def running() -> list[LabRecord]:
    """The labs whose owner lives, oldest first."""
    return sorted((record for record in cleanup.records() if record.alive), key=lambda r: r.owner_start)


def find(name: str | None) -> LabRecord:
    """The running lab of this label or id; ConfigError lists what there is.

    Without a name it is that of the environment's ``NETNS_LAB``, else the only one.
    """
    labs = running()
    name = name or os.environ.get("NETNS_LAB") or None
    if name is None:
        if len(labs) == 1:
            return labs[0]
        if not labs:
            raise ConfigError("no lab is up: netns-lab up FILE")
        raise ConfigError(f"several labs are up, say which: {_listed(labs)}")
    found = [lab for lab in labs if name in (lab.label, lab.lab_id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"several labs are called {name}, use an id: {_listed(found)}")
    raise ConfigError(f"no lab {name!r} is up; there are: {_listed(labs) or 'none (netns-lab up FILE)'}")


def find_machine(target: str) -> tuple[LabRecord, str]:
    """``MACHINE`` or ``LAB:MACHINE``, as the lab and the name of the machine; ConfigError suggests others."""
    lab_name, colon, name = target.rpartition(":")
    record = find(lab_name if colon else None)
    machines = machine_names(record)
    if name not in machines:
        raise ConfigError(f"lab {record.label} has no machine {name!r}{_meant(name, machines)}")
    return record, name


def machine_names(record: LabRecord) -> list[str]:
    """All machines of a lab, boxes included."""
    start = record.namespace("")
    return sorted(path.name.removeprefix(start) for path in NETNS_DIR.glob(f"{start}*"))


def machine(record: LabRecord, name: str) -> Machine:
    """A machine of a lab of another process."""
    assert record.directory is not None  # only dead labs have none
    return Machine(record.namespace(name), record.directory / name)


def overlay_addresses(record: LabRecord) -> dict[str, IPv6Address]:
    """The overlay address of each node that has joined, from the certificate in its directory."""
    assert record.directory is not None
    found = {}
    for name in machine_names(record):
        certificate = record.directory / name / "etc" / "cert.crt"
        if certificate.exists():
            found[name] = certified_address(certificate)
    return found


def socket_path(record: LabRecord) -> Path:
    """The control socket of a lab."""
    return cleanup.RUN_DIR / f"{record.lab_id}.sock"


def _listed(labs: Iterable[LabRecord]) -> str:
    return ", ".join(f"{lab.label} ({lab.lab_id})" for lab in labs)


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there are: {', '.join(known)}"
