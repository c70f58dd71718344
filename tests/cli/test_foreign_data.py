"""Data sets as other libraries write them, each pooled by one command, box by box as torchvision pools them.

Without torchvision, beside the definition in tests/oracle.py. A library that is not installed skips its data sets.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json

import h5py
import numpy as np
import pytest

from msroi_cli import assign_levels, open_crops
from tests import oracle
from tests.builders import run
from tests.peers import torchvision_ops

IDS = ["139", "285", "632"]
FILES = [f"{int(name):012}" for name in IDS]
STRIDES = (4, 8, 16, 32)
WIDTH, HEIGHT, FACTOR = 128, 96, 2.0
CANONICAL = 16
RNG = np.random.default_rng(5)
LEVELS = [RNG.standard_normal((3, 4, HEIGHT // stride, WIDTH // stride)).astype(np.float32) for stride in STRIDES]
# (image, x1, y1, x2, y2) in input pixels: eighths, so that every format holds them without rounding.
CORNERS = np.concatenate([RNG.integers(0, 500, (40, 1)), RNG.integers(0, 300, (40, 1))], axis=1) / 8
SIDES = np.exp2(RNG.uniform(2, 6, (40, 2))).round(0)
BOXES = np.concatenate([np.sort(RNG.integers(0, 3, (40, 1)), axis=0), CORNERS, CORNERS + SIDES], axis=1)
SCORES = (np.arange(40) % 8 + 1) / 8
LABELS = np.arange(40) % 5


def xywh(row):
    """A box of the original picture, which is half as large as the input, as COCO has it."""
    x1, y1, x2, y2 = (BOXES[row, 1:] / FACTOR).tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def write_groups(path, names, prefix="{}", strides=STRIDES):
    """Maps by h5py, a group an image."""
    with h5py.File(path, "w") as file:
        for image, name in enumerate(names):
            group = file.create_group(prefix.format(name))
            group.attrs["scale_factor"] = (FACTOR, FACTOR)
            for level, stride in zip(LEVELS, strides, strict=True):
                group.create_dataset(f"p{stride.bit_length() + 1}", data=level[image]).attrs["stride"] = stride
    return path


def write_files(folder, names, write):
    """A file an image in a folder."""
    folder.mkdir()
    for image, name in enumerate(names):
        write(folder / name, {f"p{index + 2}": level[image] for index, level in enumerate(LEVELS)})
    return folder


def write_h5(path, maps):
    with h5py.File(f"{path}.h5", "w") as file:
        for (name, values), stride in zip(maps.items(), STRIDES, strict=True):
            file.create_dataset(name, data=values).attrs["stride"] = stride


def coco(names):
    """A COCO data set, read and indexed by pycocotools."""
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    data = module.COCO()
    data.dataset = {
        "images": [
            {"id": int(key), "file_name": f"{name}.jpg", "width": 64, "height": 48}
            for key, name in zip(IDS, names, strict=True)
        ],
        "categories": [{"id": label, "name": f"thing {label}"} for label in range(5)],
        "annotations": [
            {
                "id": 900 + row,
                "image_id": int(IDS[int(BOXES[row, 0])]),
                "category_id": int(LABELS[row]),
                "bbox": xywh(row),
                "area": 1.0,
                "iscrowd": row % 2,
            }
            for row in range(len(BOXES))
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        data.createIndex()
    return data


def pycocotools_data_set(folder):
    """Annotations of pycocotools, maps by image id."""
    (folder / "instances.json").write_text(json.dumps(coco(FILES).dataset))
    return [write_groups(folder / "maps.h5", IDS), folder / "instances.json", "--box-space", "original"]


def pycocotools_results(folder):
    """Results as pycocotools loads them, maps by file name."""
    data = coco(FILES)
    (folder / "instances.json").write_text(json.dumps(data.dataset))
    results = [{key: one[key] for key in ("image_id", "category_id", "bbox")} for one in data.dataset["annotations"]]
    results = [{**one, "score": float(score)} for one, score in zip(results, SCORES, strict=True)]
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = data.loadRes(results)
    (folder / "results.json").write_text(json.dumps(loaded.dataset["annotations"]))
    options = ["--coco-images", folder / "instances.json", "--image-key", "file_name", "--box-space", "original"]
    return [write_groups(folder / "maps.h5", FILES), folder / "results.json", *options]


def torchvision_detector(folder):
    """What torchvision's backbone and detector return: a dict of levels with `pool`, and a list of dicts of tensors."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    features = {str(index): torch.from_numpy(level) for index, level in enumerate(LEVELS)}
    features["pool"] = features["3"][:, :, ::2, ::2]
    np.savez(folder / "features.npz", **{name: level.numpy() for name, level in features.items()})
    found = []
    for image in range(len(IDS)):
        mine = BOXES[:, 0] == image
        tensors = {"boxes": torch.from_numpy(BOXES[mine, 1:]), "scores": torch.from_numpy(SCORES[mine])}
        tensors["labels"] = torch.from_numpy(LABELS[mine])
        found.append({name: tensor.tolist() for name, tensor in tensors.items()})
    (folder / "detections.json").write_text(json.dumps(found))
    return [folder / "features.npz", folder / "detections.json", "--levels", "0,1,2,3", "--strides", "4,8,16,32"]


