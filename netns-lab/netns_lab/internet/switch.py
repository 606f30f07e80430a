"""The Internet of a lab: one process that carries frames between TAPs, each pair of them with its own delay.

The process (:mod:`netns_lab.internet.switch_process`) is steered by JSON lines on its standard input and
ends when that closes, so it never outlives the lab; the TAPs live as long as the process.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from netns_lab.namespace import Machine, last_line
from re6st_core.errors import RouterError

# Frames in flight: 64 MiB at most, touched only as needed; 0.13 s of a full 3 Gbit/s.
POOL_FRAMES = 32768
_ANSWER_WITHIN_S = 10


@dataclass(frozen=True, slots=True)
class Port:
    """Where a port of the switch comes out: a TAP of this name in that machine."""

    machine: Machine
    interface: str


@dataclass(frozen=True, slots=True)
class SwitchStats:
    """Counters since the start; lateness is what a frame left later than its delay says."""

    received: int
    delivered: int
    dropped_full: int
    dropped_cut: int
    dropped_unknown: int
    dropped_port: int
    queued: int
    late_p50_us: int
    late_p99_us: int


class Switch:
    """A running switch; ports are numbered in the order given."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    def start(
        cls, ports: Sequence[Port], rtt_ms: Sequence[Sequence[float]], *, home: Machine, log: Path
    ) -> Self:
        """Start the switch on the machine ``home`` and wait until all TAPs exist.

        ``rtt_ms[a][b] / 2`` is the delay from port a to port b.  Raises RouterError when it can't start.
        """
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
        switch = cls(process, log)
        try:
            switch._ask(
                ports=[[str(port.machine.path), port.interface] for port in ports],
                delay_ns=[[round(rtt * 500_000) for rtt in row] for row in rtt_ms],
                pool_frames=POOL_FRAMES,
            )
        except RouterError:
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

    def set_rtt(self, a: int, b: int, rtt_ms: float) -> None:
        """Change the delay between two ports, both ways; frames in flight keep theirs, none is overtaken."""
        self._ask(set_delay_ns=[[a, b, round(rtt_ms * 500_000)], [b, a, round(rtt_ms * 500_000)]])

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two ports, also not what is in flight; undone by :meth:`set_rtt`."""
        self._ask(set_delay_ns=[[a, b, -1], [b, a, -1]])

    def stats(self) -> SwitchStats:
        """The counters as of now; RouterError when the switch is dead."""
        return SwitchStats(**self._ask(stats=True))

    def stop(self) -> None:
        """End the process, and with it the TAPs; harmless when it has ended already."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # a request it did not live to read

    def _ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_WITHIN_S)
            line = self._process.stdout.readline() if ready else ""
        except OSError:
            line = ""
        if not line:
            raise RouterError(f"the switch does not answer: {last_line(self._log)} (see {self._log})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RouterError(f"the switch: {answer['error']}")
        return answer
