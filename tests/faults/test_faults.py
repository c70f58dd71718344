"""A few of the faults of `tests.faults.inject`; the gate runs more of them, and all of them take two minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the faults are injected by way of LD_PRELOAD and /proc")
@pytest.mark.skipif(not shutil.which("cc"), reason="the faults need a C compiler")
@pytest.mark.parametrize("replaced", [(), ("--replaced",)], ids=["", "replaced"])
@pytest.mark.parametrize(
    "options",
    [("--every", "25"), ("--every", "25", "--compression", "gzip:1"), ("--every", "5", "--one-batch")],
    ids=["plain", "gzip", "one batch"],
)
def test_nothing_is_lost(options, replaced):
    command = [sys.executable, "-m", "tests.faults.inject", *options, *replaced]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["lost"] == 0
    assert said["calls"] > 20
    assert all(count >= 4 for count in said["survived"].values())
    assert len(said["survived"]) == 6
