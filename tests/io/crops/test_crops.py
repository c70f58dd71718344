"""The crops file: laid out as documented, readable by anyone, and whole."""

from __future__ import annotations

import json
import zlib
from datetime import datetime

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.core.levels import box_sizes
from msroi_cli.errors import InputError
from tests.builders import (
    CHANNELS,
    IDS,
    SPREAD,
    STRIDES,
    batch_maps,
    coco,
    extracted,
    random_boxes,
    run,
    write_batched,
    write_json,
)

COUNT = 60
BOXES = random_boxes(COUNT)
KEYS = [IDS[number] for number in np.random.default_rng(5).integers(0, 3, COUNT)]
SCORES = np.linspace(0, 1, COUNT)


@pytest.fixture
def inputs(tmp_path):
    """A pyramid and a COCO data set with everything that can travel along."""
    data = coco(BOXES, KEYS, score=SCORES.tolist(), category_id=[7] * COUNT, id=list(range(100, 100 + COUNT)))
    return write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", data)


@pytest.fixture
def out(tmp_path, inputs):
    """The crops file of the inputs."""
    extracted(tmp_path / "o.h5", *inputs, *SPREAD, "--output-size", "5x3")
    return tmp_path / "o.h5"


SHAPES = {
    "crops": ((COUNT, CHANNELS, 5, 3), "f4"),
    "boxes": ((COUNT, 4), "f4"),
    "image_index": ((COUNT,), "i8"),
    "level": ((COUNT,), "i1"),
    "status": ((COUNT,), "u1"),
    "box_index": ((COUNT,), "i8"),
    "score": ((COUNT,), "f8"),
    "category_id": ((COUNT,), "i8"),
    "annotation_id": ((COUNT,), "i8"),
    "checksums": ((COUNT,), "u4"),
}


def test_datasets(out):
    with h5py.File(out) as file:
        assert set(file) == {*SHAPES, "image_ids", "stats", "column_checksums"}
        for name, (shape, dtype) in SHAPES.items():
            assert (file[name].shape, file[name].dtype) == (shape, np.dtype(dtype)), name
        assert file["image_ids"].asstr()[:].tolist() == IDS
        assert h5py.check_string_dtype(file["image_ids"].dtype).encoding == "utf-8"
        assert file["stats"].shape == (len(STRIDES),)


def test_values(out):
    with h5py.File(out) as file:
        assert (file["status"][:] == 0).all()
        np.testing.assert_array_equal(file["box_index"][:], np.arange(COUNT))
        np.testing.assert_array_equal(file["score"][:], SCORES)
        np.testing.assert_array_equal(file["annotation_id"][:], np.arange(100, 100 + COUNT))
        assert [IDS[index] for index in file["image_index"][:]] == KEYS
        np.testing.assert_allclose(file["boxes"][:], BOXES, rtol=1e-6, atol=1e-5)
        assert set(file["level"][:]) == {0, 1, 2}


def test_attributes(out, inputs):
    with h5py.File(out) as file:
        attributes = dict(file.attrs)
    assert set(attributes) == {
        "format",
        "format_version",
        "generated_by",
        "creation_date",
        "parameters",
        "sources",
        "warnings",
    }
    assert (attributes["format"], attributes["format_version"]) == (b"msroi-crops", 1)
    assert attributes["generated_by"].startswith(b"msroi ")
    assert datetime.fromisoformat(attributes["creation_date"].decode()).tzinfo is not None
    parameters = json.loads(attributes["parameters"])
    assert {
        "compat": "lucid",
        "output_size": [5, 3],
        "sampling_ratio": 0,
        "aligned": False,
        "canonical_level": 1,
        "canonical_scale": 16,
        "spatial_scales": [[1 / stride] * 2 for stride in STRIDES.values()],
        "levels": list(STRIDES),
    }.items() <= parameters.items()
    sources = json.loads(attributes["sources"])
    for role, path in zip(("pyramid", "boxes"), inputs, strict=True):
        assert (sources[role]["name"], sources[role]["size"]) == (path.name, path.stat().st_size)
        assert sources[role]["fingerprint"].startswith("sha256")


