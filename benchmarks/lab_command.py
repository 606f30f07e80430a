"""Runs a ``netns-lab`` command as a user does and reads the one JSON object that it prints."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from benchmarks.result import ROOT
from netns_lab.programs import own, own_environment
from re6st_core.errors import RouterError

Report = Mapping[str, Any]  # Any: decoded JSON, its shape is the command's


def report_of(*words: str, within_s: float) -> Report:
    """What the command reports; RouterError when it prints no JSON object or does not end in time."""
    shown = f"netns-lab {' '.join(words)}"
    argv = [*own("netns-lab"), *words]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=own_environment()
    ) as process:
        try:
            output, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired as exc:
            process.terminate()  # not killed: it removes its lab
            raise RouterError(f"{shown} did not end within {within_s:g} s") from exc
    try:
        report = json.loads(output)
    except ValueError:
        raise RouterError(f"{shown} printed no report, exit status {process.returncode}") from None
    if not isinstance(report, dict):
        raise RouterError(f"{shown} printed something else than a report: {output[:80]!r}")
    return report
