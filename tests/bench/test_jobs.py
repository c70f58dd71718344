"""`msroi bench --jobs` in small: its processes end well, write the same crops, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.bench.jobs import job, processes, report
from msroi_cli.bench.jobs.sizes import Sizes
from msroi_cli.errors import RunError, UsageError
from tests.builders import run

QUICK = ("bench", "--jobs", "--quick", "--boxes", "5")


@pytest.fixture
def jobs(tmp_path):
    """The jobs of some sizes, small."""
    return lambda threads=1, **sizes: job.jobs_of(Sizes(boxes=(5,), **sizes).small(), tmp_path, threads)


@pytest.mark.slow
@pytest.mark.parametrize("gzip", [None, "auto", "image"])
def test_every_command_writes_the_same_crops(jobs, gzip):
    large, _ = jobs(gzip=gzip)
    large.write()
    assert (set(job.READS) <= set(large.commands)) == bool(gzip)
    crops = {}
    for name, command in large.commands.items():
        large.out.unlink(missing_ok=True)
        subprocess.run(command, check=True)
        if name in (job.MSROI, job.BY_HAND, job.COPY):
            with h5py.File(large.out) as file:
                crops[name] = file["crops"][()]
    assert {some.shape for some in crops.values()} == {(10, 20, 7, 7)}
    assert crops[job.MSROI].nbytes == large.out_size
    assert (crops[job.COPY] == 1).all()
    with h5py.File(large.pyramid) as file:
        assert file["p2"].compression == ("gzip" if gzip else None)
        assert (file["p2"].chunks == (1, 20, *file["p2"].shape[2:])) == (gzip == "image")
        assert sum(file[name].size for name in file) * 4 == large.size
    if job.BY_HAND in crops:
        np.testing.assert_allclose(crops[job.BY_HAND], crops[job.MSROI], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_small_images(jobs):
    _, small = jobs()
    small.write()
    for name, command in small.commands.items():
        small.out.unlink(missing_ok=True)
        subprocess.run(command, check=True)
        assert small.out.exists() == (name != job.LOOP)
        if small.out.exists():
            with open_crops(small.out) as crops:
                assert crops.shape == (5, 8, 7, 7)
                assert crops[:].nbytes == small.out_size
    assert small.size >= small.pyramid.stat().st_size


@pytest.fixture
def stand_in(monkeypatch):
    """In place of the commands of each job: two that only start and end."""
    plain = {name: [sys.executable, "-SEc", "pass"] for name in (job.MSROI, job.COPY)}
    made = job.jobs_of

    def jobs_of(*given):
        return [replace(one, commands=plain) for one in made(*given)]

    monkeypatch.setattr(report, "jobs_of", jobs_of)


def test_numbers(stand_in, tmp_path):
    result = run(*QUICK, "--json", "--folder", tmp_path, "--small-images", "0")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    (one,) = found["jobs"]
    assert found["repeat"] == 1
    assert one["about"] == "2 images of 100 x 168, 5 boxes each"
    assert one["ratio"][job.COPY] == one["seconds"][job.COPY] / one["seconds"][job.MSROI]
    assert one["processor_ratio"][job.COPY] == one["processor_seconds"][job.COPY] / one["processor_seconds"][job.MSROI]
    assert list(tmp_path.iterdir()) == []


def test_the_table(stand_in, tmp_path):
    result = run(*QUICK, "--boxes", "7", "--gzip", "image", "--folder", tmp_path)
    assert result.exit_code == 0, result.stderr
    blocks = [block.splitlines() for block in result.stdout.split("\n\n")]
    assert [block[0] for block in blocks[:3]] == [
        "2 images of 100 x 168, 5 boxes each, gzip (image)",
        "2 images of 100 x 168, 7 boxes each, gzip (image)",
        "5 small images, a box each",
    ]
    header, ours, floor = blocks[0][1:]
    assert header.split() == ["time", "of", "msroi's", "processor", "time", "of", "msroi's"]
    assert ours.split()[-1] == "1.00x"
    assert floor.startswith(job.COPY)
    assert "medians of 1" in blocks[-1][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gzip", "auto"], "--gzip is of whole jobs: expected with --jobs"),
        (["--cold"], "--cold is of whole jobs: expected with --jobs"),
        (["--small-images", "0"], "--small-images is of whole jobs: expected with --jobs"),
        (["--folder", "."], "--folder is of whole jobs: expected with --jobs"),
        (["--jobs", "--workload", "7x7"], "--workload is of pooling: expected without --jobs"),
        (["--jobs", "--images", "0", "--small-images", "0"], "--images 0 --small-images 0: expected images"),
    ],
)
def test_options_that_do_not_belong_together(options, message):
    result = run("bench", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_disk_without_room(stand_in, tmp_path):
    result = run("bench", "--jobs", "--images", "1000000", "--boxes", "100000", "--folder", tmp_path)
    assert result.exit_code == 1
    assert "expected room for " in result.stderr
    assert "free (--folder names another place; --images, --boxes and --small-images take less)" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    """The folder and the process that was being measured are gone."""
    command = [sys.executable, "-m", "msroi_cli", "bench", "--jobs", "--images", "2", "--boxes", "20"]
    with subprocess.Popen([*command, "--folder", str(tmp_path)], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "measuring" in line:
                break
        time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_turns(tmp_path):
    """Every round begins with another command, and what prepares comes before each."""
    log = tmp_path / "log"
    commands = {name: ["/bin/sh", "-c", f"echo {name} >> {log}"] for name in "abc"}

    def prepare():
        with log.open("a") as file:
            file.write("- ")

    spent = processes.in_turns(commands, 2, prepare, tmp_path)
    assert log.read_text().split() == list("-a-b-c-b-c-a")
    assert {name: len(some) for name, some in spent.items()} == dict.fromkeys("abc", 2)
    assert all(one.seconds > 0 and one.processor >= 0 for some in spent.values() for one in some)


def test_a_command_that_fails(tmp_path):
    commands = {"it": ["/bin/sh", "-c", "echo some words >&2; echo last words >&2; exit 3"]}
    with pytest.raises(RunError, match=r"^it: expected exit code 0, got 3: last words$"):
        processes.in_turns(commands, 1, lambda: None, tmp_path)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="no posix_fadvise here")
def test_dropping_from_the_cache(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    with path.open("rb") as file:
        assert processes._pages_in_memory(file.fileno()) > 0
        try:
            processes.drop_from_cache(path)
        except UsageError as error:
            assert "keeps" in str(error)  # noqa: PT017
            assert processes._pages_in_memory(file.fileno()) > 0
        else:
            assert processes._pages_in_memory(file.fileno()) == 0


def test_a_system_that_cannot_drop_files(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with pytest.raises(UsageError, match="expected a system that can drop a file from its cache"):
        processes.drop_from_cache(tmp_path / "file")


def test_touched_memory_is_let_go_of(tmp_path):
    processes.touch_memory(tmp_path, (1 << 24) + 5)
    assert list(tmp_path.iterdir()) == []


def test_torchvision_that_is_absent_is_left_out(jobs, monkeypatch):
    monkeypatch.setattr(job, "has_torchvision", lambda: False)
    large, small = jobs(gzip="auto", cold=True)
    assert set(large.commands) == {job.MSROI, job.CAT, job.COPY, *job.READS}
    assert set(small.commands) == {job.MSROI, job.WORKERS, job.LOOP}
    assert "--threads" in large.commands[job.MSROI]
    assert "--threads" not in jobs(threads=None)[0].commands[job.MSROI]
