"""What a process keeps of its jobs: no descriptor, thread, file or memory; and jobs at once, in forks, under limits."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

import msroi_cli
from tests.builders import IDS, image_maps, random_rows, run, write_batched, write_json
from tests.hostile.limits import limit_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc shows")
MEMORY = 32 << 20  # bytes that a process may grow by, whatever it does how often


@pytest.fixture
def inputs(tmp_path):
    pyramid = write_batched(tmp_path / "maps.h5", ids=IDS)
    return pyramid, write_json(tmp_path / "boxes.json", random_rows(40).tolist())


def held():
    """The open files and the threads of this process, and its resident bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), pages * resource.getpagesize()


def crops_of(path):
    with h5py.File(path) as file:
        return {name: file[name][()].tobytes() for name in file if name != "image_ids"}


def runs_keep_nothing(inputs, folder, count):
    out = folder / "o.h5"
    lines = (
        ("extract", *inputs, "-o", out, "--overwrite", "-q"),
        ("extract", *inputs, "-o", folder / "z.h5", "--overwrite", "-q", "--compression", "gzip:1"),
        ("extract", inputs[0], folder / "none.json", "-o", folder / "n.h5", "-q"),
        ("verify", out, "-q"),
    )
    names = before = None
    for number in range(count):
        for line in lines:
            run(*line)
        if number == count // 4:
            # By now everything is imported, and memory has its size.
            names, before = sorted(path.name for path in folder.iterdir()), held()
    after = held()
    assert sorted(path.name for path in folder.iterdir()) == names
    assert after[:2] == before[:2]
    assert after[2] < before[2] + MEMORY


@pytest.mark.slow
def test_runs_keep_nothing(inputs, tmp_path):
    runs_keep_nothing(inputs, tmp_path, 12)


@pytest.mark.slow
def test_a_thousand_runs_keep_nothing(inputs, tmp_path):
    runs_keep_nothing(inputs, tmp_path, 250)


def test_jobs_at_once_in_one_process(inputs, tmp_path):
    msroi_cli.extract(*inputs, tmp_path / "alone.h5")
    with ThreadPoolExecutor(2) as pool:
        outs = [tmp_path / f"{number}.h5" for number in range(6)]
        jobs = [pool.submit(msroi_cli.extract, *inputs, out) for out in outs]
        for job in jobs:
            job.result()
    for out in outs:
        assert crops_of(out) == crops_of(tmp_path / "alone.h5")


def in_child(work):
    """The exit code of a fork that does `work`."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_after_a_fork(inputs, tmp_path):
    # The parent has had its threads by now; the child has none of them.
    msroi_cli.extract(*inputs, tmp_path / "parent.h5", threads=4)

    def work():
        return run("extract", *inputs, "-o", tmp_path / "child.h5", "-q", "--threads", "4").exit_code

    assert in_child(work) == 0
    assert crops_of(tmp_path / "child.h5") == crops_of(tmp_path / "parent.h5")


@pytest.mark.slow
def test_a_hundred_files_with_64_descriptors(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for number in range(100):
        with h5py.File(folder / f"{number}.h5", "w") as file:
            for index, (name, values) in enumerate(image_maps(number).items()):
                file[name] = values
                file[name].attrs["stride"] = 4 << index
    rows = random_rows(300, 100)
    boxes = write_json(tmp_path / "b.json", rows.tolist())

    def work():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        result = run("extract", folder, boxes, "-o", tmp_path / "o.h5", "-q")
        sys.stderr.write(result.stderr)
        return result.exit_code

    assert in_child(work) == 0
    msroi_cli.extract(folder, boxes, tmp_path / "free.h5")
    assert crops_of(tmp_path / "o.h5") == crops_of(tmp_path / "free.h5")


@pytest.mark.parametrize("mebibytes", [1, 8, 32, 500])
def test_little_memory(mebibytes, inputs, tmp_path):
    out = tmp_path / "o.h5"
    errors = tmp_path / "errors"

    def work():
        import tests.hostile.limits as limits

        limits.SPACE = mebibytes << 20
        limit_memory()
        result = run("extract", *inputs, "-o", out, "-q", "--threads", "2")
        errors.write_text(result.stderr if isinstance(result.exception, SystemExit | None) else "a traceback\n" * 2)
        return result.exit_code

    code = in_child(work)
    assert code in ((0,) if mebibytes == 500 else (0, 1)), errors.read_text()
    assert out.exists() == (code == 0)
    assert len(errors.read_text().splitlines()) == code, errors.read_text()
    assert np.isfinite(msroi_cli.open_crops(out)[:]).all() if code == 0 else True
