"""The benchmark of whole jobs in small: its processes end well, and by hand the same crops come out."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from tests.bench import small_images, whole_jobs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("gzip", [None, "auto", "image"])
def test_jobs_in_small(tmp_path, gzip):
    given = argparse.Namespace(images=20, boxes=[100], quick=True, gzip=gzip, repeat=3)
    said = []
    (job,) = whole_jobs.run(given, tmp_path, said.append)
    assert set(job.seconds) == set(job.commands())
    assert (set(whole_jobs.READS) <= set(job.seconds)) == bool(gzip)
    assert all(spent > 0 for spent in job.seconds.values())
    assert len(said) == 2
    ours = open_crops(job.out(whole_jobs.MSROI))
    with h5py.File(job.out(whole_jobs.COPY)) as file:
        assert file["crops"].shape == ours.shape == (10, 20, 7, 7)
        assert file["crops"].dtype == ours.dtype
    with h5py.File(job.pyramid) as file:
        assert file["p2"].compression == ("gzip" if gzip else None)
        assert (file["p2"].chunks == (1, 20, *file["p2"].shape[2:])) == (gzip == "image")
    if whole_jobs.has_torchvision():
        with h5py.File(job.out(whole_jobs.BY_HAND)) as file:
            np.testing.assert_allclose(file["crops"][()], ours[:], rtol=0, atol=1e-4)
            np.testing.assert_array_equal(file["boxes"][()], ours.boxes)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_as_a_script(tmp_path, options):
    command = [sys.executable, "-m", "tests.bench.whole_jobs", "--quick", "--folder", str(tmp_path), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if options:
        (job,) = json.loads(done.stdout)
        assert set(job["ratio"]) == set(job["seconds"]) - {whole_jobs.MSROI}
    else:
        header, row = done.stdout.splitlines()
        assert whole_jobs.MSROI in header
        assert "(1.00x)" in row
    assert list(tmp_path.iterdir()) == []


def test_torchvision_that_is_absent_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_jobs, "has_torchvision", lambda: False)
    job = whole_jobs.Job(tmp_path, whole_jobs.WORKLOADS["7x7"], gzip="auto")
    assert set(job.commands()) == {whole_jobs.MSROI, whole_jobs.COPY, *whole_jobs.READS}


@pytest.mark.slow
def test_small_images_in_small(tmp_path):
    seconds = small_images.run(tmp_path, images=5, repeat=1)
    assert list(seconds) == [whole_jobs.MSROI, small_images.LOOP]
    assert all(spent > 0 for spent in seconds.values())
    crops = open_crops(tmp_path / "out.h5")
    assert crops.shape == (5, 8, 7, 7)
    with h5py.File(tmp_path / "small.h5") as file:
        assert file["000004/p5"].shape == (8, 2, 2)
    command = [sys.executable, "-m", "tests.bench.small_images", "--images", "3", "--repeat", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "3 images" in done.stdout, done.stderr
