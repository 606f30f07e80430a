"""What the sandbox looks like from inside; its life is shown in test_rootless.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netns_lab.programs import own_environment

INSIDE = """
import os, sys
from pathlib import Path
from netns_lab import sandbox
records = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
sandbox.prepare(records)
print(sorted({path.name for path in Path("/run").iterdir()} - {"mount"}))  # which mount(8) makes
print((sandbox.RECORDS / "kept").read_text())
"""


@pytest.mark.root
def test_run_is_empty_but_for_the_records_which_are_those_outside(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a record")
    before = sorted(os.listdir("/run"))
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-c", INSIDE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=own_environment(),
    )
    assert done.stdout == "['netns-lab']\na record\n"
    assert sorted(os.listdir("/run")) == before
