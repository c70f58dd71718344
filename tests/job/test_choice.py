"""Boxes that are chosen, against a selection in plain Python; the rows, the counts, and what is refused."""

from __future__ import annotations

import json
import math
import os
import re

import h5py
import numpy as np
import pytest

from msroi_cli import extract, open_crops
from tests.builders import IDS, SPREAD, refused, run, write_batched, write_json

NAMES = {1: "person", 3: "car", 7: "traffic light"}


def records(count=200, seed=0):
    """COCO results with equal and absurd scores, some of them NaN."""
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.1, 0.25, 0.5, 0.5, 0.75, 0.9, math.nan, -math.inf], count)
    corners = rng.integers(0, 50, (count, 2))
    sides = rng.integers(1, 40, (count, 2))
    return [
        {
            "image_id": int(rng.choice([int(name) for name in IDS])),
            "category_id": int(rng.choice(list(NAMES))),
            "bbox": [*map(int, corner), *map(int, side)],
            "score": float(score),
        }
        for corner, side, score in zip(corners, sides, scores, strict=True)
    ]


def selected(boxes, min_score=None, categories=None, images=None, min_size=None, top=None):
    """The rows that are chosen, by the words of the documentation; pixels of the input are those of the file."""
    rows = []
    for row, box in enumerate(boxes):
        if categories is not None and box["category_id"] not in categories:
            continue
        if min_score is not None and not box["score"] >= min_score:
            continue
        if images is not None and str(box["image_id"]) not in images:
            continue
        if min_size is not None and math.sqrt(box["bbox"][2] * box["bbox"][3]) < min_size:
            continue
        rows.append(row)
    if top is None:
        return rows
    best = []
    for image in {boxes[row]["image_id"] for row in rows}:
        mine = [row for row in rows if boxes[row]["image_id"] == image]
        best += sorted(mine, key=lambda row: (math.isnan(boxes[row]["score"]), -boxes[row]["score"], row))[:top]
    return sorted(best)


