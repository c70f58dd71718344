"""A soak of a few seconds; `python -m tests.faults.soak --minutes N` is one of any length."""

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
def test_disturbed_jobs_end_as_others_do():
    command = [sys.executable, "-m", "tests.faults.soak", "--minutes", "0.2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    report = json.loads(done.stdout)
    assert (done.returncode, report["wrong"]) == (0, []), done.stderr
    assert report["jobs"] > 0
    assert sum(report["disturbances"].values()) >= report["jobs"]
