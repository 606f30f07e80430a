"""``make bench``: runs every benchmark, or those named, and writes ``docs/evidence.md``.

    make bench                                 everything
    make bench ARGS="data_plane switch"        these only; the page keeps what the others left, with its date
    make bench ARGS=--quick                    everything in short, results and page apart, in build/bench

One that fails does not stop the others; its old result is replaced by one that says so.
"""

import argparse
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import evidence
from benchmarks.result import RESULTS, ROOT, started
from benchmarks.sections import SECTIONS

QUICK = ROOT / "build" / "bench"
NAMES = (*(section.benchmark for section in SECTIONS), "scenarios")


def main(argv: Sequence[str] | None = None, run: Callable[[list[str]], int] | None = None) -> int:
    """Returns the exit status: 0 when every benchmark ran to its end and met its bounds."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that they work")
    parser.add_argument("--results", type=Path, help="where results and page go instead")
    options = parser.parse_args(argv)
    unknown = set(options.name) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    results = options.results or (QUICK if options.quick else RESULTS)
    page = evidence.PAGE if results == RESULTS else results / "evidence.md"
    failed = []
    names = options.name or NAMES
    for position, name in enumerate(names, 1):
        print(f"== {position} of {len(names)}: {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        status = perform(name, results, ["--quick"] if options.quick else [], run or call)
        print(
            f"== {name}: exit status {status}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
        )
        failed += [name] if status else []
    evidence.main(["--results", str(results), "--page", str(page)])
    if failed:
        print(f"bench: failed or missed a bound: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def call(argv: list[str]) -> int:
    """Run a program to its end, also when we are told to leave: it then removes what it built."""
    process = subprocess.Popen(argv)
    try:
        return process.wait()
    except KeyboardInterrupt:  # it got the signal as well
        process.wait()
        raise
    except SystemExit:
        process.terminate()
        process.wait()
        raise


def perform(name: str, results: Path, options: list[str], run: Callable[[list[str]], int]) -> int:
    """Run one script as a process of its own; when it ends without a result, leave one that says so."""
    path = results / f"{name}.json"
    before = path.stat().st_mtime_ns if path.exists() else None
    words = ["-m", f"benchmarks.{name}", *options]
    status = run([sys.executable, *words, "--results", str(results)])
    if status == 130:
        raise KeyboardInterrupt
    if name != "scenarios" and (not path.exists() or path.stat().st_mtime_ns == before):
        failure = f"ended without a result, exit status {status}"
        result = started(name, "", f"python {' '.join(words)}")
        dataclasses.replace(result, failure=failure).write(results)
        return status or 1
    return status


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