def ultralytics_labels(folder):
    """A folder of label files with confidences, and a folder of files of one image each."""
    (folder / "labels").mkdir()
    for image, name in enumerate(FILES):
        lines = []
        for row in np.flatnonzero(BOXES[:, 0] == image):
            x1, y1, x2, y2 = BOXES[row, 1:] / (WIDTH, HEIGHT, WIDTH, HEIGHT)
            numbers = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, SCORES[row])
            lines.append(f"{LABELS[row]} {' '.join(repr(float(number)) for number in numbers)}\n")
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))
    return [write_files(folder / "per", FILES, write_h5), folder / "labels"]


def frame():
    """The boxes as a table of pandas."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    names = ("x1", "y1", "x2", "y2")
    columns = {"image_id": [IDS[int(image)] for image in BOXES[:, 0]], **dict(zip(names, BOXES.T[1:], strict=True))}
    return pandas.DataFrame({**columns, "score": SCORES, "category_id": LABELS})


def pandas_csv(folder):
    """A table with names of its own, by pandas; safetensors of one image each."""
    save = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
    own = {"image_id": "picture", "x1": "left", "y1": "top", "x2": "right", "y2": "bottom", "score": "confidence"}
    frame().rename(columns=own).to_csv(folder / "boxes.csv", sep=";", index=False)
    maps = write_files(folder / "maps", IDS, lambda path, levels: save(levels, f"{path}.safetensors"))
    columns = ",".join(f"{meaning}={name}" for meaning, name in own.items()) + ",delimiter=semicolon"
    return [maps, folder / "boxes.csv", "--strides", "4,8,16,32", "--columns", columns]


def pandas_parquet(folder):
    """Parquet by pandas."""
    pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    frame().to_parquet(folder / "boxes.parquet")
    options = ["--box-space", "input", "--image-key", "id"]
    return [write_groups(folder / "maps.h5", IDS), folder / "boxes.parquet", *options]


def arrow_table():
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(BOXES[:, 1:].ravel()), 4)
    return pa.table({"image_id": [IDS[int(image)] for image in BOXES[:, 0]], "box": boxes, "score": SCORES})


def arrow_parquet(folder):
    """Parquet with lists, by pyarrow; one safetensors file of all images with strides in its metadata."""
    table = arrow_table()
    from pyarrow import parquet

    save = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
    parquet.write_table(table, folder / "boxes.parquet")
    levels = {f"p{index + 2}": level for index, level in enumerate(LEVELS)}
    levels["image_ids"] = np.array([int(name) for name in IDS])
    save(levels, folder / "maps.safetensors", {"strides": json.dumps(STRIDES)})
    return [folder / "maps.safetensors", folder / "boxes.parquet", "--image-key", "id"]


def arrow_csv(folder):
    """Gzipped CSV by pyarrow; a folder of .npy, a file a level."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an optional extra")
    from pyarrow import csv

    names = ("x", "y", "w", "h")
    boxes = np.concatenate([BOXES[:, 1:3], BOXES[:, 3:] - BOXES[:, 1:3]], axis=1)
    columns = {"image_index": BOXES[:, 0].astype(int), **dict(zip(names, boxes.T, strict=True))}
    with gzip.open(folder / "boxes.csv.gz", "wb") as file:
        csv.write_csv(pa.table(columns), file)
    (folder / "maps").mkdir()
    for index, level in enumerate(LEVELS):
        np.save(folder / "maps" / f"p{index + 2}.npy", level)
    np.save(folder / "maps" / "strides.npy", STRIDES)
    return [folder / "maps", folder / "boxes.csv.gz"]


