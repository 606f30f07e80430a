"""The Internet of a lab in user space: a process carries frames between TAPs, each pair with its own link.

The process (:mod:`netns_lab.internet.switch_process`) is steered by JSON lines on its standard input and
ends when that closes, so it never outlives the lab; the TAPs live as long as the process.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from netns_lab._native._switch import lib
from netns_lab.internet.link import Line, Link, require
from netns_lab.internet.stats import InternetStats, PortStats
from netns_lab.internet.switch_model import Reason
from netns_lab.namespace import Machine, last_line
from re6st_core.errors import RouterError

# Frames in flight: 64 MiB at most, touched only as needed; 0.13 s of a full 3 Gbit/s.
POOL_FRAMES = 32768
_ANSWER_WITHIN_S = 10
_END_WITHIN_S = 3
_REASONS = [reason.name.lower() for reason in Reason]


@dataclass(frozen=True, slots=True)
class Port:
    """Where a port of the Internet comes out: an interface of this name in that machine."""

    machine: Machine
    interface: str


def lost_interfaces(ports: Iterable[Port]) -> str:
    """What to say when these ports lost their interfaces."""
    names = ", ".join(f"{port.interface} in {port.machine.namespace}" for port in ports)
    return f"the Internet has lost an interface, it was deleted: {names}"


def _pace(rate_mbit: float | None) -> int:
    """65536ths of a ns per byte."""
    return 0 if rate_mbit is None else round(8_000 * 65536 / rate_mbit)


def _link_change(source: int, to: int, link: Link) -> list[int]:
    delay_ns, jitter_ns = round(link.delay_ms * 1e6), round(link.jitter_ms * 1e6)
    loss = round(link.loss * (1 << 31))
    timing = [delay_ns, jitter_ns, _pace(link.rate_mbit), 0]
    return [lib.SW_SET_LINK, source, to, link.reorder, *timing, loss, link.mtu]


def _line_change(port: int, line: Line) -> list[int]:
    return [lib.SW_SET_LINE, port, 0, 0, 0, 0, _pace(line.up_mbit), _pace(line.down_mbit)]


class Switch:
    """A running switch; ports are numbered in the order given.  Implements internet.link.Internet."""

    kind = "switch"

    def __init__(self, process: subprocess.Popen[str], ports: Sequence[Port | None], log: Path) -> None:
        self._process = process
        self._ports = ports
        self._log = log
        self._asking = threading.Lock()

    @classmethod
    def start(
        cls,
        ports: Sequence[Port | None],
        links: Sequence[Sequence[Link]],
        *,
        lines: Sequence[Line] = (),
        home: Machine,
        log: Path,
        seed: int = 0,
    ) -> Self:
        """Start the switch on the machine ``home`` and wait until all TAPs exist; a port may lead nowhere.

        ``links[a][b]`` leads from port a to port b, ``lines[a]`` is the access line of port a.  The same
        ``seed`` loses the same packets of each path.  RouterError: it can't start; ConfigError: bad links.
        """
        paths = [
            (source, to, link)
            for source, row in enumerate(links)
            for to, link in enumerate(row)
            if source != to and link != Link()
        ]
        require((f"link from port {source} to port {to}", link) for source, to, link in paths)
        require((f"line of port {port}", line) for port, line in enumerate(lines))
        changes = [_link_change(*path) for path in paths]
        changes += [_line_change(port, line) for port, line in enumerate(lines) if line != Line()]
        # -P keeps the working directory off sys.path; PYTHONPATH names where this very package is.
        argv = [sys.executable, "-P", "-m", "netns_lab.internet.switch_process"]
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                home.command(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                bufsize=1,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
                start_new_session=True,
            )
        switch = cls(process, ports, log)
        try:
            switch._ask(
                ports=[port and [str(port.machine.path), port.interface] for port in ports],
                pool_frames=POOL_FRAMES,
                seed=seed % (1 << 64),
            )
            for first in range(0, len(changes), 1000):  # a request at a time, not all in memory twice
                switch._ask(apply=changes[first : first + 1000])
        except BaseException:
            switch.stop()
            raise
        return switch

    @property
    def pid(self) -> int:
        """Process id of the switch."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def set_link(self, source: int, to: int, link: Link) -> None:
        """Change one direction of a path; packets in flight keep their time, none is overtaken."""
        require([(f"link from port {source} to port {to}", link)])
        self._apply([_link_change(source, to, link)])

    def set_line(self, port: int, line: Line) -> None:
        """Change the access line of a port; packets that wait for it keep their time."""
        require([(f"line of port {port}", line)])
        self._apply([_line_change(port, line)])

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two ports, both ways, also not what is in flight."""
        self._set_cut(a, b, cut=True)

    def heal(self, a: int, b: int) -> None:
        """Undo :meth:`cut`: the links are as they would be without it."""
        self._set_cut(a, b, cut=False)

    def silence(self, port: int) -> None:
        """Drop all to and from a port while its carrier stays up: silent death of what is behind."""
        self._apply([[lib.SW_SET_SILENT, port, 0, True]])

    def revive(self, port: int) -> None:
        """Undo :meth:`silence`; what was due meanwhile is lost."""
        self._apply([[lib.SW_SET_SILENT, port, 0, False]])

    def stats(self) -> InternetStats:
        """The counters as of now; RouterError when the switch is dead."""
        answer = self._ask(stats=True)
        ports = tuple(
            PortStats(
                received=received,
                delivered=delivered,
                dropped={reason: count for reason, count in zip(_REASONS, dropped, strict=True) if count},
                gone=bool(gone),
            )
            for received, delivered, dropped, gone in answer.pop("ports")
        )
        return InternetStats(ports=ports, **answer)

    def check(self) -> None:
        """Raise RouterError if frames are no longer carried: it ended, or a port's interface was deleted."""
        each = zip(self._ports, self.stats().ports, strict=True)
        if gone := [port for port, stats in each if port and stats.gone]:
            raise RouterError(lost_interfaces(gone))

    def stop(self) -> None:
        """End the process, and with it the TAPs; harmless when it has ended already."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # a request it did not live to read
        try:
            self._process.wait(_END_WITHIN_S)  # it has seen its input end, and closes the TAPs quicker than
        except subprocess.TimeoutExpired:  # the kernel does when it is killed
            self._process.kill()
            self._process.wait()

    def _set_cut(self, a: int, b: int, *, cut: bool) -> None:
        self._apply([[lib.SW_SET_CUT, *pair, cut] for pair in ((a, b), (b, a))])

    def _apply(self, changes: Iterable[list[int]]) -> None:
        self._ask(apply=list(changes))

    def _ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._asking:
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_WITHIN_S)
                line = self._process.stdout.readline() if ready else ""
            except (OSError, ValueError):  # ValueError: it was stopped
                line = ""
            if not line:
                raise self._death()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RouterError(f"the switch: {answer['error']}")
        return answer

    def _death(self) -> RouterError:
        """Why there is no answer.  A switch that still runs is ended: a late answer would be mistaken."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.stop()
            return RouterError(f"the switch did not answer within {_ANSWER_WITHIN_S} s and was ended")
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return RouterError(f"the switch ended ({how}): {last_line(self._log)} (see {self._log})")
