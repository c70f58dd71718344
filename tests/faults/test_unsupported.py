"""Jobs on file systems that lack locks and reserved space, as Lustre without `-o flock` and some network ones."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from tests.builders import SPREAD
from tests.faults.inject import build_shim
from tests.job.cluster.test_parts import datasets, extract, inputs  # noqa: F401

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="calls are answered by way of LD_PRELOAD"),
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler"),
]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"), "unsupported")


@pytest.mark.parametrize("flock", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
@pytest.mark.slow
def test_jobs_without_locks(inputs, tmp_path, shim, flock):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    answers = f"flock={flock},fallocate={errno.EOPNOTSUPP}"
    environment = {**os.environ, "LD_PRELOAD": str(shim), "MSROI_UNSUPPORTED": answers}
    job = ("extract", inputs / "p.h5", inputs / "b.json", "--on-bad-box", "zero", "--on-unknown-image", "skip", *SPREAD)
    for command in (
        (*job, "-o", tmp_path / "plain.h5"),
        (*job, "-o", tmp_path / "packed.h5", "--compression", "gzip:1"),
        (*job, "-o", tmp_path / "parts", "--shard", "1,2,3/3"),
        ("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5"),
        ("verify", tmp_path / "merged.h5"),
    ):
        words = [sys.executable, "-m", "msroi_cli", *map(str, command)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    for name in ("plain", "packed", "merged"):
        assert datasets(tmp_path / f"{name}.h5") == datasets(tmp_path / "one.h5")
    assert not list(tmp_path.rglob(".*"))
