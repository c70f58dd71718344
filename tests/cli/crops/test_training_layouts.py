"""Exports that code for training opens: WebDataset's tar files, bottom-up-attention.pytorch's NPZ, ban-vqa's HDF5."""

from __future__ import annotations

import gc
import io
import json
import pickle
import tarfile

import h5py
import numpy as np
import pytest

from msroi_cli.io.export import webdataset as webdataset_module
from msroi_cli.job import export as job
from tests.builders import (
    SPREAD,
    coco,
    extracted,
    image_maps,
    random_boxes,
    refused,
    run,
    write_json,
    write_per_image,
)

COUNT = 50
IDS = ["17", "4", "230", "5"]
SIZES = {"17": (48.0, 32.0), "4": (50.5, 30.0), "230": (96.0, 64.0), "5": (10.0, 10.0)}
KEYS = [IDS[row % 3] for row in range(COUNT)]  # none of the fourth image


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Crops with scores and categories, one of which was not pooled, and their pyramid."""
    folder = tmp_path_factory.mktemp("training")
    boxes = random_boxes(COUNT)
    boxes[5] = (9, 9, 1, 1)
    scores = (np.random.default_rng(0).permutation(COUNT) / COUNT).tolist()
    data = coco(boxes, KEYS, score=scores, category_id=[1 + row % 7 for row in range(COUNT)])
    maps = {key: image_maps(index) for index, key in enumerate(IDS)}
    factors = {key: (96 / SIZES[key][0], 64 / SIZES[key][1]) for key in IDS}
    pyramid = write_per_image(folder / "p.h5", maps, factors=factors, sizes=SIZES)
    options = ("--box-space", "input", "--on-bad-box", "zero", "--output-size", "3x2", *SPREAD)
    extracted(folder / "o.h5", pyramid, write_json(folder / "b.json", data), *options)
    return folder / "o.h5", pyramid


@pytest.fixture(params=[1, 1 << 20])
def parts(request, monkeypatch):
    """Features in parts of different sizes."""
    monkeypatch.setattr(job, "PART_BYTES", request.param)


def exported(files, out, layout, *more):
    result = run("export", files[0], out, "--layout", layout, "--pyramid", files[1], *more)
    assert (result.exit_code, result.stdout) == (0, ""), (result.stderr, result.exception)


def expected_of(files, original=False, reduce=True):
    """By image id in natural order, worked out with h5py alone: features, boxes in the space, the columns."""
    found = {}
    with h5py.File(files[0]) as file:
        ids = file["image_ids"].asstr()[:].tolist()
        good = file["status"][:] == 0
        for number, key in enumerate(ids):
            rows = np.flatnonzero((file["image_index"][:] == number) & good)
            features, boxes = file["crops"][:][rows], file["boxes"][:][rows].astype("f8")
            scale = np.tile((96 / SIZES[key][0], 64 / SIZES[key][1]), 2) if original else 1
            columns = {name: file[name][:][rows] for name in ("level", "box_index", "score", "category_id")}
            features = features.astype("f8").mean(axis=(2, 3)) if reduce else features
            found[key] = {"features": features, "boxes": boxes / scale, **columns}
    return found


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-5)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", [False, True], ids=["crops", "vectors"])
@pytest.mark.parametrize("shard_bytes", [1, 5_000, 1 << 30])
@pytest.mark.sampled(5)
def test_webdataset_read_by_tarfile(files, tmp_path, monkeypatch, reduce, shard_bytes):
    monkeypatch.setattr(webdataset_module, "SHARD_BYTES", shard_bytes)
    more = ("--reduce", "mean") if reduce else ()
    exported(files, tmp_path / "e", "webdataset", *more)
    expected = expected_of(files, reduce=reduce)
    index = json.loads((tmp_path / "e" / "index.json").read_text())
    names = sorted(path.name for path in (tmp_path / "e").iterdir())
    assert names == [*(entry["file"] for entry in index["files"]), "index.json"]
    assert (len(names) - 1 > 1) == (shard_bytes < 1 << 20)
    members = {}
    for entry in index["files"]:
        with tarfile.open(tmp_path / "e" / entry["file"]) as tar:
            assert len(tar.getmembers()) == 3 * entry["samples"]
            members.update({member.name: tar.extractfile(member).read() for member in tar})
    assert list(members) == [f"{key}.{end}" for key in expected for end in ("features.npy", "boxes.npy", "json")]
    for key, one in expected.items():
        features, boxes = (np.load(io.BytesIO(members[f"{key}.{name}.npy"])) for name in ("features", "boxes"))
        (close if reduce else np.testing.assert_array_equal)(features, one["features"])
        np.testing.assert_array_equal(boxes, one["boxes"])
        about = json.loads(members[f"{key}.json"])
        assert (about["image_id"], about["image_size"]) == (key, [96, 64])
        for name in ("level", "box_index", "score", "category_id"):
            assert about[name] == one[name].tolist()


# The library leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_read_by_its_library(files, tmp_path, monkeypatch):
    wds = pytest.importorskip("webdataset")
    monkeypatch.setattr(webdataset_module, "SHARD_BYTES", 1)
    exported(files, tmp_path / "e", "webdataset", "--box-space", "original")
    expected = expected_of(files, original=True, reduce=False)
    shards = sorted(str(path) for path in (tmp_path / "e").glob("*.tar"))
    assert len(shards) == len(IDS)
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode())
    gc.collect()
    assert [sample["__key__"] for sample in samples] == list(expected)
    for sample, (key, one) in zip(samples, expected.items(), strict=True):
        assert sample["json"]["image_id"] == key
        assert sample["json"]["image_size"] == list(SIZES[key])
        np.testing.assert_array_equal(sample["features.npy"], one["features"])
        close(sample["boxes.npy"], one["boxes"])


def test_the_same_tar_whenever_it_is_made(files, tmp_path):
    for name in ("a", "b"):
        exported(files, tmp_path / name, "webdataset")
    assert (tmp_path / "a" / "00000.tar").read_bytes() == (tmp_path / "b" / "00000.tar").read_bytes()


@pytest.mark.parametrize("layout", ["webdataset", "bua"])
def test_awkward_ids(tmp_path, layout):
    ids = ["a.b.jpg", "a/b", "..", "", "ü 日本", "x" * 300, "A", "a", "a%2Eb"]
    level = {"name": "p2", "stride": 4, "data": np.ones((len(ids), 1, 4, 4)).tolist()}
    pyramid = write_json(tmp_path / "p.json", {"levels": [level], "image_ids": ids})
    boxes = write_json(tmp_path / "b.json", [[row, 1, 2, 3, 4 + row] for row in range(len(ids))])
    extracted(tmp_path / "o.h5", pyramid, boxes)
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e", layout, "--reduce", "max")
    if layout == "bua":
        index = json.loads((tmp_path / "e" / "index.json").read_text())["files"]
        for entry, key in zip(index, ids, strict=True):
            with np.load(tmp_path / "e" / entry["file"], allow_pickle=True) as arrays:
                assert arrays["info"].item()["image_id"] == key == entry["image_id"]
        return
    with tarfile.open(tmp_path / "e" / "00000.tar") as tar:
        keys = [member.name.split(".")[0] for member in tar]
        found = [json.load(tar.extractfile(member))["image_id"] for member in tar if member.name.endswith(".json")]
    assert found == ids
    assert [keys[at] for at in range(0, len(keys), 3)] == list(dict.fromkeys(keys))
    assert len({key.lower() for key in keys}) == len(ids)


@pytest.mark.usefixtures("parts")
def test_bua_has_the_names_of_bottom_up_attention_pytorch(files, tmp_path):
    exported(files, tmp_path / "e", "bua", "--reduce", "mean", "--box-space", "original")
    for key, one in expected_of(files, original=True).items():
        with np.load(tmp_path / "e" / f"{key}.npz", allow_pickle=True) as arrays:
            assert sorted(arrays) == ["bbox", "image_h", "image_w", "info", "num_bbox", "x"]
            assert (arrays["x"].dtype, arrays["bbox"].dtype) == ("float32", "float32")
            close(arrays["x"], one["features"])
            close(arrays["bbox"], one["boxes"])
            size = (arrays["image_w"], arrays["image_h"])
            assert size == SIZES[key]
            assert arrays["num_bbox"] == len(one["boxes"])
            info = arrays["info"].item()
        assert (info["image_id"], info["num_boxes"]) == (key, len(one["boxes"]))
        assert (info["image_w"], info["image_h"]) == SIZES[key]
        assert info["objects_id"].tolist() == one["category_id"].tolist()
        assert info["objects_conf"].tolist() == one["score"].tolist()
    with np.load(tmp_path / "e" / "17.npz") as arrays:
        # All but the object are read without unpickling anything.
        assert arrays["image_w"].dtype.kind == "i"


def as_ban_reads(folder, name):
    """What ban-vqa's VQAFeatureDataset does with the adaptive features of a split."""
    with (folder / f"{name}_imgid2idx.pkl").open("rb") as file:
        img_id2idx = pickle.load(file)
    with h5py.File(folder / f"{name}.hdf5", "r") as hf:
        arrays = {key: np.array(hf.get(key)) for key in ("image_features", "spatial_features", "image_bb")}
        pos_boxes = np.array(hf.get("pos_boxes"))
    for image_id, index in img_id2idx.items():
        rows = slice(pos_boxes[index][0], pos_boxes[index][1])
        yield image_id, {key: array[rows, :] for key, array in arrays.items()}


