"""`msroi export`: each layout, read back without our package."""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli import open_crops
from msroi_cli.io.export.layouts import LAYOUTS
from msroi_cli.io.export.model import safe_names
from msroi_cli.job import export as job
from tests.builders import (
    IDS,
    SAMPLE_DATA,
    SPREAD,
    batch_maps,
    coco,
    extracted,
    random_boxes,
    refused,
    run,
    write_batched,
    write_json,
)

# Parquet is written with pyarrow, an optional extra.
INSTALLED = [name for name in LAYOUTS if name != "parquet" or find_spec("pyarrow")]
COUNT = 40
KEYS = [IDS[row % 2] for row in range(COUNT)]  # none of the third image
FACTORS = np.array([[2.0, 4.0], [1.0, 0.5], [3.0, 3.0]])
SIZES = np.array([[48.0, 16.0], [96.0, 128.0], [32.0, 21.0]])
SCORES = np.random.default_rng(2).permutation(COUNT) / COUNT


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A crops file with everything in it, and its pyramid."""
    folder = tmp_path_factory.mktemp("export")
    boxes = random_boxes(COUNT)
    boxes[5] = (9, 9, 1, 1)
    data = coco(boxes, KEYS, score=SCORES.tolist(), category_id=[7] * COUNT, id=list(range(100, 100 + COUNT)))
    pyramid = write_batched(folder / "p.h5", ids=IDS, scale_factors=FACTORS, image_sizes=SIZES)
    options = ("--box-space", "input", "--on-bad-box", "zero", "--output-size", "3x2", *SPREAD)
    extracted(folder / "o.h5", pyramid, write_json(folder / "b.json", data), *options)
    return folder / "o.h5", pyramid


def of_layout(layout, *more):
    """The options of a layout, of vectors where it has nothing else."""
    reduce = ("--reduce", "mean") if LAYOUTS[layout].needs_vectors and "--reduce" not in more else ()
    return ("--layout", layout, *reduce)


def exported(files, out, layout, *more):
    """Runs a good export; what it says."""
    result = run("export", files[0], out, "--pyramid", files[1], *more, *of_layout(layout, *more))
    assert (result.exit_code, result.stdout) == (0, ""), (result.stderr, result.exception)
    return result.stderr


def expected_of(files, reduce=None):
    """By image id: rows and features, worked out with h5py alone."""
    with h5py.File(files[0]) as file:
        crops, index, status = file["crops"][:], file["image_index"][:], file["status"][:]
        columns = {name: file[name][:] for name in ("boxes", "level", "box_index", "score", "category_id")}
    if reduce:
        crops = getattr(crops.astype("f8"), reduce)(axis=(2, 3))
    rows = {key: np.flatnonzero((index == number) & (status == 0)) for number, key in enumerate(IDS)}
    return {key: {"features": crops[at], **{n: v[at] for n, v in columns.items()}} for key, at in rows.items()}


REDUCED = [None, "mean", "max"]
PARTS = [1, 200, 1 << 20]


def arguments(reduce):
    return ("--reduce", reduce) if reduce else ()


@pytest.fixture(params=PARTS)
def parts(request, monkeypatch):
    """Features in parts of different sizes."""
    monkeypatch.setattr(job, "PART_BYTES", request.param)


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.sampled(4)
def test_padded(files, tmp_path, reduce):
    exported(files, tmp_path / "e.h5", "padded", *arguments(reduce))
    expected = expected_of(files, reduce)
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["image_ids"].asstr()[:].tolist() == IDS
        assert file["counts"][:].tolist() == [20, 19, 0]
        assert file["features"].shape == (3, 20, *((3,) if reduce else (3, 3, 2)))
        assert file["mask"].dtype == bool
        for number, key in enumerate(IDS):
            mask = file["mask"][number]
            assert mask.sum() == len(expected[key]["boxes"])
            for name, wanted in expected[key].items():
                close(file[name][number][mask], wanted)
            assert not file["features"][number][~mask].any()
            assert (file["box_index"][number][~mask] == -1).all()
            assert np.isnan(file["score"][number][~mask]).all()


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.sampled(4)
def test_ragged(files, tmp_path, reduce):
    exported(files, tmp_path / "e.h5", "ragged", *arguments(reduce))
    expected = expected_of(files, reduce)
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["pos_boxes"][:].tolist() == [[0, 20], [20, 39], [39, 39]]
        assert len(file["features"]) == 39
        for (start, end), key in zip(file["pos_boxes"][:], IDS, strict=True):
            for name, wanted in expected[key].items():
                close(file[name][start:end], wanted)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.sampled(4)
def test_groups(files, tmp_path, reduce):
    exported(files, tmp_path / "e.h5", "groups", *arguments(reduce))
    with h5py.File(tmp_path / "e.h5") as file:
        assert set(file) == set(IDS)
        for key, wanted in expected_of(files, reduce).items():
            group = file[key]
            assert group.attrs["image_id"].decode() == key
            assert (group["image_w"][()], group["image_h"][()]) == (96, 64)
            assert group["num_boxes"][()] == len(wanted["boxes"])
            for name, values in wanted.items():
                close(group[name][:], values)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.sampled(4)
def test_npz(files, tmp_path, reduce):
    exported(files, tmp_path / "e", "npz", *arguments(reduce))
    assert {path.name for path in (tmp_path / "e").iterdir()} == {*(f"{key}.npz" for key in IDS), "index.json"}
    index = json.loads((tmp_path / "e" / "index.json").read_text())
    assert [(entry["image_id"], entry["file"]) for entry in index["files"]] == [(key, f"{key}.npz") for key in IDS]
    for key, wanted in expected_of(files, reduce).items():
        with np.load(tmp_path / "e" / f"{key}.npz", allow_pickle=False) as arrays:
            assert str(arrays["image_id"]) == key
            assert arrays["image_size"].tolist() == [96, 64]
            assert arrays["features"].dtype == np.float32
            for name, values in wanted.items():
                close(arrays[name], values)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.sampled(4)
def test_tsv(files, tmp_path, reduce):
    exported(files, tmp_path / "e.tsv", "tsv", *arguments(reduce))
    csv.field_size_limit(sys.maxsize)
    names = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
    with (tmp_path / "e.tsv").open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t", fieldnames=names))
    assert [line["image_id"] for line in lines] == IDS
    for line, wanted in zip(lines, expected_of(files, reduce).values(), strict=True):
        count = int(line["num_boxes"])
        assert (float(line["image_w"]), float(line["image_h"])) == (96, 64)
        boxes = np.frombuffer(base64.b64decode(line["boxes"]), np.float32).reshape(count, 4)
        features = np.frombuffer(base64.b64decode(line["features"]), np.float32).reshape(count, -1 if count else 1)
        close(boxes, wanted["boxes"])
        close(features, wanted["features"].reshape(count, -1 if count else 1))


@pytest.mark.parametrize("layout", ["groups", "npz", "tsv", "padded"])
def test_original_pixels(files, tmp_path, layout):
    exported(files, tmp_path / "e", layout, "--box-space", "original")
    expected = expected_of(files)
    for number, key in enumerate(IDS):
        wanted = expected[key]["boxes"] / np.tile(FACTORS[number], 2)
        if layout == "groups":
            with h5py.File(tmp_path / "e") as file:
                close(file[key]["boxes"][:], wanted)
                assert [file[key][name][()] for name in ("image_w", "image_h")] == SIZES[number].tolist()
        elif layout == "npz":
            with np.load(tmp_path / "e" / f"{key}.npz") as arrays:
                close(arrays["boxes"], wanted)
                assert arrays["image_size"].tolist() == SIZES[number].tolist()
        elif layout == "tsv":
            fields = (tmp_path / "e").read_text().splitlines()[number].split("\t")
            assert [float(field) for field in fields[1:3]] == SIZES[number].tolist()
        else:
            with h5py.File(tmp_path / "e") as file:
                close(file["boxes"][number, : len(wanted)], wanted)
                assert file.attrs["box_space"] == b"original"


def test_image_sizes_from_the_scale_factors_where_there_are_no_others(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=FACTORS)
    boxes = write_json(tmp_path / "b.json", {"17": [[1, 2, 30, 40]]})
    extracted(tmp_path / "o.h5", pyramid, boxes, "--box-space", "original")
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e.h5", "groups", "--box-space", "original")
    with h5py.File(tmp_path / "e.h5") as file:
        assert (file["17/image_w"][()], file["17/image_h"][()]) == (48, 16)
        close(file["17/boxes"][:], [[1, 2, 30, 40]])


def test_the_best_boxes_where_there_are_too_many(files, tmp_path):
    talk = exported(files, tmp_path / "e.h5", "padded", "--max-boxes", "6")
    assert talk.splitlines() == [
        f"{tmp_path / 'e.h5'}: 12 boxes of 3 images",
        "1 boxes left out: not pooled",
        "27 boxes left out: more than 6 per image",
    ]
    with h5py.File(tmp_path / "e.h5") as file:
        for number, key in enumerate(IDS[:2]):
            scores = expected_of(files)[key]["score"]
            assert file["features"].shape[1] == 6
            assert sorted(file["score"][number]) == sorted(scores)[-6:]
            assert np.all(np.diff(file["box_index"][number]) > 0)


def test_the_first_boxes_where_there_are_no_scores(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5")
    boxes = write_json(tmp_path / "b.json", [[0, 1, 1, 9, 9 + row] for row in range(5)])
    extracted(tmp_path / "o.h5", pyramid, boxes)
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e.h5", "ragged", "--max-boxes", "2")
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["box_index"][:].tolist() == [0, 1]


@pytest.mark.parametrize("layout", INSTALLED)
@pytest.mark.sampled(3)
def test_only_images_with_boxes(files, tmp_path, layout):
    assert "39 boxes of 2 images" in exported(files, tmp_path / "e", layout, "--used-only")
    if layout in ("padded", "ragged"):
        with h5py.File(tmp_path / "e") as file:
            assert file["image_ids"].asstr()[:].tolist() == IDS[:2]
    elif layout == "npz":
        assert len(list((tmp_path / "e").glob("*.npz"))) == 2


@pytest.mark.parametrize("layout", INSTALLED)
@pytest.mark.sampled(3)
def test_no_boxes(tmp_path, layout):
    pyramid = write_batched(tmp_path / "p.h5")
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", []))
    assert "0 boxes of 3 images" in exported((tmp_path / "o.h5", pyramid), tmp_path / "e", layout)
    if layout == "padded":
        with h5py.File(tmp_path / "e") as file:
            assert file["features"].shape == (3, 0, 3, 7, 7)
            assert file["mask"].shape == (3, 0)
    exported((tmp_path / "o.h5", pyramid), tmp_path / "f", layout, "--used-only")


def test_every_layout_has_its_writer():
    assert list(job.WRITERS) == list(LAYOUTS)


def test_attributes(files, tmp_path):
    exported(files, tmp_path / "e.h5", "padded", "--reduce", "max")
    crops = open_crops(files[0])
    with h5py.File(tmp_path / "e.h5") as file:
        said = dict(file.attrs)
    assert (said["format"], said["format_version"], said["layout"]) == (b"msroi-export", 1, b"padded")
    assert json.loads(said["parameters"]) == {**crops.parameters, "reduce": "max"}
    assert json.loads(said["sources"]) == crops.sources


AWKWARD = [
    "a/b",
    "..",
    "../../etc/passwd",
    "",
    ".",
    "CON",
    "a",
    "A",
    "ü 日本",
    "x" * 300,
    "x" * 301,
    "nul.jpg",
    "C:\\x",
]


def test_safe_names():
    names = safe_names(AWKWARD)
    assert len({name.lower() for name in names}) == len(AWKWARD)
    for name in names:
        assert name == Path(name).name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%")
        assert not name.startswith(".")
        assert 0 < len(name) < 200
    assert safe_names(["17", "a_b-c.jpg"]) == ["17", "a_b-c.jpg"]


@pytest.mark.parametrize("layout", ["npz", "groups", "tsv"])
def test_awkward_ids(tmp_path, layout):
    level = {"name": "p2", "stride": 4, "data": np.ones((len(AWKWARD), 1, 4, 4)).tolist()}
    pyramid = write_json(tmp_path / "p.json", {"levels": [level], "image_ids": AWKWARD})
    boxes = write_json(tmp_path / "b.json", [[row, 1, 2, 3, 4 + row] for row in range(len(AWKWARD))])
    extracted(tmp_path / "o.h5", pyramid, boxes)
    (tmp_path / "in").mkdir()
    exported((tmp_path / "o.h5", pyramid), tmp_path / "in" / "e", layout)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["e"]
    if layout == "npz":
        index = json.loads((tmp_path / "in" / "e" / "index.json").read_text())["files"]
        assert [entry["image_id"] for entry in index] == AWKWARD
        for entry in index:
            with np.load(tmp_path / "in" / "e" / entry["file"]) as arrays:
                assert str(arrays["image_id"]) == entry["image_id"]
    elif layout == "groups":
        with h5py.File(tmp_path / "in" / "e") as file:
            assert sorted(group.attrs["image_id"].decode() for group in file.values()) == sorted(AWKWARD)
            assert all("features" in group for group in file.values())
    else:
        with (tmp_path / "in" / "e").open(newline="") as file:
            assert [line[0] for line in csv.reader(file, delimiter="\t")] == AWKWARD


def test_quotes_and_tabs_in_ids(tmp_path):
    ids = ["a\tb", 'say "hi"', "a\nb"]
    level = {"name": "p2", "stride": 4, "data": np.ones((3, 1, 4, 4)).tolist()}
    pyramid = write_json(tmp_path / "p.json", {"levels": [level], "image_ids": ids})
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", [[0, 1, 2, 3, 4]]))
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e.tsv", "tsv")
    with (tmp_path / "e.tsv").open(newline="") as file:
        assert [line[0] for line in csv.reader(file, delimiter="\t")] == ids


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", INSTALLED)
@pytest.mark.sampled(7)
def test_dtypes(tmp_path, dtype, layout):
    pyramid = write_batched(tmp_path / "p.h5", batch_maps(dtype=dtype))
    crops = extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", [[0, 1, 1, 30, 40]]))
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e", layout)
    if layout == "npz":
        with np.load(tmp_path / "e" / "0.npz") as arrays:
            np.testing.assert_array_equal(arrays["features"], crops[:])
            assert arrays["features"].dtype == dtype
    elif layout in ("padded", "ragged"):
        with h5py.File(tmp_path / "e") as file:
            assert file["features"].dtype == dtype


def test_a_mean_of_float16_does_not_overflow(tmp_path):
    maps = {name: np.full_like(array, 60000) for name, array in batch_maps(dtype="float16").items()}
    pyramid = write_batched(tmp_path / "p.h5", maps)
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", [[0, 1, 1, 30, 40]]))
    exported((tmp_path / "o.h5", pyramid), tmp_path / "e.h5", "ragged", "--reduce", "mean")
    with h5py.File(tmp_path / "e.h5") as file:
        assert (file["features"][:] == np.float16(60000)).all()


@pytest.mark.slow
def test_what_is_there_is_not_lost(files, tmp_path):
    for layout in INSTALLED:
        out = tmp_path / layout
        exported(files, out, layout)
        refused(run("export", files[0], out, *of_layout(layout), "--pyramid", files[1]), 2, "exists already")
        exported(files, out, layout, "--overwrite", "--used-only")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_with_other_things_is_not_replaced(files, tmp_path):
    exported(files, tmp_path / "e", "npz")
    (tmp_path / "e" / "thesis.tex").touch()
    refused(run("export", files[0], tmp_path / "e", "--layout", "npz", "--overwrite"), 2, "earlier export")
    assert (tmp_path / "e" / "thesis.tex").exists()


def test_nothing_is_left_of_a_failure(files, tmp_path):
    pyramid = write_batched(tmp_path / "q.h5", ids=["a", "b", "c"])
    for layout in INSTALLED:
        result = run("export", files[0], tmp_path / "e", *of_layout(layout), "--pyramid", pyramid)
        refused(result, 3, "expected the image '17' of the crops")
        assert [path.name for path in tmp_path.iterdir()] == ["q.h5"]


NONSENSE = {
    "no sizes": (("--layout", "tsv"), 2, "--pyramid: expected with --layout tsv"),
    "no sizes for groups": (("--layout", "groups"), 2, "--pyramid: expected with --layout groups"),
    "no factors": (("--layout", "npz", "--box-space", "original"), 2, "--pyramid: expected for --box-space original"),
    "crops for bua": (("--layout", "bua"), 2, "--layout bua: expected vectors"),
    "crops for ban": (("--layout", "ban"), 2, "--layout ban: expected vectors"),
    "no sizes for ban": (("--layout", "ban", "--reduce", "max"), 2, "--pyramid: expected with --layout ban"),
    "no layout": ((), 2, "--layout"),
    "another layout": (("--layout", "zarr"), 2, "zarr"),
    "no boxes": (("--layout", "npz", "--max-boxes", "0"), 2, "--max-boxes"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_options_that_make_no_sense(files, tmp_path, case):
    more, code, pattern = NONSENSE[case]
    refused(run("export", files[0], tmp_path / "e", *more), code, pattern)


def test_onto_an_input(files):
    before = files[0].read_bytes()
    refused(run("export", files[0], files[0], "--layout", "ragged", "--overwrite"), 2, "apart from the inputs")
    assert files[0].read_bytes() == before


def test_other_inputs(files, tmp_path):
    refused(run("export", files[1], tmp_path / "e", "--layout", "npz"), 3, "expected a crops file")
    pyramid = write_batched(tmp_path / "p.h5", ids=IDS)
    result = run("export", files[0], tmp_path / "e", "--layout", "npz", "--pyramid", pyramid, "--box-space", "original")
    refused(result, 3, "expected a scale factor, got none")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(files, tmp_path):
    (tmp_path / "no").mkdir(mode=0o500)
    refused(run("export", files[0], tmp_path / "no" / "e", "--layout", "npz"), 1, "cannot be written")


def test_the_sample_data(tmp_path):
    crops = extracted(
        tmp_path / "o.h5", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original"
    )
    exported((tmp_path / "o.h5", SAMPLE_DATA / "pyramid.h5"), tmp_path / "e.h5", "groups", "--box-space", "original")
    annotations = json.loads((SAMPLE_DATA / "words.json").read_text())["annotations"]
    by_id = {annotation["id"]: annotation for annotation in annotations}
    with h5py.File(tmp_path / "e.h5") as file:
        assert [file[key]["num_boxes"][()] for key in ("17", "4", "230")] == [
            int((crops.image_index == crops.image_ids.index(key)).sum()) for key in ("17", "4", "230")
        ]
        for key, group in file.items():
            for number, box in zip(group["annotation_id"][:], group["boxes"][:], strict=True):
                x, y, width, height = by_id[number]["bbox"]
                assert str(by_id[number]["image_id"]) == key
                np.testing.assert_allclose(box, [x, y, x + width, y + height], rtol=1e-4, atol=1e-3)
        assert (file["17/image_w"][()], file["17/image_h"][()]) == (500, 380)


@pytest.mark.skipif(os.name != "posix", reason="limits of the shell")
@pytest.mark.parametrize("layout", INSTALLED)
@pytest.mark.sampled(11)
def test_a_disk_that_is_full(files, tmp_path, layout):
    pyramid = write_batched(tmp_path / "p.h5")
    boxes = write_json(tmp_path / "b.json", [[0, *box] for box in random_boxes(2000).tolist()])
    extracted(tmp_path / "o.h5", pyramid, boxes)
    options = f"{' '.join(of_layout(layout))} --pyramid p.h5"
    command = f"ulimit -f 100; '{sys.executable}' -m msroi_cli export o.h5 e {options}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["msroi: error: e: cannot be written: File too large"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "o.h5", "p.h5"]