CHOICES = {
    "score": (["--min-score", "0.5"], {"min_score": 0.5}),
    "score of nothing": (["--min-score", "2"], {"min_score": 2}),
    "categories": (["--categories", "1,7"], {"categories": {1, 7}}),
    "names": (["--categories", "traffic light, person"], {"categories": {1, 7}}),
    "images": (["--images", "4,17"], {"images": {"4", "17"}}),
    "size": (["--min-size", "20"], {"min_size": 20}),
    "top": (["--top", "5"], {"top": 5}),
    "top of more than there are": (["--top", "1000"], {"top": 1000}),
    "all": (
        ["--min-score", "0.25", "--categories", "1,3", "--images", "230,4", "--min-size", "8", "--top", "7"],
        {"min_score": 0.25, "categories": {1, 3}, "images": {"230", "4"}, "min_size": 8, "top": 7},
    ),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pyramid, detections, the data set with the names of their categories, and the crops of all detections."""
    folder = tmp_path_factory.mktemp("choice")
    pyramid = write_batched(folder / "p.h5", ids=IDS)
    boxes = write_json(folder / "b.json", records())
    images = [{"id": int(name), "file_name": f"{name}.jpg"} for name in IDS]
    categories = [{"id": key, "name": name} for key, name in NAMES.items()]
    coco = write_json(folder / "coco.json", {"images": images, "annotations": [], "categories": categories})
    command = ["extract", pyramid, boxes, "--coco-images", coco, *SPREAD]
    assert run(*command, "-o", folder / "all.h5", "-q").exit_code == 0
    return command, folder / "all.h5"


@pytest.mark.parametrize(("options", "choice"), CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("more", [[], ["--order", "image"], ["--shard", "1,2,3/3"]], ids=["input", "image", "shards"])
@pytest.mark.sampled(11)
def test_rows_and_crops_are_those_of_the_selection(inputs, tmp_path, options, choice, more):
    command, everything = inputs
    result = run(*command, *options, *more, "-o", tmp_path / "o.h5")
    assert result.exit_code == 0, result.stderr
    rows = selected(records(), **choice)
    left_out = len(records()) - len(rows)
    assert (f"{left_out} boxes left out: " in result.stderr) == (left_out > 0)
    with open_crops(tmp_path / "o.h5") as crops, open_crops(everything) as whole:
        assert sorted(crops.box_index.tolist()) == rows
        if more != ["--order", "image"]:
            assert crops.box_index.tolist() == rows
        np.testing.assert_array_equal(crops[:], whole[crops.box_index])
        np.testing.assert_array_equal(crops.score, whole.score[crops.box_index])
        np.testing.assert_array_equal(crops.category_id, whole.category_id[crops.box_index])
        np.testing.assert_array_equal(crops.image_index, whole.image_index[crops.box_index])
    assert run("verify", tmp_path / "o.h5").exit_code == 0


def test_each_box_is_counted_once_and_the_choice_is_recorded(inputs, tmp_path):
    command, _ = inputs
    options, choice = CHOICES["all"]
    result = run(*command, *options, "-o", tmp_path / "o.h5", "--stats", "-")
    counts = json.loads(result.stdout)["left_out_boxes"]
    assert list(counts) == ["category", "score", "image", "size", "rank"]
    assert sum(counts.values()) == len(records()) - len(selected(records(), **choice))
    assert counts["category"] == sum(box["category_id"] == 7 for box in records())
    with open_crops(tmp_path / "o.h5") as crops:
        expected = {"min_score": 0.25, "categories": ["1", "3"], "images": ["230", "4"], "min_size": 8, "top": 7}
        assert {name: crops.parameters[name] for name in expected} == expected


def test_function_and_command_choose_alike(inputs, tmp_path):
    command, _ = inputs
    options, choice = CHOICES["all"]
    assert run(*command, *options, "-o", tmp_path / "o.h5", "-q").exit_code == 0
    summary = extract(command[1], command[2], tmp_path / "f.h5", canonical_scale=16, canonical_level=1, **choice)
    assert sum(summary.left_out.values()) == len(records()) - len(selected(records(), **choice))
    with open_crops(tmp_path / "o.h5") as crops, open_crops(tmp_path / "f.h5") as other:
        np.testing.assert_array_equal(crops.box_index, other.box_index)
        np.testing.assert_array_equal(crops[:], other[:])


def test_images_of_a_file_and_many_of_them(tmp_path):
    count = 6000
    pyramid = tmp_path / "p.h5"
    with h5py.File(pyramid, "w") as file:
        file["p2"] = np.zeros((count, 1, 2, 2), np.float32)
        file["p2"].attrs["stride"] = 4
        file["image_ids"] = [f"image number {number}" for number in range(count)]
    boxes = write_json(tmp_path / "b.json", [[number, 0, 0, 4, 4] for number in range(count)])
    wanted = [f"image number {number}" for number in range(0, count, 2)]
    (tmp_path / "ids.txt").write_text("\n".join(wanted) + "\n\n")
    result = run("extract", pyramid, boxes, "-o", tmp_path / "o.h5", "--images", f"@{tmp_path / 'ids.txt'}")
    assert result.exit_code == 0, result.stderr
    with open_crops(tmp_path / "o.h5") as crops:
        assert crops.box_index.tolist() == list(range(0, count, 2))
        assert crops.parameters["images"]["count"] == len(wanted)


def test_another_choice_does_not_resume(inputs, tmp_path):
    command, _ = inputs
    out = tmp_path / "o.h5"
    assert run(*command, "--top", "3", "-o", out, "-q").exit_code == 0
    assert run(*command, "--top", "3", "-o", out, "--resume").exit_code == 0
    refused(run(*command, "--top", "4", "-o", out, "--resume"), 2, "top")


def test_bad_boxes_that_are_left_out_are_no_error(tmp_path):
    boxes = records(20)
    boxes[3] |= {"bbox": [1, 1, -5, 2], "score": 0.1}
    boxes[8] |= {"bbox": [1, 1, math.nan, 2], "score": 0.95}
    boxes[9] |= {"image_id": 99, "score": 0.1}
    command = ["extract", write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", boxes)]
    command += ["-o", tmp_path / "o.h5", "--min-score", "0.5", "--overwrite"]
    # Rows are those of the file.
    refused(run(*command), 3, "got 1 of .*row 8: not finite")
    # Boxes that cannot be pooled are not too small.
    refused(run(*command, "--min-size", "1"), 3, "row 8: not finite")
    assert run(*command, "--on-bad-box", "drop").exit_code == 0
    with open_crops(tmp_path / "o.h5") as crops:
        assert crops.box_index.tolist() == [row for row in selected(boxes, min_score=0.5) if row != 8]
    assert run(*command, "--on-bad-box", "nan").exit_code == 0
    with open_crops(tmp_path / "o.h5") as crops:
        assert crops.box_index.tolist() == selected(boxes, min_score=0.5)
        assert crops.box_index[crops.status == 1].tolist() == [8]


def test_size_is_measured_in_input_pixels(tmp_path):
    maps = write_batched(tmp_path / "p.h5", ids=IDS, scale_factors=np.array([[2.0, 2.0]] * 3))
    boxes = write_json(tmp_path / "b.json", [[0, 0, 0, 9, 9], [0, 0, 0, 10, 10], [1, 0, 0, 11, 11]])
    for space, rows in (("original", [1, 2]), ("input", [])):
        command = ["extract", maps, boxes, "-o", tmp_path / "o.h5", "--overwrite", "--box-space", space]
        assert run(*command, "--min-size", "20", "--image-key", "index", "-q").exit_code == 0
        with open_crops(tmp_path / "o.h5") as crops:
            assert crops.box_index.tolist() == rows


REFUSED = {
    "no scores": ([[0, 1, 1, 5, 5]], ["--min-score", "0.5"], "--min-score: expected boxes with score, got none"),
    "no scores to rank": ([[0, 1, 1, 5, 5]], ["--top", "2"], "--top: expected boxes with score, got none"),
    "no categories": ([[0, 1, 1, 5, 5]], ["--categories", "1"], "--categories: expected boxes with category_id"),
    "no names": (records(3), ["--categories", "person"], "--categories: expected numbers, COCO results has no names"),
    "unknown image": (records(3), ["--images", "4,5"], "--images: expected ids of images in"),
    "no image": (records(3), ["--images", ","], "expected ids of images, got none"),
    "not a number": (records(3), ["--min-score", "nan"], "min_score: expected a finite number, got nan"),
    "infinite size": (records(3), ["--min-size", "inf"], "min_size: expected a finite number, got inf"),
    "none of each image": (records(3), ["--top", "0"], "'--top'"),
    "empty category": (records(3), ["--categories", "1,,2"], "expected ids or names separated by commas"),
}


@pytest.mark.parametrize(("boxes", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, boxes, options, message):
    pyramid, file = write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", boxes)
    key = "index" if isinstance(boxes[0], list) else "id"
    result = run("extract", pyramid, file, *options, "--image-key", key, "-o", tmp_path / "o.h5")
    refused(result, 3 if options[1] == "," else 2, re.escape(message))


def test_a_number_that_is_the_name_of_another_category_is_refused(tmp_path):
    coco = {"annotations": [], "categories": [{"id": 1, "name": "2"}, {"id": 2, "name": "x"}]}
    command = ["extract", write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", records(3))]
    coco["images"] = [{"id": int(name)} for name in IDS]
    command += ["--coco-images", write_json(tmp_path / "c.json", coco), "-o", tmp_path / "o.h5"]
    message = "--categories: expected an id or a name, got '2', the id of 'x' and the name of category 1"
    refused(run(*command, "--categories", "2"), 2, message)
    refused(run(*command, "--categories", "y"), 2, r"expected one of 2 \(1\), x \(2\), got 'y'")


def test_file_of_ids_that_is_not_there(tmp_path):
    command = ["extract", write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", records(3))]
    refused(run(*command, "-o", tmp_path / "o.h5", "--images", "@none.txt"), 3, "none.txt: .*No such file")


@pytest.mark.parametrize(("options", "choice"), CHOICES.values(), ids=CHOICES)
def test_assign_chooses_as_extract_does(inputs, options, choice):
    command, _ = inputs
    if "names" in options or "traffic light, person" in options:
        options = ["--categories", "1,7"]
    result = run("assign", command[2], "--strides", "4,8,16", *options)
    assert [json.loads(line)["box_index"] for line in result.stdout.splitlines()] == selected(records(), **choice)


def test_validate_and_preview_take_the_same_boxes(tmp_path):
    boxes = records(20)
    boxes[3] |= {"bbox": [1, 1, -5, 2], "score": 0.1}
    pyramid, file = write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", boxes)
    assert "row 3" in run("validate", pyramid, file).stdout
    assert run("validate", pyramid, file, "--min-score", "0.5").exit_code == 0
    whole, some = tmp_path / "a.png", tmp_path / "b.png"
    assert run("preview", "boxes", pyramid, file, "-o", whole, "--image", "4").exit_code == 0
    assert run("preview", "boxes", pyramid, file, "-o", some, "--image", "4", "--top", "1").exit_code == 0
    assert whole.read_bytes() != some.read_bytes()


def test_resume_compares_the_data_set_with_the_names(inputs, tmp_path):
    command, _ = inputs
    coco = tmp_path / "coco.json"
    coco.write_bytes(command[command.index("--coco-images") + 1].read_bytes())
    command = [coco if part == command[command.index("--coco-images") + 1] else part for part in command]
    command += ["-o", tmp_path / "o.h5", "-q"]
    assert run(*command).exit_code == 0
    assert open_crops(tmp_path / "o.h5").sources["coco_images"]["name"] == "coco.json"
    assert run(*command, "--resume").exit_code == 0
    os.utime(coco, ns=(1, 1))
    refused(run(*command, "--resume"), 2, "another job: sources coco_images modified was ")
