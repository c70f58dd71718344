"""What `validate` finds without reading features, `extract` says before it starts, in the same words."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli import extract as extract_function
from msroi_cli import open_crops
from msroi_cli.core import arrays
from msroi_cli.errors import InputError
from msroi_cli.job.validate.reading import read_boxes
from tests.builders import (
    IDS,
    STRIDES,
    batch_maps,
    coco,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

WIDTH, HEIGHT = 800, 480


def maps(count=3, width=WIDTH, height=HEIGHT):
    images = [image_maps(seed, width=width, height=height, channels=1) for seed in range(count)]
    return {name: np.stack([image[name] for image in images]) for name in STRIDES}


def per_image(path, **options):
    images = {key: image_maps(0, width=WIDTH, height=HEIGHT, channels=1) for key in IDS}
    return write_per_image(path, images, **options)


def good(count=40):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (count, 2)) * [WIDTH - 60, HEIGHT - 60]
    return np.concatenate([corners, corners + rng.uniform(5, 60, (count, 2))], axis=1)


def rows(boxes):
    return [[number % 3, *map(float, box)] for number, box in enumerate(boxes)]


def sizes_that_do_not_follow(folder):
    return write_batched(folder / "p.h5", maps(), strides={**STRIDES, "p3": 10}), rows(good()), ()


def sizes_that_do_not_follow_in_one_image(folder):
    path = per_image(folder / "p.h5")
    with h5py.File(path, "a") as file:
        stride = file["230/p3"].attrs["stride"]
        del file["230/p3"]
        file["230/p3"] = np.zeros((1, 40, 100), "f4")
        file["230/p3"].attrs["stride"] = stride
    return path, rows(good()), ()


def levels_of_one_stride(folder):
    levels = maps()
    twin = {"p2": levels["p2"], "q2": levels["p2"], "p3": levels["p3"]}
    return write_batched(folder / "p.h5", twin, strides={"p2": 4, "q2": 4, "p3": 8}), rows(good()), ()


def levels_of_one_stride_in_an_archive(folder):
    levels = maps()
    twin = {"p2": levels["p2"], "p3": levels["p3"], "p4": levels["p3"]}
    return write_npz(folder / "p.npz", twin, strides=[4, 8, 8]), rows(good()), ()


def levels_coarsest_first(folder):
    return write_batched(folder / "p.h5", maps()), rows(good()), ("--levels", "p4,p2")


def image_sizes_larger_than_the_levels(folder):
    beside = {"scale_factors": np.full((3, 2), 2.0), "image_sizes": np.full((3, 2), [800.0, 480.0])}
    return write_batched(folder / "p.h5", maps(), **beside), rows(good()), ("--box-space", "input")


def image_sizes_swapped(folder):
    beside = {"factors": dict.fromkeys(IDS, (1.0, 1.0)), "sizes": dict.fromkeys(IDS, (HEIGHT, WIDTH))}
    return per_image(folder / "p.h5", **beside), rows(good()), ("--box-space", "input")


def image_sizes_much_smaller_than_the_levels(folder):
    beside = {"factors": dict.fromkeys(IDS, (1.0, 1.0)), "sizes": dict.fromkeys(IDS, (200, 120))}
    return per_image(folder / "p.h5", **beside), rows(good()), ("--box-space", "input")


def image_sizes_of_a_data_set_that_contradict_the_levels(folder):
    path = write_batched(folder / "p.h5", maps(), ids=IDS, scale_factors=np.full((3, 2), 2.0))
    data = coco(good() / 2, [IDS[row % 3] for row in range(40)])
    for image in data["images"]:
        image.update(width=WIDTH, height=HEIGHT)
    return path, data, ("--box-space", "original")


def image_sizes_of_other_pictures(folder):
    path = write_batched(folder / "p.h5", maps(), ids=IDS, image_sizes=np.full((3, 2), [800.0, 480.0]))
    data = coco(good(), [IDS[row % 3] for row in range(40)])
    for image in data["images"]:
        image.update(width=640, height=480)
    return path, data, ()


def x_and_y_swapped(folder):
    return write_batched(folder / "p.h5", maps()), rows(good()[:, [1, 0, 3, 2]]), ()


def xywh_for_xyxy(folder):
    boxes = good()
    data = [[index, x, y, x2 - x, y2 - y] for index, x, y, x2, y2 in rows(boxes)]
    return write_batched(folder / "p.h5", maps()), data, ("--on-bad-box", "drop")


def original_for_input(folder):
    path = write_batched(folder / "p.h5", maps(), scale_factors=np.full((3, 2), 0.4))
    return path, rows(good() / 0.4), ("--box-space", "input")


def fractions_for_pixels(folder):
    return write_batched(folder / "p.h5", maps()), rows(good() / np.array([WIDTH, HEIGHT] * 2)), ()


def one_box_outside(folder):
    boxes = good()
    boxes[7] = (900, 10, 950, 40)
    return per_image(folder / "p.h5"), rows(boxes), ()


def all_boxes_bad(folder):
    return write_batched(folder / "p.h5", maps()), rows(good()[:, [2, 3, 0, 1]]), ("--on-bad-box", "drop")


def all_images_unknown(folder):
    data = {"nobody": good().tolist()}
    return write_batched(folder / "p.h5", maps(), ids=IDS), data, ("--on-unknown-image", "skip")


def all_boxes_left_out(folder):
    data = coco(good(), [IDS[row % 3] for row in range(40)], score=[0.25] * 40)
    return write_batched(folder / "p.h5", maps(), ids=IDS), data, ("--min-score", "0.5")


CASES = {
    sizes_that_do_not_follow: "sizes do not follow the strides",
    sizes_that_do_not_follow_in_one_image: "sizes do not follow the strides",
    levels_of_one_stride: "levels of one stride",
    levels_of_one_stride_in_an_archive: "levels of one stride",
    levels_coarsest_first: "levels not finest first",
    image_sizes_larger_than_the_levels: "image sizes contradict the levels",
    image_sizes_swapped: "image sizes contradict the levels",
    image_sizes_much_smaller_than_the_levels: "image sizes contradict the levels",
    image_sizes_of_a_data_set_that_contradict_the_levels: "image sizes contradict the levels",
    image_sizes_of_other_pictures: "image sizes differ",
    x_and_y_swapped: "x and y swapped",
    xywh_for_xyxy: "xywh read as xyxy",
    original_for_input: "original pixels read as input pixels",
    fractions_for_pixels: "fractions read as pixels",
    one_box_outside: "outside the input",
    all_boxes_bad: "no box is left to pool",
    all_images_unknown: "no box is left to pool",
    all_boxes_left_out: "no box is left to pool",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.sampled(3)
def test_same_words_in_every_place(tmp_path, case):
    pyramid, boxes, options = case(tmp_path)
    inputs = (pyramid, write_json(tmp_path / "b.json", boxes), *options)
    out, stats = tmp_path / "o.h5", tmp_path / "s.json"
    found = json.loads(run("validate", *inputs, "--json").stdout)["findings"]
    assert CASES[case] in [finding["check"] for finding in found]
    assert not any(finding["fatal"] for finding in found)
    words = run("validate", *inputs).stdout
    result = run("extract", *inputs, "-o", out, "--stats", stats)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(words)
    assert json.loads(stats.read_text())["warnings"] == found
    with open_crops(out) as crops:
        assert crops.warnings == found
    assert run("extract", *inputs, "-o", tmp_path / "d.h5", "--dry-run").stderr == words
    quiet = run("extract", *inputs, "-o", tmp_path / "q.h5", "-q")
    assert (quiet.exit_code, quiet.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.sampled(3)
def test_strict(tmp_path, case):
    pyramid, boxes, options = case(tmp_path)
    inputs = (pyramid, write_json(tmp_path / "b.json", boxes), *options)
    before = sorted(tmp_path.iterdir())
    pattern = f"--strict: expected no warnings, got .*{CASES[case]}"
    refused(run("extract", *inputs, "-o", tmp_path / "o.h5", "--strict"), 3, pattern)
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "o.h5").write_bytes(b"other")
    refused(run("extract", *inputs, "-o", tmp_path / "o.h5", "--strict", "--overwrite"), 3, pattern)
    assert (tmp_path / "o.h5").read_bytes() == b"other"
    assert run("validate", *inputs, "--strict").exit_code == 3
    assert run("validate", *inputs).exit_code == 0


def test_strict_takes_good_inputs_and_what_options_decide(tmp_path):
    boxes = rows(good())
    boxes[3][1:] = [50.0, 10.0, 20.0, 40.0]
    inputs = write_batched(tmp_path / "p.h5", maps()), write_json(tmp_path / "b.json", boxes)
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--strict", "--on-bad-box", "drop")
    assert result.exit_code == 0
    assert "warning: x2 < x1: 1 of 40 boxes\n  row 3: image 0, (50, 10, 20, 40)\n" in result.stderr
    assert run("validate", *inputs, "--strict", "--on-bad-box", "drop").exit_code == 0
    with open_crops(tmp_path / "o.h5") as crops:
        assert [warning["check"] for warning in crops.warnings] == ["x2 < x1"]


def test_function(tmp_path):
    pyramid, boxes, _ = x_and_y_swapped(tmp_path)
    boxes = np.array(boxes)
    summary = extract_function(pyramid, boxes, tmp_path / "o.h5")
    assert [warning.check for warning in summary.warnings][-1] == "x and y swapped"
    with pytest.raises(InputError, match="--strict: expected no warnings"):
        extract_function(pyramid, boxes, tmp_path / "s.h5", strict=True)
    assert not (tmp_path / "s.h5").exists()
    again = extract_function(pyramid, boxes, tmp_path / "o.h5", resume=True)
    assert [warning.as_dict() for warning in again.warnings] == [warning.as_dict() for warning in summary.warnings]


@pytest.mark.parametrize("ways", ["shards", pytest.param("workers", marks=pytest.mark.slow), "threads", "gzip"])
def test_same_warnings_however_the_file_is_made(tmp_path, ways):
    pyramid, boxes, _ = one_box_outside(tmp_path)
    inputs = pyramid, write_json(tmp_path / "b.json", boxes)
    assert run("extract", *inputs, "-o", tmp_path / "o.h5").exit_code == 0
    other = tmp_path / "other.h5"
    if ways == "shards":
        for shard in ("1/2", "2/2"):
            assert run("extract", *inputs, "-o", tmp_path / "parts", "--shard", shard).exit_code == 0
        assert run("merge", tmp_path / "parts", "-o", other).exit_code == 0
    else:
        options = {"workers": ("--workers", "2"), "threads": ("--threads", "3"), "gzip": ("--compression", "gzip")}
        assert run("extract", *inputs, "-o", other, *options[ways]).exit_code == 0
    with h5py.File(tmp_path / "o.h5") as one, h5py.File(other) as two:
        assert one.attrs["warnings"] == two.attrs["warnings"]


def test_first_images_or_all(tmp_path, monkeypatch):
    monkeypatch.setattr("msroi_cli.job.validate.warnings.CHECKED_FIRST", 2)
    pyramid, boxes, _ = sizes_that_do_not_follow_in_one_image(tmp_path)
    inputs = pyramid, write_json(tmp_path / "b.json", boxes)
    check = "sizes do not follow the strides"
    assert check not in run("extract", *inputs, "-o", tmp_path / "o.h5").stderr
    assert check in run("extract", *inputs, "-o", tmp_path / "d.h5", "--dry-run").stderr
    assert check in run("validate", *inputs).stdout
    refused(run("extract", *inputs, "-o", tmp_path / "s.h5", "--strict"), 3, check)


def test_a_few_boxes_at_a_time_are_read_as_all_at_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    boxes = rng.uniform(-900, 1500, (400, 4)).astype(np.float32)
    images, reasons = rng.integers(-1, 3, 400), rng.integers(0, 3, 400).astype(np.uint8)
    sizes = np.array([[800, 480], [np.nan, np.nan], [300, 300]])
    whole = read_boxes(boxes, reasons, images, sizes)
    monkeypatch.setattr(arrays, "AT_ONCE", 7)
    parts = read_boxes(boxes, reasons, images, sizes)
    for name in whole._fields:
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.beyond.any()
    assert whole.outside.any()
    assert not (whole.beyond | whole.outside)[images < 0].any()
    left_or_above = (boxes[:, 2:] < 0).any(axis=1)
    assert not whole.outside[(images == 1) & ~left_or_above].any()


@pytest.mark.parametrize("sizes", [(800, 480), (790, 480), (803, 483), (800, 300), (500, 480)])
def test_silence_about_padded_pictures(tmp_path, sizes):
    beside = {"factors": dict.fromkeys(IDS, (1.0, 1.0)), "sizes": dict.fromkeys(IDS, sizes)}
    inputs = per_image(tmp_path / "p.h5", **beside), write_json(tmp_path / "b.json", rows(good()))
    result = run("extract", *inputs, "--box-space", "input", "-o", tmp_path / "o.h5", "--strict")
    assert (result.exit_code, "warning" in result.stderr) == (0, False)


def test_no_boxes_at_all_are_fine(tmp_path):
    inputs = write_batched(tmp_path / "p.h5", batch_maps()), write_json(tmp_path / "b.json", [])
    result = run("extract", *inputs, "-o", tmp_path / "o.h5", "--strict")
    assert result.exit_code == 0
    assert "0 crops" in result.stderr


def test_image_sizes_that_boxes_depend_on(tmp_path):
    """Where boxes are in original pixels, pictures of other sizes are an error of both commands."""
    beside = {"image_sizes": np.full((3, 2), [800.0, 480.0]), "scale_factors": np.ones((3, 2))}
    data = coco(good(), [IDS[row % 3] for row in range(40)])
    for image in data["images"]:
        image.update(width=640, height=480)
    inputs = write_batched(tmp_path / "p.h5", maps(), ids=IDS, **beside), write_json(tmp_path / "b.json", data)
    space = ("--box-space", "original")
    refused(run("extract", *inputs, *space, "-o", tmp_path / "o.h5"), 3, "expected a picture of 640 x 480 pixels")
    result = run("validate", *inputs, *space)
    assert result.exit_code == 3
    assert "error: image sizes differ" in result.stdout
    assert "warning" not in result.stdout
