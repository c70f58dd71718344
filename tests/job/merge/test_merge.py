"""A merged file is that of one run, byte for byte, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from tests.builders import process, refused, run
from tests.job.cluster.test_parts import datasets, extract, good, inputs, shards  # noqa: F401


def image_ids(path):
    with h5py.File(path) as file:
        return file["image_ids"].asstr()[()].tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("options", [(), ("--order", "image"), ("--reduce", "mean"), ("--dtype", "float16")])
@pytest.mark.sampled(5)
def test_every_dataset_is_that_of_one_run(inputs, tmp_path, count, options):  # noqa: F811
    extract(inputs, tmp_path / "one.h5", *options)
    shards(inputs, tmp_path / "parts", count, *options)
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")
    assert image_ids(tmp_path / "merged.h5") == image_ids(tmp_path / "one.h5")
    with h5py.File(tmp_path / "merged.h5") as merged, h5py.File(tmp_path / "one.h5") as one:
        for name in ("format", "format_version", "parameters", "sources"):
            assert merged.attrs[name] == one.attrs[name]
        assert set(merged.attrs) == set(one.attrs)
    good("verify", tmp_path / "merged.h5")


def test_what_is_there_is_not_replaced(inputs, tmp_path):  # noqa: F811
    shards(inputs, tmp_path / "parts", 2)
    (tmp_path / "merged.h5").write_text("mine")
    refused(run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5"), 2, "exists already")
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "--overwrite")
    refused(run("merge", tmp_path / "parts", "-o", tmp_path / "parts" / "m.h5"), 2, "outside the folder of parts")


def test_what_is_no_folder_of_parts(inputs, tmp_path):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    refused(run("merge", tmp_path / "one.h5", "-o", tmp_path / "m.h5"), 3, "expected a folder of parts, got a file")
    refused(run("merge", tmp_path / "none", "-o", tmp_path / "m.h5"), 3, "expected a folder of parts, got none")
    (tmp_path / "empty").mkdir()
    refused(run("merge", tmp_path / "empty", "-o", tmp_path / "m.h5"), 3, "expected a crops file, or a folder of")
    assert not (tmp_path / "m.h5").exists()


def test_damaged_crops_are_named(inputs, tmp_path):  # noqa: F811
    shards(inputs, tmp_path / "parts", 3)
    damaged = tmp_path / "parts" / "part-00002-of-00003.h5"
    with h5py.File(damaged) as file:
        offset, size = file["crops"].id.get_offset(), int(np.prod(file["crops"].shape[1:])) * 4
    with damaged.open("r+b") as file:
        file.seek(offset + 2 * size)
        file.write(b"\x01\x02\x03")
    result = run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    refused(result, 3, "part-00002-of-00003.h5:/crops: row 2: expected the bytes of its checksum")
    assert [entry.name for entry in tmp_path.iterdir()] == ["parts"]


def test_a_merge_that_was_killed_resumes(inputs, tmp_path, monkeypatch):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    shards(inputs, tmp_path / "parts", 3)
    monkeypatch.setattr("msroi_cli.job.merge.run.COMMIT_BYTES", 1)
    monkeypatch.setattr("msroi_cli.job.merge.pieces.PIECE_BYTES", 2000)
    monkeypatch.setenv("MSROI_NUM_THREADS", "1")
    from msroi_cli.job.merge.copying import BlockCopier

    copy, copied = BlockCopier.copy, []

    def until_the_tenth(copier, piece):
        if len(copied) == 10:
            raise KeyboardInterrupt
        copied.append(piece.number)
        return copy(copier, piece)

    monkeypatch.setattr(BlockCopier, "copy", until_the_tenth)
    run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    assert (tmp_path / ".merged.h5.journal").exists()
    assert not (tmp_path / "merged.h5").exists()
    first = list(copied)
    copied.clear()
    copied.extend([-1] * 11)
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "--resume")
    assert not set(first) & set(copied)
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")
    assert "nothing to do" in run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "--resume").stderr


def test_a_resumed_merge_of_other_parts_is_refused(inputs, tmp_path):  # noqa: F811
    shards(inputs, tmp_path / "parts", 2)
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    shards(inputs, tmp_path / "others", 2, "--output-size", "5")
    result = run("merge", tmp_path / "others", "-o", tmp_path / "merged.h5", "--resume")
    refused(result, 2, "cannot resume")


@pytest.mark.slow
def test_many_parts_with_few_descriptors(inputs, tmp_path):  # noqa: F811
    shards(inputs, tmp_path / "parts", 300)
    command = [sys.executable, "-m", "msroi_cli", "merge", tmp_path / "parts", "-o", tmp_path / "merged.h5"]
    subprocess.run(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *map(str, command)], check=True, timeout=120)
    extract(inputs, tmp_path / "one.h5")
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")


def test_killed_at_any_time(inputs, tmp_path):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    shards(inputs, tmp_path / "parts", 3)
    for delay in (0.2, 0.4, 0.6):
        running = process("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "--resume")
        time.sleep(delay)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=60)
    good("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "--resume")
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")


def test_a_disk_that_fails_in_one_thread_ends_all(inputs, tmp_path, monkeypatch):  # noqa: F811
    shards(inputs, tmp_path / "parts", 3)
    monkeypatch.setenv("MSROI_NUM_THREADS", "4")
    from msroi_cli.io.crops.contiguous import PlainWriter

    def full(writer, rows, crops, sums):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PlainWriter, "_put", full)
    result = run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    refused(result, 1, "merged.h5: cannot be written: No space left on device")
    assert [entry.name for entry in tmp_path.iterdir()] == ["parts"]
