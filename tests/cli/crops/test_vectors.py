"""Exports for vector indexes and data sets, each read by the library that it is for."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.core.reduce import NORMALIZATIONS
from msroi_cli.io.export import parquet as parquet_module
from msroi_cli.job import export as job
from tests.builders import (
    IDS,
    SPREAD,
    coco,
    extracted,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
)

COUNT = 40
KEYS = [IDS[row % 2] for row in range(COUNT)]  # none of the third image
COLUMNS = ("level", "box_index", "score", "category_id", "annotation_id")


@pytest.fixture(scope="module", params=["float32", "float16", "float64"])
def crops(request, tmp_path_factory):
    """A crops file with every column and a box that was not pooled."""
    folder = tmp_path_factory.mktemp("vectors")
    boxes = random_boxes(COUNT)
    boxes[5] = (9, 9, 1, 1)
    scores = np.random.default_rng(2).permutation(COUNT) / COUNT
    data = coco(boxes, KEYS, score=scores.tolist(), category_id=[7] * COUNT, id=list(range(100, 100 + COUNT)))
    options = ("--on-bad-box", "zero", "--output-size", "3x2", "--dtype", request.param, *SPREAD)
    pyramid = write_batched(folder / "p.h5", ids=IDS)
    extracted(folder / "o.h5", pyramid, write_json(folder / "b.json", data), *options)
    return folder / "o.h5"


def expected_of(path, reduce):
    """What is exported, image after image, worked out with h5py alone."""
    with h5py.File(path) as file:
        index = file["image_index"][:]
        rows = [row for image in range(3) for row in np.flatnonzero((index == image) & (file["status"][:] == 0))]
        features = file["crops"][:][rows]
        columns = {name: file[name][:][rows] for name in (*COLUMNS, "boxes")}
    if reduce:
        features = features.astype("f8").mean(axis=(2, 3))
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-300)
    return {"features": features, "image_id": [IDS[index[row]] for row in rows], **columns}


FORMS = pytest.mark.parametrize("reduce", [False, True], ids=["crops", "vectors"])


@pytest.fixture(params=[1, 200, 1 << 20])
def parts(request, monkeypatch):
    """Features in parts, and row groups, of different sizes."""
    monkeypatch.setattr(job, "PART_BYTES", request.param)
    monkeypatch.setattr(parquet_module, "GROUP_BYTES", request.param)


def exported(crops, out, layout, reduce, *more):
    options = ("--reduce", "mean", "--normalize", "l2") if reduce else ()
    result = run("export", crops, out, "--layout", layout, *options, *more)
    assert (result.exit_code, result.stdout) == (0, ""), (result.stderr, result.exception)
    return expected_of(crops, reduce)


def same(got, expected, reduce, dtype=None):
    """Crops bit for bit; vectors within the rounding of their dtype."""
    got = np.asarray(got)
    dtype = got.dtype if dtype is None else dtype
    if reduce:
        np.testing.assert_allclose(got, expected, atol=2e-3 if dtype == np.float16 else 2e-6)
    else:
        np.testing.assert_array_equal(got.reshape(expected.shape), expected)


@FORMS
@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(5)
def test_npy_read_by_numpy(crops, tmp_path, reduce):
    expected = exported(crops, tmp_path / "e", "npy", reduce)
    features = np.load(tmp_path / "e" / "features.npy", mmap_mode="r")
    with open_crops(crops) as opened:
        assert features.dtype == opened.dtype
    same(features, expected["features"], reduce)
    rows = [json.loads(line) for line in (tmp_path / "e" / "rows.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == expected["image_id"]
    np.testing.assert_array_equal([row["box"] for row in rows], expected["boxes"])
    for name in COLUMNS:
        assert [row[name] for row in rows] == expected[name].tolist()


def test_vectors_searched_by_faiss(crops, tmp_path):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    expected = exported(crops, tmp_path / "e", "npy", True)
    vectors = np.load(tmp_path / "e" / "features.npy").astype(np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    # A box beyond the map has a vector of zeros, which is like no other.
    some = expected["features"].any(axis=1)
    similarity, found = index.search(vectors[some], 1)
    np.testing.assert_allclose(similarity, 1, atol=2e-3)
    assert found[:, 0].tolist() == np.flatnonzero(some).tolist()


@FORMS
@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(5)
def test_safetensors_read_by_its_library(crops, tmp_path, reduce):
    safetensors = pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.numpy import load_file

    expected = exported(crops, tmp_path / "e.safetensors", "safetensors", reduce)
    tensors = load_file(tmp_path / "e.safetensors")
    same(tensors.pop("features"), expected["features"], reduce)
    ids = [IDS[image] for image in tensors.pop("image_index")]
    assert ids == expected["image_id"]
    assert tensors.pop("pos_boxes").tolist() == [[0, 20], [20, 39], [39, 39]]
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, expected[name])
    assert set(tensors) == {*COLUMNS, "boxes"}
    with safetensors.safe_open(tmp_path / "e.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["image_ids"]) == IDS
    assert json.loads(metadata["parameters"]).get("normalize") == ("l2" if reduce else None)


@FORMS
@pytest.mark.usefixtures("parts")
@pytest.mark.sampled(5)
def test_parquet_read_by_pyarrow(crops, tmp_path, reduce):
    pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    from pyarrow import parquet

    expected = exported(crops, tmp_path / "e.parquet", "parquet", reduce)
    table = parquet.read_table(tmp_path / "e.parquet")
    count = expected["features"][0].size
    assert table.schema.field("features").type.list_size == count
    features = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, count)
    with open_crops(crops) as opened:
        assert features.dtype == opened.dtype
    same(features, expected["features"], reduce)
    assert json.loads(table.schema.metadata[b"shape"]) == list(expected["features"].shape[1:])
    assert table["image_id"].to_pylist() == expected["image_id"]
    np.testing.assert_array_equal(table["box"].to_pylist(), expected["boxes"])
    for name in COLUMNS:
        assert table[name].to_pylist() == expected[name].tolist()


@pytest.mark.sampled(3)
def test_parquet_read_by_pandas_and_datasets(crops, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    expected = exported(crops, tmp_path / "e.parquet", "parquet", True)
    frame = pandas.read_parquet(tmp_path / "e.parquet")
    same(np.stack(frame["features"]), expected["features"], True)
    assert frame["score"].tolist() == expected["score"].tolist()
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "e.parquet"), cache_dir=str(tmp_path / "cache"))
    with open_crops(crops) as opened:
        same(np.array(loaded.with_format("numpy")["features"]), expected["features"], True, opened.dtype)
    assert list(loaded["image_id"]) == expected["image_id"]


def test_boxes_of_an_export_are_pooled_again(crops, tmp_path):
    """The columns of Parquet are those that boxes are read from."""
    pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    expected = exported(crops, tmp_path / "e.parquet", "parquet", False)
    options = ("--output-size", "3x2", *SPREAD, "--image-key", "id")
    with open_crops(crops) as opened:
        dtype = str(opened.dtype)
    again = extracted(tmp_path / "o.h5", crops.parent / "p.h5", tmp_path / "e.parquet", *options, "--dtype", dtype)
    np.testing.assert_array_equal(again, expected["features"])


@pytest.mark.parametrize("layout", ["npy", "safetensors", "parquet"])
def test_no_boxes(tmp_path, layout):
    if layout == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    extracted(tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", []))
    assert run("export", tmp_path / "o.h5", tmp_path / "e", "--layout", layout).exit_code == 0
    assert (tmp_path / "e").exists()


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    extracted(
        tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", random_rows(9).tolist())
    )
    command = ("export", tmp_path / "o.h5", tmp_path / "e")
    refused(run(*command, "--layout", "npy", "--normalize", "l2"), 2, r"--normalize: expected vectors \(K, C\)")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(run(*command, "--layout", "parquet"), 2, r"pip install 'msroi\[parquet\]'")
    assert not (tmp_path / "e").exists()


def test_lengths_of_extreme_vectors():
    with np.errstate(over="raise", under="ignore", divide="raise"):
        unit = NORMALIZATIONS["l2"](np.array([[3e38, 3e38], [1e-45, 0], [0, 0], [3, 4]], np.float32))
    np.testing.assert_allclose(unit, [[0.5**0.5, 0.5**0.5], [1, 0], [0, 0], [0.6, 0.8]], rtol=1e-6)
    assert unit.dtype == np.float32
    assert np.isnan(NORMALIZATIONS["l2"](np.array([[np.nan, 1], [np.inf, 1]], np.float32))[:, 0]).all()
    assert NORMALIZATIONS["l2"](np.empty((0, 4), np.float16)).shape == (0, 4)
