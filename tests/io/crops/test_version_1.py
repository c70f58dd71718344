"""Crops files that the first version wrote are readable, whatever was added since."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from tests.builders import run

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(params=["plain", "gzip"])
def path(request):
    return DATA / f"crops-v1-{request.param}.h5"


def test_everything_is_what_hdf5_reads(path):
    with open_crops(path) as crops, h5py.File(path) as file:
        assert len(crops) == 12
        assert crops.image_ids == ["left", "right"]
        names = ("boxes", "image_index", "level", "status", "box_index", "score", "category_id", "stats", "checksums")
        for name in names:
            assert getattr(crops, name).tobytes() == file[name][()].tobytes(), name
        assert crops[:].tobytes() == file["crops"][()].tobytes()
        assert np.isnan(crops[4]).all()
        assert crops.by_image("left").shape == (int((crops.image_index == 0).sum()), 2, 3, 3)
        assert crops.part is None


@pytest.mark.parametrize("command", [("verify",), ("stats",), ("inspect",)])
def test_commands_read_it(path, command):
    result = run(*command, path)
    assert result.exit_code == 0, result.stderr


def test_verify_says_that_it_has_no_checksums_of_columns(path):
    assert "columns not checked: an earlier version made the file" in run("verify", path).stderr


def test_it_is_exported(path, tmp_path):
    result = run("export", path, tmp_path / "ragged.h5", "--layout", "ragged")
    assert result.exit_code == 0, result.stderr
    with h5py.File(tmp_path / "ragged.h5") as file:
        assert len(file["features"]) == 11