def test_columns_that_the_input_lacks_are_not_there(tmp_path):
    extracted(tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", [[0, 1, 2, 3, 4]]))
    with h5py.File(tmp_path / "o.h5") as file:
        assert not {"score", "category_id", "annotation_id"} & set(file)
    crops = open_crops(tmp_path / "o.h5")
    assert (crops.score, crops.category_id, crops.annotation_id) == (None, None, None)


def test_crops_are_one_run_of_bytes(out):
    with h5py.File(out) as file:
        dataset = file["crops"]
        assert dataset.chunks is None
        offset, expected = dataset.id.get_offset(), dataset[:]
    mapped = np.memmap(out, "f4", "r", offset, expected.shape)
    np.testing.assert_array_equal(mapped, expected)


def test_checksums(tmp_path, inputs):
    extracted(tmp_path / "o.h5", *inputs, *SPREAD)
    with h5py.File(tmp_path / "o.h5") as file:
        crops, sums = file["crops"][:], file["checksums"][:]
        rows = int(file["checksums"].attrs["rows_per_block"])
        assert file["checksums"].attrs["algorithm"] == b"crc32"
    blocks = [crops[start : start + rows] for start in range(0, COUNT, rows)]
    assert sums.tolist() == [zlib.crc32(block.tobytes()) for block in blocks]


def assert_statistics(crops, levels, boxes):
    """Asserts the JSON values of each level against NumPy."""
    for level in levels:
        mine = crops.level == level["level"]
        values = crops[mine].astype(np.float64)
        sizes = box_sizes(boxes[mine])
        assert level["boxes"] == mine.sum()
        assert level["share"] == pytest.approx(mine.mean())
        got = level["box_size"]
        assert [got["min"], got["median"], got["max"]] == pytest.approx(
            [sizes.min(), np.median(sizes), sizes.max()], rel=1e-6
        )
        got = level["crop"]
        assert [got["mean"], got["std"], got["min"], got["max"], got["zero_fraction"]] == pytest.approx(
            [values.mean(), values.std(), values.min(), values.max(), (values == 0).mean()], rel=1e-9, abs=1e-12
        )


def test_statistics_agree_with_the_crops(tmp_path, inputs):
    crops = extracted(tmp_path / "o.h5", *inputs, *SPREAD, "--stats", tmp_path / "stats.json")
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert [level["name"] for level in stats["levels"]] == list(STRIDES)
    assert [level["stride"] for level in stats["levels"]] == list(STRIDES.values())
    assert_statistics(crops, stats["levels"], crops.boxes)
    total = stats["total"]
    assert (total["boxes"], total["share"]) == (COUNT, 1)
    assert total["crop"]["mean"] == pytest.approx(crops[:].astype(float).mean(), rel=1e-6)
    assert total["crop"]["std"] == pytest.approx(crops[:].astype(float).std(), rel=1e-6)
    assert stats["invalid_boxes"] == {}
    for record, level in zip(crops.stats, stats["levels"], strict=True):
        values = [record["level"], record["stride_y"], record["stride_x"], record["boxes"], record["share"]]
        assert values == [level["level"], level["stride"], level["stride"], level["boxes"], level["share"]]
        for name, value in level["crop"].items():
            assert record[name] == value
        for name, value in level["box_size"].items():
            assert record[f"box_size_{name}"] == value


def test_statistics_leave_out_what_was_not_pooled(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", {name: array + 10 for name, array in batch_maps().items()})
    boxes = write_json(tmp_path / "b.json", [[0, 8, 8, 40, 40], [0, 9, 9, 3, 3], [7, 1, 1, 3, 3]])
    options = ("--on-unknown-image", "skip", "--on-bad-box", "zero")
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *options, "--stats", tmp_path / "s.json")
    stats = json.loads((tmp_path / "s.json").read_text())
    assert (stats["total"]["boxes"], stats["total"]["crop"]["zero_fraction"]) == (1, 0)
    assert stats["invalid_boxes"] == {"x2 < x1": 1, "image unknown": 1}
    assert crops.stats["boxes"].tolist() == [1, 0, 0]
    assert np.isnan(crops.stats["mean"][1:]).all()
    assert stats["levels"][1]["crop"]["mean"] is None


def test_nan_in_the_features_is_left_out_of_the_statistics(tmp_path):
    maps = batch_maps()
    maps["p2"][0, 0, 5, 5] = np.nan
    boxes = write_json(tmp_path / "b.json", [[0, 8, 8, 40, 40]])
    pyramid = write_batched(tmp_path / "p.h5", maps)
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, "--stats", tmp_path / "s.json")
    assert np.isnan(crops[:]).any()
    text = (tmp_path / "s.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    assert json.loads(text)["levels"][0]["crop"]["mean"] == pytest.approx(np.nanmean(crops[:].astype(float)), rel=1e-9)


def test_rows_slices_masks(out):
    crops = open_crops(out)
    with h5py.File(out) as file:
        expected = file["crops"][:]
    assert (len(crops), crops.shape, crops.dtype) == (COUNT, expected.shape, expected.dtype)
    np.testing.assert_array_equal(crops[3], expected[3])
    np.testing.assert_array_equal(crops[-1], expected[-1])
    np.testing.assert_array_equal(crops[10:20:3], expected[10:20:3])
    np.testing.assert_array_equal(crops[[5, 2, 2]], expected[[5, 2, 2]])
    np.testing.assert_array_equal(crops[crops.score > 0.5], expected[SCORES > 0.5])
    with pytest.raises(IndexError):
        crops[COUNT]


@pytest.mark.parametrize("kind", [str, int])
def test_crops_of_an_image(out, kind):
    crops = open_crops(out)
    for key in IDS:
        rows = [row for row in range(COUNT) if KEYS[row] == key]
        np.testing.assert_array_equal(crops.by_image(kind(key)), crops[rows])
        assert crops.rows_of(kind(key)).tolist() == rows


def test_crops_of_an_image_that_is_not_there(out):
    with pytest.raises(KeyError, match="nobody"):
        open_crops(out).by_image("nobody")


def test_image_without_boxes_has_no_crops(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", {"4": [[1, 2, 3, 4]]}))
    assert crops.by_image("17").shape == (0, CHANNELS, 7, 7)
    assert crops.by_image("4").shape == (1, CHANNELS, 7, 7)


def test_crops_may_not_be_changed(out):
    with pytest.raises(ValueError, match="read-only"):
        open_crops(out)[0][:] = 1


@pytest.mark.parametrize(
    ("boxes", "options"),
    [
        ([], ()),
        ({}, ()),
        ({"annotations": []}, ()),
        ({"17": []}, ()),
        ({"nobody": [[1, 2, 3, 4]]}, ("--on-unknown-image", "skip")),
    ],
    ids=["no rows", "empty map", "empty data set", "no boxes of an image", "all dropped"],
)
def test_no_boxes_make_a_whole_file(tmp_path, boxes, options):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", boxes), *options)
    assert crops.shape == (0, CHANNELS, 7, 7)
    assert crops[:].shape == (0, CHANNELS, 7, 7)
    assert crops.by_image("17").shape == (0, CHANNELS, 7, 7)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["crops"].shape == (0, CHANNELS, 7, 7)
        assert file["checksums"].shape == (0,)
        assert file["stats"]["boxes"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("stored", ["float16", "float32", ">f4", "float64"])
@pytest.mark.parametrize("dtype", [None, "float16", "float32", "float64"])
@pytest.mark.sampled(5)
def test_dtype(tmp_path, inputs, stored, dtype):
    pyramid = write_batched(tmp_path / "q.h5", batch_maps(dtype=stored), ids=IDS)
    options = ("--dtype", dtype) if dtype else ()
    crops = extracted(tmp_path / "o.h5", pyramid, inputs[1], *SPREAD, *options)
    assert crops.dtype == np.dtype(dtype or stored).newbyteorder("=")
    reference = extracted(tmp_path / "r.h5", pyramid, inputs[1], *SPREAD, "--dtype", "float64")
    tolerance = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-6}[crops.dtype.name]
    np.testing.assert_allclose(crops[:].astype(float), reference[:], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ids", [["ü", "日本", "a b"], ["a\nb", "", "c"], ["\ud800", "b", "c"], ["a\0b", "b", "c"]])
def test_image_ids_come_back_or_are_refused(tmp_path, ids):
    level = {"name": "p2", "stride": 4, "data": np.ones((3, 1, 4, 4)).tolist()}
    pyramid = write_json(tmp_path / "p.json", {"levels": [level], "image_ids": ids})
    boxes = write_json(tmp_path / "b.json", [[0, 1, 2, 3, 4]])
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5")
    if result.exit_code:
        assert result.exit_code == 3, result.exception
        assert "image_ids" in result.stderr
    else:
        assert open_crops(tmp_path / "o.h5").image_ids == ids


def hdf5(path, **attributes):
    """An HDF5 file with nothing but root attributes."""
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)


NO_CROPS = {
    "missing": (lambda path: None, "crops"),
    "text": (lambda path: path.write_text("hello"), "crops"),
    "empty": (lambda path: path.touch(), "crops"),
    "folder": (lambda path: path.mkdir(), "crops"),
    "other HDF5": (hdf5, "msroi-crops"),
    "version 2": (lambda path: hdf5(path, format="msroi-crops", format_version=2), "version 1, got 2"),
    "no parameters": (lambda path: hdf5(path, format="msroi-crops", format_version=1), "parameters"),
    "spoilt parameters": (
        lambda path: hdf5(path, format="msroi-crops", format_version=1, parameters="{", sources="{}"),
        "parameters",
    ),
    "no datasets": (
        lambda path: hdf5(path, format="msroi-crops", format_version=1, parameters="{}", sources="{}"),
        "image_ids",
    ),
}


@pytest.mark.parametrize("case", NO_CROPS)
def test_files_that_are_no_crops(tmp_path, case):
    make, pattern = NO_CROPS[case]
    make(tmp_path / "x.h5")
    with pytest.raises(InputError, match=rf"x\.h5.*{pattern}"):
        open_crops(tmp_path / "x.h5")


def test_truncated_crops_are_refused(out):
    content = out.read_bytes()
    out.write_bytes(content[: len(content) - 1000])
    with pytest.raises(InputError, match=r"o\.h5"):
        open_crops(out)


def test_crops_compressed_by_others_are_read(out):
    with h5py.File(out, "a") as file:
        crops = file["crops"][:]
        del file["crops"]
        file.create_dataset("crops", data=crops, chunks=True, compression="gzip")
    np.testing.assert_array_equal(open_crops(out)[:], crops)


@pytest.mark.parametrize("options", [(), ("--reduce", "mean"), ("--output-size", "1"), ("--output-size", "56x3")])
def test_crops_begin_at_a_multiple_of_4096(inputs, tmp_path, options):
    extracted(tmp_path / "o.h5", *inputs, *SPREAD, *options)
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["crops"].id.get_offset() % 4096 == 0
    with open_crops(tmp_path / "o.h5") as crops:
        values = crops[:].nbytes + sum(column.nbytes for column in crops.columns.values())
    assert (tmp_path / "o.h5").stat().st_size < values + (24 << 10)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("options", [(), ("--reduce", "mean"), ("--compression", "gzip")])
def test_files_of_hardly_a_crop_are_small(inputs, tmp_path, count, options):
    """What is beside the crops, mostly the room for warnings, takes 16 kB and is not aligned."""
    boxes = write_json(tmp_path / "few.json", [[0, 8, 8, 40, 40]][:count])
    extracted(tmp_path / "o.h5", inputs[0], boxes, *SPREAD, *options)
    assert len(open_crops(tmp_path / "o.h5")) == count
    assert (tmp_path / "o.h5").stat().st_size < 24 << 10
