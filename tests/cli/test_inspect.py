"""`msroi inspect`: every kind of file, in words and in JSON."""

from __future__ import annotations

import json
import os

import h5py
import numpy as np
import pytest

from tests.builders import (
    IDS,
    SAMPLE_DATA,
    SPREAD,
    batch_maps,
    coco,
    differing_maps,
    extracted,
    image_maps,
    ran,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
    write_json_pyramid,
    write_npz,
    write_per_image,
)


def facts(*arguments, stdin=None):
    """The JSON of one file."""
    result = run("inspect", "--json", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def spoilt_maps():
    maps = batch_maps()
    maps["p3"][:, 0, :2] = np.nan
    maps["p3"][0, 1, 0, 0] = np.inf
    return maps


PYRAMIDS = {
    "batched": lambda path: write_batched(path, spoilt_maps(), ids=IDS, scale_factors=np.full((3, 2), 1.5)),
    "npz": lambda path: write_npz(path, spoilt_maps(), image_ids=IDS, scale_factors=np.full((3, 2), 1.5)),
    "npz, compressed": lambda path: write_npz(
        path, spoilt_maps(), compressed=True, image_ids=IDS, scale_factors=np.full((3, 2), 1.5)
    ),
}


@pytest.mark.parametrize("layout", PYRAMIDS)
def test_batched_pyramids(tmp_path, layout):
    got = facts(PYRAMIDS[layout](tmp_path / ("p.npz" if "npz" in layout else "p.h5")))
    maps = spoilt_maps()
    assert (got["kind"], got["layout"], got["images"], got["channels"]) == ("pyramid", "batched", 3, 3)
    assert (got["image_ids"], got["scale_factor"]) == (IDS, {"x": [1.5, 1.5], "y": [1.5, 1.5]})
    assert [level["name"] for level in got["levels"]] == list(maps)
    for level, stride in zip(got["levels"], (4, 8, 16), strict=True):
        array = maps[level["name"]]
        finite = array[np.isfinite(array)]
        assert level["stride"] == [stride, stride]
        assert (level["shape"], level["dtype"]) == (list(array.shape), "float32")
        assert (level["height"], level["width"]) == ([array.shape[2]] * 2, [array.shape[3]] * 2)
        sample = level["sample"]
        assert sample["values"] == array.size
        assert [sample["min"], sample["max"]] == pytest.approx([finite.min(), finite.max()])
        assert sample["nan_share"] == pytest.approx(np.isnan(array).mean())
        assert sample["infinite_share"] == pytest.approx(np.isinf(array).mean())
    if layout == "batched":
        assert got["bytes"] == sum(array.nbytes for array in maps.values())
    assert (got["levels"][0]["filters"] == [["deflate"]]) == (layout == "npz, compressed")


def test_a_pyramid_by_image(tmp_path):
    maps = differing_maps("float16")
    got = facts(write_per_image(tmp_path / "p.h5", maps, sizes=dict.fromkeys(IDS, (50, 60))))
    assert (got["layout"], got["image_ids"]) == ("per image", sorted(IDS, key=int))
    assert (got["scale_factor"], got["image_size"]) == (None, {"x": [50, 50], "y": [60, 60]})
    assert got["levels"][0]["height"] == [8, 32]
    assert got["levels"][0]["width"] == [16, 40]
    assert got["bytes"] == sum(array.nbytes for image in maps.values() for array in image.values())


def test_a_json_pyramid(tmp_path):
    got = facts(write_json_pyramid(tmp_path / "p.json"))
    assert (got["kind"], got["layout"], len(got["levels"])) == ("pyramid", "batched", 3)
    assert got["bytes"] == sum(array.nbytes for array in batch_maps().values())


STORAGES = {
    "contiguous": ({}, None, []),
    "chunked": ({"chunks": (1, 3, 4, 4)}, [1, 3, 4, 4], []),
    "gzip": (
        {"chunks": (1, 1, 4, 4), "compression": "gzip", "compression_opts": 7, "shuffle": True},
        [1, 1, 4, 4],
        ["shuffle", "gzip 7"],
    ),
    "lzf": ({"chunks": (1, 1, 4, 4), "compression": "lzf", "fletcher32": True}, [1, 1, 4, 4], ["lzf", "fletcher32"]),
}


@pytest.mark.parametrize("name", STORAGES)
def test_storage(tmp_path, name):
    storage, chunks, filters = STORAGES[name]
    path = write_batched(tmp_path / "p.h5", storage=storage)
    with h5py.File(path) as file:
        size = file["p2"].id.get_storage_size()
    level = facts(path)["levels"][0]
    assert level["chunks"] == [chunks]
    assert sorted(level["filters"][0]) == sorted(filters)
    assert level["bytes"] == size


def test_storage_that_differs(tmp_path):
    path = write_per_image(tmp_path / "p.h5", {key: image_maps() for key in IDS})
    with h5py.File(path, "a") as file:
        values = file["4/p2"][:]
        del file["4/p2"]
        file["4"].create_dataset("p2", data=values, chunks=(1, 4, 4), compression="gzip").attrs["stride"] = 4
    level = facts(path)["levels"][0]
    assert level["chunks"] == [[1, 4, 4], None]
    assert level["filters"] == [["gzip 4"], []]
    assert "gzip 4 or none" in run("inspect", path).stdout


def test_strides_may_be_missing(tmp_path):
    path = write_batched(tmp_path / "p.h5", strides=None)
    assert [level["stride"] for level in facts(path)["levels"]] == [None] * 3
    assert run("inspect", path).stdout.count("unknown") == 3


@pytest.mark.parametrize("layout", ["batched", "npz", "json"])
def test_no_images(tmp_path, layout):
    maps = {name: array[:0] for name, array in batch_maps().items()}
    if layout == "json":
        path = write_json(tmp_path / "p", {"levels": [{"name": "p2", "stride": 4, "data": []}]})
        refused(run("inspect", path), 3, "expected")
        return
    path = write_batched(tmp_path / "p", maps) if layout == "batched" else write_npz(tmp_path / "p.npz", maps)
    got = facts(path)
    assert (got["images"], got["levels"][0]["height"], got["levels"][0]["sample"]["min"]) == (0, None, None)
    assert run("inspect", path).exit_code == 0


def test_a_group_inside(tmp_path):
    path = write_batched(tmp_path / "p.h5", inside="/a/b")
    assert facts(f"{path}::/a/b")["images"] == 3


BOXES = random_boxes(40)
KEYS = [IDS[row % 3] for row in range(40)]


def grouped(path):
    with h5py.File(path, "w") as file:
        for key in IDS:
            file[f"{key}/boxes"] = BOXES[[row for row in range(40) if KEYS[row] == key]]
    return path


def hdf5_rois(path):
    with h5py.File(path, "w") as file:
        file["rois"] = np.column_stack([[IDS.index(key) for key in KEYS], BOXES])
    return path


BOX_FILES = {
    "rows": (lambda path: write_json(path, random_rows(40).tolist()), "rows", "index"),
    "ids": (
        lambda path: write_json(path, {k: BOXES[[r for r in range(40) if KEYS[r] == k]].tolist() for k in IDS}),
        "boxes by image id",
        "id",
    ),
    "coco": (lambda path: write_json(path, coco(BOXES, KEYS)), "COCO data set", "id"),
    "results": (
        lambda path: write_json(path, coco(BOXES, KEYS, score=[0.5] * 40)["annotations"]),
        "COCO results",
        "id",
    ),
    "hdf5": (hdf5_rois, "HDF5 rois", "index"),
    "groups": (grouped, "HDF5 boxes by image", "id"),
}


@pytest.mark.parametrize("name", BOX_FILES)
def test_boxes(tmp_path, name):
    write, kind, named_by = BOX_FILES[name]
    got = facts(write(tmp_path / "b"))
    assert (got["kind"], got["format"], got["images_named_by"]) == ("boxes", kind, named_by)
    assert (got["boxes"], got["images"], got["not_poolable"]) == (40, 3, {})
    size = np.sqrt((BOXES[:, 2] - BOXES[:, 0]) * (BOXES[:, 3] - BOXES[:, 1]))
    for which, value in got["size"].items():
        assert value == pytest.approx(np.percentile(size, int(which[1:])), rel=1e-6)
    assert got["x"] == pytest.approx([BOXES[:, 0].min(), BOXES[:, 2].max()])
    assert got["columns"] == (["score"] if name == "results" else [])
    assert run("inspect", tmp_path / "b").stdout.startswith(f"{tmp_path / 'b'}: boxes, {kind}")


def test_categories_by_name_and_frequency(tmp_path):
    data = coco(BOXES, KEYS, category_id=[3 if row % 4 else 8 for row in range(40)])
    data["categories"] = [{"id": 3, "name": "cat"}, {"id": 9}, "x"]
    got = facts(write_json(tmp_path / "b.json", data))
    assert got["categories"] == [{"id": 3, "name": "cat", "boxes": 30}, {"id": 8, "name": None, "boxes": 10}]


def test_many_categories_are_not_all_shown(tmp_path):
    path = write_json(tmp_path / "b.json", coco(BOXES, KEYS, category_id=list(range(40))))
    assert "and 30 categories more" in run("inspect", path).stdout
    assert len(facts(path)["categories"]) == 40


def test_bad_boxes_are_counted(tmp_path):
    rows = [[0, 1, 1, 5, 5], [0, 5, 1, 1, 5], [0, 1, 5, 5, 1], [0, 1e40, 1, 2, 2]]
    path = write_json(tmp_path / "b.json", rows)
    got = facts(path)
    assert got["not_poolable"] == {"x2 < x1": 1, "y2 < y1": 1, "not finite": 1}
    assert (got["boxes"], got["x"]) == (4, [1, 5])
    assert "bad       1 not finite, 1 x2 < x1, 1 y2 < y1" in run("inspect", path).stdout


def test_no_boxes(tmp_path):
    path = write_json(tmp_path / "b.json", [])
    got = facts(path)
    assert (got["boxes"], got["size"], got["x"], got["boxes_per_image"]) == (0, None, None, None)
    assert run("inspect", path).exit_code == 0


def test_boxes_from_a_pipe():
    got = facts("-", stdin='{"17": [[1, 2, 3, 4]]}')
    assert (got["file"], got["kind"], got["boxes"]) == ("-", "boxes", 1)


@pytest.mark.parametrize("compression", [None, "gzip:2"])
def test_crops(tmp_path, compression):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    boxes = write_json(tmp_path / "b.json", coco(BOXES, KEYS, id=list(range(40))))
    extra = ("--compression", compression) if compression else ()
    crops = extracted(tmp_path / "o.h5", pyramid, boxes, *SPREAD, *extra)
    got = facts(tmp_path / "o.h5")
    assert (got["kind"], got["shape"], got["dtype"]) == ("crops", [40, 3, 7, 7], "float32")
    assert (got["parameters"], got["sources"]) == (crops.parameters, crops.sources)
    assert [level["boxes"] for level in got["levels"]] == crops.stats["boxes"].tolist()
    assert (got["images"], got["images_with_crops"], got["invalid_boxes"]) == (3, 3, 0)
    assert got["filters"] == (["shuffle", "gzip 2"] if compression else [])
    text = run("inspect", tmp_path / "o.h5").stdout
    assert "40 of 3x7x7" in text
    assert ("shuffle+gzip 2" in text) == bool(compression)


def test_levels_without_boxes_have_no_statistics(tmp_path):
    boxes = write_json(tmp_path / "b.json", [[0, 1, 1, 9, 9]])
    extracted(tmp_path / "o.h5", write_batched(tmp_path / "p.h5"), boxes)
    assert facts(tmp_path / "o.h5")["levels"][1]["mean"] is None


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["table"] = np.zeros((3, 3), "i4")
        file.create_group("things")["x"] = 1
    return path


NEITHER = {
    "hdf5": (other_hdf5, r"a pyramid, boxes or crops, got table \(3, 3\) int32, things group of 1; as crops: .*boxes"),
    "empty hdf5": (lambda path: h5py.File(path, "w").close() or path, "got nothing; as crops"),
    "picture": (
        lambda path: path.write_bytes(b"\x89PNG\r\n") and path,
        r"expected JSON or JSON Lines .*got a file that begins b'.x89PNG",
    ),
    "json": (lambda path: path.write_text('{"a": 3}') and path, r"expected rows .*got an object with a"),
    "half json": (lambda path: path.write_text('{"a": ') and path, r":1:7: expected JSON"),
    "empty": (lambda path: path.touch() or path, "got an empty file"),
    "nothing": (lambda path: path, "cannot be read: No such file"),
    "folder": (lambda path: path.mkdir() or path, "expected pyramid files .*got none"),
    "not our crops": (
        lambda path: extracted_with_version(path, 2),
        "expected format version 1, got 2",
    ),
    "zip": (lambda path: path.write_bytes(b"PK\x03\x04 and then nothing") and path, "NPZ"),
}


def extracted_with_version(path, version):
    with h5py.File(path, "w") as file:
        file.attrs.update(format="msroi-crops", format_version=version)
    return path


@pytest.mark.parametrize("name", NEITHER)
def test_files_that_are_none_of_these(tmp_path, name):
    write, pattern = NEITHER[name]
    path = tmp_path / "x"
    write(path)
    refused(run("inspect", path), 3, rf"x.*{pattern}")


def test_one_bad_file_among_others(tmp_path):
    good = write_json(tmp_path / "b.json", [[0, 1, 2, 3, 4]])
    result = run("inspect", tmp_path / "nothing", good, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["kind"] == "boxes"
    assert result.stderr.startswith("msroi: error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_pyramid_of_100_gigabytes_takes_no_time(tmp_path):
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        for name, stride in (("p2", 4), ("p3", 8), ("p4", 16), ("p5", 32)):
            shape = (1500, 256, 800 // stride, 1344 // stride)
            dataset = file.create_dataset(name, shape, "f4")
            dataset[0, 0, 0, 0] = 1
            dataset.attrs["stride"] = stride
    if path.stat().st_blocks * 512 > 10**9:
        pytest.skip("no sparse files here")
    before = os.times()
    code, text, _ = ran("inspect", path, "--json")
    assert code == 0
    assert json.loads(text)["bytes"] > 100 * 10**9
    after = os.times()
    # Of processor time: a loaded machine takes longer by the clock.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5


def test_sample_data():
    result = run("inspect", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "shuffle+gzip 4 or none" in result.stdout
    assert "word         96" in result.stdout
