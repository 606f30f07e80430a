"""The switch's process: makes the TAPs, lets the C loop carry frames, answers JSON lines meanwhile.

    stdin                                                          stdout
    {"ports": [[netns, ifname], …], "pool_frames": …, "seed": …}   {}     once, when all TAPs exist
    {"apply": [[kind, from, to, …], …]}                            {}     fields of sw_change in switch.h
    {"stats": true}                                                {"queued": …, "ports": …}
    end of file                                                           the process ends

A port that is null leads nowhere.  Any failure is answered with {"error": "…"}; before the first answer it
also ends the process.  Changes are applied all together or, if one of them is wrong, not at all.
"""

import bisect
import itertools
import json
import os
import struct
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from netns_lab._native._switch import ffi, lib

_LATE_STEP_US = 10
_CLOSING = 16  # TAPs at a time


def open_tap(netns: str, ifname: str) -> int:
    """A TAP in another namespace: its descriptor, or OSError."""
    fd: int = lib.lab_tap_in(netns.encode(), ifname.encode())
    if fd < 0:
        raise OSError(-fd, f"TAP {ifname} in {netns}: {os.strerror(-fd)}")
    return fd


def read_stats(switch: Any, ports: int) -> dict[str, Any]:  # Any: a cffi pointer has no type of its own
    """Counters and lateness (percentiles to 10 µs) of a switch, which may be running."""
    stats, each = ffi.new("sw_stats *"), ffi.new("sw_port_stats[]", ports)
    lib.sw_read_stats(switch, stats, each)
    late = list(stats.late)
    return {
        "queued": stats.queued,
        "peak_per_s": stats.peak_per_s,
        "late_p50_us": _percentile_us(late, 0.50),
        "late_p99_us": _percentile_us(late, 0.99),
        "late_max_us": stats.late_max_ns // 1000,
        "ports": [[port.received, port.delivered, list(port.dropped), port.gone] for port in each],
    }


def _percentile_us(histogram: list[int], share: float) -> int:
    wanted = share * sum(histogram)
    seen = list(itertools.accumulate(histogram))
    return (bisect.bisect_left(seen, wanted) + 1) * _LATE_STEP_US if seen[-1] else 0


def prefer_this_process() -> None:
    """Be scheduled before ordinary processes, as a network is: real-time if allowed, else niceness."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:  # no real-time budget in this control group
        try:
            os.nice(-20)
        except OSError:
            pass


def keep_processors_awake() -> None:
    """Ask the kernel not to let idle processors sleep while this process lives.

    Waking one up took up to 5 ms on an idle virtual machine (p99 of a frame's lateness); awake it is 0.15 ms.
    """
    try:
        # The wish holds as long as the descriptor is open: until the process ends, however it does.
        os.write(os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC), struct.pack("@i", 0))
    except OSError:  # not in this kernel: nothing to wish for
        pass


def answer(switch: Any, ports: int, line: str) -> dict[str, Any]:
    """What to answer to one line; does what it asks for."""
    try:
        request = json.loads(line)
    except ValueError as exc:
        return {"error": f"not JSON: {exc}"}
    match request:
        case {"stats": True}:
            return read_stats(switch, ports)
        case {"apply": list(wanted)}:
            try:
                changes = ffi.new("sw_change[]", wanted)
            except (TypeError, ValueError, OverflowError) as exc:
                return {"error": f"not a list of changes: {exc}"}
            wrong = lib.sw_apply(switch, changes, len(wanted))
            return {"error": f"no such port or value: {wanted[wrong]}"} if wrong >= 0 else {}
        case _:
            return {"error": f"not a request: {line.strip()[:80]}"}


def serve(switch: Any, ports: int) -> None:
    """Answer requests until standard input ends, then stop the C loop."""
    try:
        for line in sys.stdin:
            print(json.dumps(answer(switch, ports, line)), flush=True)
    finally:
        lib.sw_stop(switch)


def close_together(fds: Iterable[int]) -> None:
    """Close TAPs side by side: the kernel waits for all as long as for one (60 in 0.2 s, not 1.3)."""
    with ThreadPoolExecutor(_CLOSING) as pool:
        for _ in pool.map(os.close, fds):
            pass


def main() -> int:
    """Run a switch as the first line of standard input describes it."""
    setup = json.loads(sys.stdin.readline())
    ports = len(setup["ports"])
    switch = ffi.gc(lib.sw_new(ports, setup["pool_frames"], setup["seed"]), lib.sw_free)
    if switch == ffi.NULL:
        print(json.dumps({"error": f"not enough memory, or too many ports: {ports}"}), flush=True)
        return 1
    try:
        fds = [-1 if port is None else open_tap(*port) for port in setup["ports"]]
    except OSError as exc:
        print(json.dumps({"error": exc.strerror}), flush=True)
        return 1
    prefer_this_process()
    keep_processors_awake()
    print("{}", flush=True)
    threading.Thread(target=serve, args=(switch, ports), daemon=True).start()
    result = lib.sw_run(switch, ffi.new("int[]", fds))
    if result < 0:
        print(f"the switch's loop failed: {os.strerror(-result)}", file=sys.stderr)
    close_together(fd for fd in fds if fd >= 0)
    return int(result < 0)


if __name__ == "__main__":
    sys.exit(main())