def detectron2_results(folder):
    """coco_instances_results.json as detectron2's COCO evaluator dumps it; an .npz an image, by a pattern."""
    records = []
    for row in range(len(BOXES)):
        image, score = int(IDS[int(BOXES[row, 0])]), float(SCORES[row])
        x, y, w, h = (FACTOR * side for side in xywh(row))
        records.append({"image_id": image, "category_id": int(LABELS[row]), "bbox": [x, y, w, h], "score": score})
    (folder / "coco_instances_results.json").write_text(json.dumps(records))
    write_files(folder / "fpn", IDS, lambda path, maps: np.savez(f"{path}.npz", **maps))
    return [folder / "fpn" / "*.npz", folder / "coco_instances_results.json", "--strides", "4,8,16,32"]


def hugging_face_rows(folder):
    """JSON Lines of Hugging Face datasets, an image a line; groups inside groups."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    rows = []
    for image, name in enumerate(IDS):
        mine = BOXES[:, 0] == image
        columns = {"boxes": BOXES[mine, 1:], "scores": SCORES[mine], "labels": LABELS[mine]}
        rows.append({"image_id": name, **{key: values.tolist() for key, values in columns.items()}})
    datasets.Dataset.from_list(rows).to_json(folder / "rows.jsonl")
    maps = write_groups(folder / "maps.h5", IDS, "images/{}/features")
    return [maps, folder / "rows.jsonl", "--group", "images/{id}/features", "--box-space", "input"]


def numpy_rois(folder):
    """RoIs as torchvision.ops takes them, in .npy; a batched file by h5py with strides for the whole file."""
    np.save(folder / "rois.npy", BOXES)
    with h5py.File(folder / "maps.h5", "w") as file:
        file.attrs["stride"] = STRIDES
        for index, level in enumerate(LEVELS):
            file[f"p{index + 2}"] = level
    return [folder / "maps.h5", folder / "rois.npy"]


def hdf5_groups(folder):
    """Boxes in HDF5, a group an image, as captioning features have them; files in a list."""
    with h5py.File(folder / "boxes.h5", "w") as file:
        for image, name in enumerate(IDS):
            file.create_group(name)["boxes"] = BOXES[BOXES[:, 0] == image, 1:].astype(np.float32)
    write_files(folder / "per", IDS, write_h5)
    (folder / "list.txt").write_text("".join(f"per/{name}.h5\n" for name in reversed(IDS)))
    return [f"@{folder / 'list.txt'}", folder / "boxes.h5"]


DATA_SETS = (
    pycocotools_data_set,
    pycocotools_results,
    torchvision_detector,
    ultralytics_labels,
    pandas_csv,
    pandas_parquet,
    arrow_parquet,
    arrow_csv,
    detectron2_results,
    hugging_face_rows,
    numpy_rois,
    hdf5_groups,
)


def pooled_elsewhere():
    """The crops of BOXES, by torchvision or else by the definition."""
    scales = [1 / stride for stride in STRIDES]
    ops = torchvision_ops()
    if ops is None:
        levels = assign_levels(BOXES, scales, compat="torchvision", canonical_scale=CANONICAL)
        return oracle.pool(LEVELS, BOXES, [(scale, scale) for scale in scales], (7, 7), 2, False, levels)
    import torch

    layer = ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=CANONICAL)
    features = {str(index): torch.from_numpy(level) for index, level in enumerate(LEVELS)}
    boxes = [torch.from_numpy(BOXES[BOXES[:, 0] == image, 1:]).float() for image in range(len(IDS))]
    return layer(features, boxes, [(HEIGHT, WIDTH)] * len(IDS)).numpy()


@pytest.mark.parametrize("make", DATA_SETS, ids=lambda make: make.__name__)
@pytest.mark.sampled(3)
def test_one_command_without_glue(tmp_path, make):
    arguments = make(tmp_path)
    options = ["--compat", "torchvision", "--canonical-scale", CANONICAL, "-o", tmp_path / "crops.h5"]
    result = run("extract", *arguments, *options)
    assert result.exit_code == 0, result.stderr
    expected = pooled_elsewhere()
    with open_crops(tmp_path / "crops.h5") as crops:
        assert len(np.unique(crops.level)) == len(STRIDES)
        np.testing.assert_allclose(crops.boxes, BOXES[:, 1:], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(crops[:], expected, atol=1e-5 * max(np.abs(level).max() for level in LEVELS))
        if crops.score is not None:
            np.testing.assert_array_equal(crops.score, SCORES)
        if crops.category_id is not None:
            np.testing.assert_array_equal(crops.category_id, LABELS)
