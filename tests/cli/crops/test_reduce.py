"""`extract --reduce`: vectors instead of crops."""

from __future__ import annotations

import json

import numpy as np
import pytest

from msroi_cli.core.reduce import REDUCTIONS
from tests.builders import SPREAD, batch_maps, extracted, random_rows, refused, run, write_batched, write_json

ROWS = random_rows(60)
SKIP = ("--on-unknown-image", "skip")


@pytest.fixture
def inputs(tmp_path):
    """A pyramid and boxes, some of which cannot be pooled."""
    boxes = [*ROWS.tolist(), [0, 9, 1, 1, 9], [7, 1, 1, 9, 9]]
    return write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", boxes)


@pytest.mark.parametrize("compression", [(), ("--compression", "gzip"), ("--compression", "lzf")])
@pytest.mark.parametrize("reduce", list(REDUCTIONS))
@pytest.mark.sampled(2)
def test_vectors_are_those_of_the_crops(tmp_path, inputs, reduce, compression):
    options = (*SPREAD, *SKIP, "--on-bad-box", "nan", "--output-size", "3x4")
    whole = extracted(tmp_path / "w.h5", *inputs, *options, "--stats", tmp_path / "w.json")
    got = extracted(
        tmp_path / "o.h5", *inputs, *options, "--reduce", reduce, "--stats", tmp_path / "o.json", *compression
    )
    assert got.shape == (62, 3)
    np.testing.assert_allclose(got[:], getattr(whole[:].astype("f8"), reduce)(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got.level, whole.level)
    assert got.parameters == {**whole.parameters, "reduce": reduce}
    reports = [json.loads((tmp_path / name).read_text())["levels"] for name in ("w.json", "o.json")]
    assert [level["crop"] for level in reports[0]] == [level["crop"] for level in reports[1]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(tmp_path, dtype):
    pyramid = write_batched(tmp_path / "p.h5", batch_maps(dtype=dtype))
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", ROWS.tolist()), "--reduce", "mean")
    assert crops.dtype == dtype


def test_such_files_can_be_verified_looked_at_and_exported(tmp_path, inputs):
    out = tmp_path / "o.h5"
    extracted(out, *inputs, *SPREAD, *SKIP, "--on-bad-box", "drop", "--reduce", "mean")
    assert run("verify", out, "--recompute", "20", "--against", inputs[0]).exit_code == 0
    assert "60 of 3, float32" in run("inspect", out).stdout
    assert run("stats", out).exit_code == 0
    assert run("export", out, tmp_path / "e.h5", "--layout", "ragged").exit_code == 0
    refused(
        run("export", out, tmp_path / "f.h5", "--layout", "ragged", "--reduce", "max"), 2, "--reduce: expected crops"
    )
    refused(run("preview", "crops", out, "-o", tmp_path / "x.png"), 3, "got vectors")


def test_a_job_with_another_reduction_is_not_resumed(tmp_path, inputs):
    options = (*SPREAD, *SKIP, "--on-bad-box", "drop", "-o", tmp_path / "o.h5", "--resume")
    extracted(tmp_path / "o.h5", *inputs, *SPREAD, *SKIP, "--on-bad-box", "drop", "--reduce", "mean")
    refused(run("extract", *inputs, *options, "--reduce", "max"), 2, "reduce was 'mean', now 'max'")
    assert run("extract", *inputs, *options, "--reduce", "mean").exit_code == 0


def test_memory_is_reckoned_with_whole_crops(tmp_path, inputs):
    options = (*SPREAD, *SKIP, "--on-bad-box", "drop", "--reduce", "max")
    small = extracted(tmp_path / "s.h5", *inputs, *options, "--memory", "1MiB", "--output-size", "64")
    large = extracted(tmp_path / "l.h5", *inputs, *options, "--output-size", "64")
    np.testing.assert_array_equal(small[:], large[:])


def test_no_boxes(tmp_path):
    crops = extracted(
        tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", []), "--reduce", "max"
    )
    assert crops.shape == (0, 3)
    assert crops[:].shape == (0, 3)


@pytest.mark.parametrize("reduce", [(), ("--reduce", "mean")])
@pytest.mark.parametrize("policy", ["zero", "nan"])
def test_boxes_of_which_none_can_be_pooled(tmp_path, policy, reduce):
    boxes = write_json(tmp_path / "b.json", [[0, 9, 1, 1, 9], [7, 1, 1, 9, 9]])
    options = (*SKIP, "--on-bad-box", policy, *reduce)
    crops = extracted(tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), boxes, *options)
    assert crops.status.tolist() == [1, 2]
    assert (np.isnan(crops[:]) if policy == "nan" else crops[:] == 0).all()
    assert run("stats", tmp_path / "o.h5").exit_code == 0
