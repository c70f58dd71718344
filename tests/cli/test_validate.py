"""`msroi validate`: every trouble in a file that has just that one, and silence about good files."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from tests.builders import (
    IDS,
    SAMPLE_DATA,
    STRIDES,
    batch_maps,
    coco,
    differing_maps,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

WIDTH, HEIGHT = 800, 480
FACTOR = 0.4
COUNT = 40


def large_maps(count=3):
    """Pyramids of a large input, with hardly any channels."""
    images = [image_maps(seed, width=WIDTH, height=HEIGHT, channels=1) for seed in range(count)]
    return {name: np.stack([image[name] for image in images]) for name in STRIDES}


def good_boxes(width=WIDTH, height=HEIGHT, count=COUNT, seed=0):
    """Boxes (x1, y1, x2, y2) inside a picture, all over it."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(5, 60, (count, 2))
    corners = rng.uniform(0, 1, (count, 2)) * ([width, height] - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def rows(boxes):
    """The boxes as rows, the images by turns."""
    return [[number % 3, *map(float, box)] for number, box in enumerate(boxes)]


@pytest.fixture(scope="module")
def pyramids(tmp_path_factory):
    """Good pyramids: without and with scale factors, and by image."""
    folder = tmp_path_factory.mktemp("pyramids")
    factors = np.full((3, 2), FACTOR)
    return {
        "plain": write_batched(folder / "plain.h5", large_maps(), ids=IDS),
        "factors": write_batched(folder / "factors.h5", large_maps(), ids=IDS, scale_factors=factors),
        "npz": write_npz(folder / "p.npz", large_maps(), image_ids=IDS),
    }


def validated(*arguments, code=0, stdin=None):
    """The findings of a run that ends with `code`, by check."""
    result = run("validate", *arguments, "--json", stdin=stdin)
    assert result.exit_code == code, (result.stdout, result.stderr)
    report = json.loads(result.stdout)
    assert report["extractable"] == (code == 0)
    assert any(finding["fatal"] for finding in report["findings"]) == (code == 3)
    return {finding["check"]: finding for finding in report["findings"]}


def extractable(*arguments, tmp_path):
    """Whether `extract` takes the same."""
    return run("extract", *arguments, "-o", tmp_path / "o.h5", "--dry-run").exit_code == 0


def with_box(box, row=7):
    """Good rows, one of which has another box."""
    boxes = good_boxes()
    boxes[row] = box
    return rows(boxes)


ONE_BOX = {
    "x2 < x1": ((50, 10, 20, 40), "x2 < x1", True),
    "y2 < y1": ((20, 40, 50, 10), "y2 < y1", True),
    "not finite": ((20, 10, 1e39, 40), "not finite", True),
    "nan": ((20, float("nan"), 30, 40), "not finite", True),
    "too far out": ((20, 10, 2e9, 40), "too far out", True),
    "outside": ((900, 10, 950, 40), "outside the input", False),
    "outside, top": ((10, -90, 50, -40), "outside the input", False),
    "beyond": ((700, 10, 850, 40), "beyond the input", False),
    "beyond, top": ((10, -60, 50, 40), "beyond the input", False),
    "no width": ((50, 10, 50, 40), "no area", False),
    "a point": ((50, 10, 50, 10), "no area", False),
}


@pytest.mark.parametrize("case", ONE_BOX)
@pytest.mark.parametrize("pyramid", ["plain", "npz"])
def test_one_bad_box(tmp_path, pyramids, case, pyramid):
    box, check, fatal = ONE_BOX[case]
    boxes = write_json(tmp_path / "b.json", with_box(box))
    found = validated(pyramids[pyramid], boxes, code=3 if fatal else 0)
    assert list(found) == [check]
    finding = found[check]
    assert (finding["count"], finding["of"], finding["what"]) == (1, COUNT, "boxes")
    assert finding["examples"][0].startswith("row 7: image 1, (")
    assert ("--on-bad-box" in finding["advice"]) == fatal
    assert extractable(pyramids[pyramid], boxes, tmp_path=tmp_path) == (not fatal)


@pytest.mark.parametrize("policy", ["drop", "zero", "nan"])
def test_bad_boxes_that_extract_is_told_to_take(tmp_path, pyramids, policy):
    boxes = write_json(tmp_path / "b.json", with_box((50, 10, 20, 40)))
    assert not validated(pyramids["plain"], boxes, "--on-bad-box", policy)["x2 < x1"]["fatal"]


def test_unknown_image_ids(tmp_path, pyramids):
    data = {"17": good_boxes(count=4).tolist(), "nobody": good_boxes(count=3).tolist()}
    found = validated(pyramids["plain"], write_json(tmp_path / "b.json", data), code=3)
    assert list(found) == ["image unknown"]
    finding = found["image unknown"]
    assert (finding["count"], finding["of"]) == (3, 7)
    assert finding["examples"][0].startswith("row 4: image 'nobody', (")
    assert "17, 4, 230" in finding["advice"]


def test_unknown_image_indices(tmp_path, pyramids):
    boxes = [[row[0] + 1, *row[1:]] for row in rows(good_boxes())]
    found = validated(pyramids["plain"], write_json(tmp_path / "b.json", boxes), code=3)
    assert list(found) == ["image unknown"]
    assert "count from 1" in found["image unknown"]["advice"]


def test_image_names_where_ids_are_meant(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", large_maps(), ids=["a", "b", "c"])
    data = coco(good_boxes(), [row % 3 for row in range(COUNT)])
    for image, name in zip(data["images"], "abc", strict=True):
        image["file_name"] = f"pictures/{name}.jpg"
    boxes = write_json(tmp_path / "b.json", data)
    found = validated(pyramid, boxes, code=3)
    assert list(found) == ["image unknown"]
    assert f"--image-key file_name finds the images of {COUNT} of {COUNT}" in found["image unknown"]["advice"]
    assert validated(pyramid, boxes, "--image-key", "file_name") == {}


def test_x_and_y_swapped(tmp_path, pyramids):
    boxes = write_json(tmp_path / "b.json", rows(good_boxes()[:, [1, 0, 3, 2]]))
    found = validated(pyramids["plain"], boxes)
    assert set(found) == {"beyond the input", "outside the input", "x and y swapped"} or set(found) == {
        "outside the input",
        "x and y swapped",
    }
    assert "x before y" in found["x and y swapped"]["advice"]


def test_xywh_read_as_xyxy(tmp_path, pyramids):
    boxes = good_boxes()
    boxes[:, 2:] -= boxes[:, :2]
    path = write_json(tmp_path / "b.json", rows(boxes))
    found = validated(pyramids["plain"], path, code=3)
    assert "--box-format xywh would leave 0" in found["xywh read as xyxy"]["advice"]
    assert validated(pyramids["plain"], path, "--box-format", "xywh") == {}


def test_xyxy_read_as_xywh(tmp_path, pyramids):
    data = coco(good_boxes(), [IDS[row % 3] for row in range(COUNT)])
    for annotation, box in zip(data["annotations"], good_boxes(), strict=True):
        annotation["bbox"] = box.tolist()
    path = write_json(tmp_path / "b.json", data)
    found = validated(pyramids["plain"], path)
    assert "--box-format xyxy would leave 0" in found["xyxy read as xywh"]["advice"]
    assert validated(pyramids["plain"], path, "--box-format", "xyxy") == {}


def test_original_pixels_read_as_input_pixels(tmp_path, pyramids):
    original = good_boxes(WIDTH / FACTOR, HEIGHT / FACTOR)
    path = write_json(tmp_path / "b.json", rows(original))
    found = validated(pyramids["factors"], path, "--box-space", "input")
    assert "--box-space original would leave 0" in found["original pixels read as input pixels"]["advice"]
    assert validated(pyramids["factors"], path, "--box-space", "original") == {}


def test_input_pixels_read_as_original_pixels(tmp_path):
    factors = np.full((3, 2), 1 / FACTOR)
    pyramid = write_batched(tmp_path / "p.h5", large_maps(), ids=IDS, scale_factors=factors)
    path = write_json(tmp_path / "b.json", rows(good_boxes()))
    found = validated(pyramid, path, "--box-space", "original")
    assert "--box-space input would leave 0" in found["input pixels read as original pixels"]["advice"]
    assert validated(pyramid, path, "--box-space", "input") == {}


def test_box_space_not_said(tmp_path, pyramids):
    path = write_json(tmp_path / "b.json", rows(good_boxes(WIDTH / FACTOR, HEIGHT / FACTOR)))
    found = validated(pyramids["factors"], path, code=3)
    assert list(found) == ["box options"]
    assert found["box options"]["advice"].startswith("--box-space original, it seems")


def test_fractions_read_as_pixels(tmp_path, pyramids):
    path = write_json(tmp_path / "b.json", rows(good_boxes() / np.array([WIDTH, HEIGHT] * 2)))
    found = validated(pyramids["plain"], path)
    assert list(found) == ["fractions read as pixels"]
    assert "--normalized" in found["fractions read as pixels"]["advice"]
    assert validated(pyramids["plain"], path, "--normalized") == {}


def test_pixels_read_as_fractions(tmp_path, pyramids):
    found = validated(pyramids["plain"], write_json(tmp_path / "b.json", rows(good_boxes())), "--normalized")
    assert "without --normalized" in found["pixels read as fractions"]["advice"]


@pytest.fixture
def boxes(tmp_path):
    """A good box file."""
    return write_json(tmp_path / "b.json", rows(good_boxes()))


@pytest.mark.parametrize("layout", ["batched", "by image"])
def test_levels_that_do_not_follow_their_strides(tmp_path, boxes, layout):
    strides = {**STRIDES, "p3": 10}
    if layout == "batched":
        pyramid = write_batched(tmp_path / "p.h5", large_maps(), strides=strides)
    else:
        images = {key: image_maps(0, width=WIDTH, height=HEIGHT, channels=1) for key in IDS}
        pyramid = write_per_image(tmp_path / "p.h5", images, strides=strides)
    found = validated(pyramid, boxes)
    assert list(found) == ["sizes do not follow the strides"]
    assert "p3 spans 1000 x 600 input pixels, p2 800 x 480" in found["sizes do not follow the strides"]["examples"][0]
    assert "--strides" in found["sizes do not follow the strides"]["advice"]


@pytest.mark.parametrize("rounding", [np.floor, np.ceil])
def test_levels_may_be_rounded_up_or_down(tmp_path, boxes, rounding):
    for width, height in ((800, 480), (801, 481), (799, 479), (815, 495)):
        maps = {
            name: np.zeros((3, 1, int(rounding(height / stride)), int(rounding(width / stride))), "f4")
            for name, stride in STRIDES.items()
        }
        assert validated(write_batched(tmp_path / f"{width}.h5", maps), boxes) == {}


def test_a_level_that_does_not_fit_the_others(tmp_path):
    path = write_per_image(tmp_path / "p.h5", {key: image_maps(width=WIDTH, height=HEIGHT) for key in IDS})
    boxes = write_json(tmp_path / "b.json", {key: good_boxes(count=4).tolist() for key in IDS})
    with h5py.File(path, "a") as file:
        values = file["230/p3"][:2]
        del file["230/p3"]
        file["230/p3"] = values
    found = validated(path, boxes, code=3)
    assert list(found) == ["levels unfit"]
    assert (found["levels unfit"]["count"], found["levels unfit"]["of"]) == (1, 3)
    assert not extractable(path, boxes, tmp_path=tmp_path)


def test_a_stride_that_differs_from_other_images(tmp_path):
    path = write_per_image(tmp_path / "p.h5", differing_maps())
    with h5py.File(path, "a") as file:
        file["230/p3"].attrs["stride"] = 16
    boxes = write_json(tmp_path / "b.json", {key: [[1, 1, 9, 9]] for key in IDS})
    pattern = "230/p3: expected stride 8 x 8 as on other images, got 16 x 16"
    refused(run("extract", path, boxes, "-o", tmp_path / "o.h5"), 3, pattern)
    result = run("validate", path, boxes)
    assert result.exit_code == 3
    assert pattern in result.stdout


def test_strides_missing_and_everything_else_is_still_looked_at(tmp_path, boxes):
    pyramid = write_batched(tmp_path / "p.h5", large_maps(), strides=None)
    found = validated(pyramid, boxes, code=3)
    assert list(found) == ["strides unknown"]
    assert "--strides says the stride of each of p2, p3, p4" in found["strides unknown"]["advice"]
    bad = write_json(tmp_path / "c.json", with_box((50, 10, 20, 40)))
    assert list(validated(pyramid, bad, code=3)) == ["strides unknown", "x2 < x1"]
    assert validated(pyramid, boxes, "--strides", "4,8,16") == {}


def test_levels_in_the_wrong_order(pyramids, boxes):
    found = validated(pyramids["plain"], boxes, "--levels", "p4,p2")
    assert list(found) == ["levels not finest first"]
    assert found["levels not finest first"]["examples"] == ["p4 before p2"]


def test_strides_that_a_preset_cannot_count(tmp_path, boxes):
    strides = {"p2": 4, "p3": 8, "p4": 32}
    maps = large_maps()
    maps["p4"] = maps["p4"][:, :, ::2, ::2]
    pyramid = write_batched(tmp_path / "p.h5", maps, strides=strides)
    assert list(validated(pyramid, boxes, "--compat", "torchvision", code=3)) == ["options"]
    assert validated(pyramid, boxes) == {}


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[[0, 1, 2]]"])
def test_boxes_that_cannot_be_read(tmp_path, pyramids, content):
    path = tmp_path / "b.json"
    path.write_text(content)
    assert list(validated(pyramids["plain"], path, code=3)) == ["box file"]


def test_both_files_unreadable_are_both_told(tmp_path):
    found = validated(tmp_path / "p.h5", tmp_path / "b.json", code=3)
    assert set(found) == {"box file", "pyramid"}


def test_repeated_image_ids(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", large_maps(), ids=["17", "17", "4"])
    path = write_json(tmp_path / "b.json", {"17": good_boxes(count=3).tolist()})
    assert list(validated(pyramid, path, code=3)) == ["pyramid"]


def test_several_troubles_at_once(tmp_path, pyramids):
    boxes = good_boxes()
    boxes[3] = (50, 10, 20, 40)
    boxes[5] = (20, 40, 50, 10)
    boxes[8] = (2000, 10, 2050, 40)
    data = [[9 if number == 11 else number % 3, *box] for number, box in enumerate(boxes.tolist())]
    found = validated(pyramids["plain"], write_json(tmp_path / "b.json", data), code=3)
    assert list(found) == ["image unknown", "x2 < x1", "y2 < y1", "outside the input"]


GOOD = {
    "rows": rows(good_boxes()),
    "touching the edges": rows([[0, 0, WIDTH, HEIGHT], [0, 0, WIDTH - 1, HEIGHT - 1], [-3, -2, 20, 20]]),
    "one box": rows(good_boxes(count=1)),
    "no boxes": [],
    "by id": {key: good_boxes(seed=3).tolist() for key in IDS},
    "coco": coco(good_boxes(seed=4), [IDS[row % 3] for row in range(COUNT)]),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("pyramid", ["plain", "npz"])
def test_silence_about_good_files(tmp_path, pyramids, case, pyramid):
    path = write_json(tmp_path / "b.json", GOOD[case])
    result = run("validate", pyramids[pyramid], path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith("no findings\n")
    assert run("validate", pyramids[pyramid], path, "-q").stderr == ""
    assert validated(pyramids[pyramid], path) == {}
    assert extractable(pyramids[pyramid], path, tmp_path=tmp_path)


def test_silence_about_images_of_different_sizes(tmp_path):
    pyramid = write_per_image(tmp_path / "p.h5", differing_maps())
    path = write_json(tmp_path / "b.json", {"17": [[1, 1, 90, 60]], "4": [[1, 1, 60, 120]], "230": [[1, 1, 150, 30]]})
    assert validated(pyramid, path) == {}


def test_silence_about_the_sample_data():
    result = run("validate", SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "134 boxes of 3 images: no findings\n")


def test_in_words(tmp_path, pyramids):
    boxes = good_boxes()
    boxes[4:12, 2] = 0
    result = run("validate", pyramids["plain"], write_json(tmp_path / "b.json", rows(boxes)))
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0] == "error: x2 < x1: 8 of 40 boxes"
    assert lines[1].startswith("  row 4: image 1, (")
    assert lines[6:8] == ["  and 3 more", "  advice: --on-bad-box drop, zero or nan continues without them"]
    assert result.stderr == ""


def test_boxes_from_a_pipe(pyramids):
    assert validated(pyramids["plain"], "-", stdin='{"17": [[1, 2, 30, 40]]}') == {}


def test_options_that_do_not_go_together(pyramids, boxes):
    options = ("--strides", "4,8,16", "--scales", "1/4,1/8,1/16")
    refused(run("validate", pyramids["plain"], boxes, *options), 2, "--strides: expected without --scales")


def test_no_images_at_all(tmp_path):
    pyramid = write_batched(tmp_path / "p.h5", {name: array[:0] for name, array in batch_maps().items()})
    assert validated(pyramid, write_json(tmp_path / "b.json", [])) == {}
    assert list(validated(pyramid, write_json(tmp_path / "c.json", [[0, 1, 2, 3, 4]]), code=3)) == ["image unknown"]
