"""Which Internet a lab gets: netem where the kernel has it, else the switch; or the one that is asked for."""

from collections.abc import Sequence
from pathlib import Path

from netns_lab.internet import netem
from netns_lab.internet.link import Internet, Line, Link
from netns_lab.internet.netem import Netem
from netns_lab.internet.switch import Port, Switch
from netns_lab.namespace import Machine
from re6st_core.errors import ConfigError

KINDS = ("netem", "switch")


def start_internet(
    kind: str | None,
    ports: Sequence[Port | None],
    links: Sequence[Sequence[Link]],
    *,
    lines: Sequence[Line] = (),
    home: Machine,
    log: Path,
    seed: int = 0,
) -> Internet:
    """Start one of ``KINDS`` (None: the best there is) on the machine ``home``; its ``kind`` says which.

    Raises ConfigError for an unknown kind, or for netem where the kernel has none; else as the kinds do.
    """
    if kind not in (None, *KINDS):
        raise ConfigError(f"no Internet of the kind {kind!r}: {' or '.join(KINDS)}")
    if kind != "switch" and netem.available(home):
        return Netem.start(ports, links, lines=lines, home=home)
    if kind == "netem":
        raise ConfigError("this kernel has no netem (as root: modprobe sch_netem), use the switch")
    return Switch.start(ports, links, lines=lines, home=home, log=log, seed=seed)
