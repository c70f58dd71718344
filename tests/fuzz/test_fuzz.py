"""A short run of each fuzzer, the same every time; `python -m tests.fuzz.record` is the long one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz import files, texts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs in the child of a fork")
HERE = Path(__file__).parent


# How many of each kind; MSROI_FUZZ multiplies them.
COUNTS = {"pyramid": 24, "npz": 8, "boxes": 14, "crops": 9, "picture": 12, "work": 12}
TIMES = int(os.environ.get("MSROI_FUZZ", "1"))


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.slow
def test_damaged_files(kind):
    verdicts = files.fuzzed(COUNTS[kind] * TIMES, first=1_000_000, only=[kind])
    assert sum(verdicts.values()) == COUNTS[kind] * TIMES
    assert [both for both in verdicts if both[1] not in files.VERDICTS] == []
    assert (kind, "same" if kind == "work" else "refused") in verdicts


def test_texts():
    report = texts.fuzzed(3000 * TIMES, first=1_000_000)
    assert report["found"] == {}
    assert report["read"] > 0


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang with libFuzzer")
@pytest.mark.slow
def test_native():
    done = subprocess.run([HERE / "native" / "run.sh", "20000"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "filters 20000\nweights 20000\n"), done.stdout + done.stderr
