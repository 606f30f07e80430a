"""The switch's process: makes the TAPs, lets the C loop carry frames, answers JSON lines meanwhile.

    stdin                                                      stdout
    {"ports": [[netns, ifname], …], "delay_ns": [[…]], …}      {}          once, when all TAPs exist
    {"set_delay_ns": [[from, to, ns], …]}                      {}          ns < 0 cuts
    {"stats": true}                                            {"received": …, …}
    end of file                                                            the process ends

Any failure is answered with {"error": "…"}; before the first answer it also ends the process.
"""

import bisect
import itertools
import json
import os
import struct
import sys
import threading
from typing import Any

from netns_lab._native._switch import ffi, lib

_COUNTERS = (
    "received",
    "delivered",
    "dropped_full",
    "dropped_cut",
    "dropped_unknown",
    "dropped_port",
    "queued",
)
_LATE_STEP_US = 10


def open_tap(netns: str, ifname: str) -> int:
    """A TAP in another namespace: its descriptor, or OSError."""
    fd: int = lib.lab_tap_in(netns.encode(), ifname.encode())
    if fd < 0:
        raise OSError(-fd, f"TAP {ifname} in {netns}: {os.strerror(-fd)}")
    return fd


def read_stats(switch: Any) -> dict[str, int]:  # Any: a cffi pointer has no type of its own
    """Counters and lateness percentiles (µs, to 10 µs) of a switch, which may be running."""
    stats = ffi.new("sw_stats *")
    lib.sw_read_stats(switch, stats)
    late = list(stats.late)
    return {
        **{name: getattr(stats, name) for name in _COUNTERS},
        "late_p50_us": _percentile_us(late, 0.50),
        "late_p99_us": _percentile_us(late, 0.99),
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


def serve(switch: Any, ports: int) -> None:
    """Answer requests until standard input ends, then stop the C loop."""
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, object] = {}
        if "stats" in request:
            answer = dict(read_stats(switch))
        changes = request.get("set_delay_ns", ())
        unknown = [pair for *pair, _ in changes if not all(0 <= port < ports for port in pair)]
        if unknown:
            answer = {"error": f"no such pair of ports: {unknown[0]}"}
        else:
            for source, to, delay_ns in changes:
                lib.sw_set_delay(switch, source, to, delay_ns)
        print(json.dumps(answer), flush=True)
    lib.sw_stop(switch)


def main() -> int:
    """Run a switch as the first line of standard input describes it."""
    setup = json.loads(sys.stdin.readline())
    ports = len(setup["ports"])
    switch = ffi.gc(lib.sw_new(ports, setup["pool_frames"]), lib.sw_free)
    if switch == ffi.NULL:
        print(json.dumps({"error": "not enough memory"}), flush=True)
        return 1
    for source, row in enumerate(setup["delay_ns"]):
        for to, delay_ns in enumerate(row):
            lib.sw_set_delay(switch, source, to, delay_ns)
    try:
        fds = [open_tap(netns, ifname) for netns, ifname in setup["ports"]]
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
    return int(result < 0)


if __name__ == "__main__":
    sys.exit(main())