@pytest.mark.usefixtures("parts")
def test_ban_reads_features_boxes_and_spatial_features(files, tmp_path):
    exported(files, tmp_path / "train.hdf5", "ban", "--reduce", "mean", "--box-space", "original")
    found = dict(as_ban_reads(tmp_path, "train"))
    expected = expected_of(files, original=True)
    assert list(found) == [int(key) for key in expected]
    for key, one in expected.items():
        got = found[int(key)]
        assert all(array.dtype == np.float32 for array in got.values())
        close(got["image_features"], one["features"])
        close(got["image_bb"], one["boxes"])
        width, height = SIZES[key]
        x1, y1, x2, y2 = one["boxes"].T / np.array([[width, height] * 2]).T
        close(got["spatial_features"], np.column_stack([x1, y1, x2, y2, x2 - x1, y2 - y1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.hdf5", "train_imgid2idx.pkl"]


def test_ids_that_are_names_stay_names(tmp_path):
    pyramid = write_per_image(tmp_path / "p.h5", {"17": image_maps(0), "cat": image_maps(1)})
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", [[1, 1, 1, 9, 9], [0, 2, 2, 9, 9]]))
    exported((tmp_path / "o.h5", pyramid), tmp_path / "val.hdf5", "ban", "--reduce", "max")
    assert pickle.loads((tmp_path / "val_imgid2idx.pkl").read_bytes()) == {"17": 0, "cat": 1}


def test_ids_that_are_one_number_are_refused(tmp_path):
    pyramid = write_per_image(tmp_path / "p.h5", {"7": image_maps(0), "07": image_maps(1)})
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", {"7": [[1, 1, 9, 9]], "07": [[2, 2, 9, 9]]}))
    line = ("export", tmp_path / "o.h5", tmp_path / "e.hdf5", "--layout", "ban", "--reduce", "max")
    refused(run(*line, "--pyramid", pyramid), 3, "expected ids that are different numbers, got 0?7 and 0?7")
    assert not list(tmp_path.glob("e*"))


def test_neither_file_of_ban_is_lost(files, tmp_path):
    line = ("export", files[0], tmp_path / "e.hdf5", "--layout", "ban", "--reduce", "max", "--pyramid", files[1])
    (tmp_path / "e_imgid2idx.pkl").write_bytes(b"mine")
    refused(run(*line), 2, r"e_imgid2idx\.pkl: exists already")
    assert (tmp_path / "e_imgid2idx.pkl").read_bytes() == b"mine"
    assert run(*line, "--overwrite").exit_code == 0
    assert len(pickle.loads((tmp_path / "e_imgid2idx.pkl").read_bytes())) == 4
    (tmp_path / "p_imgid2idx.pkl").symlink_to(tmp_path / "e.hdf5")
    line = (*line[:2], tmp_path / "p.hdf5", *line[3:])
    refused(run(*line, "--overwrite"), 2, "p_imgid2idx")
    assert not (tmp_path / "p.hdf5").exists()
