"""Tell stories with many seeds, on several processes, and sum up what came out."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import statistics
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from netns_lab.model.stage import Figure, Result, Stage
from netns_lab.model.stories import STORIES
from re6st_core.errors import RouterError

MAX_LISTED = 20
"""Failed runs of one story that a summary lists."""
_AHEAD = 4
"""Runs handed out per process."""
_LOOK_EVERY_S = 0.3
"""How often it is asked whether to stop."""


@dataclass(frozen=True, slots=True)
class Run:
    """One story with one seed."""

    story: str
    seed: int
    nodes: int

    @property
    def command(self) -> str:
        """How to see it again."""
        return f"netns-lab model {self.story} --seed {self.seed} --nodes {self.nodes} --trace"


def tell(run: Run, show: Callable[[str], None] | None = None) -> Result:
    """Tell one story; an exception of the model itself is a failure, too."""
    stage = Stage(run.story, run.seed, run.nodes, show=show)
    try:
        return STORIES[run.story](stage)
    except Exception:
        failures = (*stage.failures, f"the model failed: {traceback.format_exc()}")
        return Result(run.story, run.seed, stage.figures, failures, stage.mesh.trace.digest, stage.mesh.now)


def tell_all(
    runs: Iterable[Run], jobs: int, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Run, Result]]:
    """Results as they come, until all are there or ``stopped``; with one job, in this process.

    However it is left, its processes end.
    """
    if jobs <= 1:
        for run in runs:
            if stopped():
                return
            yield run, tell(run)
        return
    waiting = iter(runs)
    pool = ProcessPoolExecutor(jobs, initializer=_begin_worker)
    under_way: dict[Future[Result], Run] = {}
    try:
        while not stopped():
            for run in waiting:
                under_way[pool.submit(tell, run)] = run
                if len(under_way) >= jobs * _AHEAD:
                    break
            if not under_way:
                return
            done, _ = wait(under_way, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
            for future in done:
                yield under_way.pop(future), future.result()
    except BrokenProcessPool as exc:
        raise RouterError("a process of the model was killed: out of memory? try fewer --jobs") from exc
    finally:
        if under_way:
            for worker in multiprocessing.active_children():
                worker.kill()  # what they work on is not wanted any more
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Leave it to the first process what signals to all mean, and end when that one does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers have one"

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(slots=True)
class Summary:
    """What many runs showed."""

    results: dict[str, list[tuple[Run, Result]]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def add(self, run: Run, result: Result) -> None:
        """One more."""
        self.results.setdefault(run.story, []).append((run, result))

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not any(self.failed(story) for story in self.results)

    def failed(self, story: str) -> list[tuple[Run, Result]]:
        """The runs that failed, by seed."""
        found = [(run, result) for run, result in self.results[story] if not result.passed]
        return sorted(found, key=lambda pair: pair[0].seed)

    @property
    def simulated_minutes(self) -> float:
        """Of all runs together."""
        return sum(r.simulated_s for results in self.results.values() for _, r in results) / 60

    def report(self) -> dict[str, object]:
        """Everything as one JSON-able object."""
        elapsed_s = max(time.monotonic() - self.began, 1e-3)
        return {
            "verdict": "pass" if self.passed else "fail",
            "simulated_minutes": round(self.simulated_minutes, 1),
            "simulated_minutes_per_s": round(self.simulated_minutes / elapsed_s, 1),
            "stories": {story: self._story(story) for story in self.results},
        }

    def _story(self, story: str) -> dict[str, object]:
        failed = self.failed(story)
        results = [result for _, result in self.results[story]]
        report: dict[str, object] = {
            "verdict": "fail" if failed else "pass",
            "runs": len(results),
            "failed": len(failed),
            "failures": [
                {"seed": run.seed, "repeat": run.command, "failures": list(result.failures)}
                for run, result in failed[:MAX_LISTED]
            ],
            "figures": spread(results),
        }
        if len(results) == 1:
            report["digest"] = results[0].digest
        return report


def spread(results: list[Result]) -> dict[str, dict[str, object]]:
    """Each figure over all runs: least, median, 95th percentile, most, and how often its bound was missed."""
    names = dict.fromkeys(name for result in results for name in result.figures)
    return {name: _spread_of([r.figures[name] for r in results if name in r.figures]) for name in names}


def _spread_of(figures: list[Figure]) -> dict[str, object]:
    values = sorted(f.value for f in figures if f.value is not None)
    last = figures[-1]
    found: dict[str, object] = {"unit": last.unit, "bound": last.bound}
    if values:
        found |= {
            "least": values[0],
            "median": round(statistics.median(values), 3),
            "p95": values[min(len(values) - 1, int(0.95 * len(values)))],
            "most": values[-1],
        }
    found |= {"not_reached": len(figures) - len(values), "missed": sum(not f.met for f in figures)}
    if last.gap:
        found["gap"] = last.gap
    return found
