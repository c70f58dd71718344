"""`msroi assign`: the levels of boxes, in every format."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from msroi_cli import assign_levels
from msroi_cli.core.levels import box_sizes
from msroi_cli.job import assign as assignment
from tests.builders import IDS, SAMPLE_DATA, coco, ran, random_rows, refused, run, write_json

STRIDES = ("--strides", "4,8,16,32")
SCALES = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
RNG = np.random.default_rng(3)
CORNERS = RNG.uniform(0, 500, (50, 2))
BOXES = np.concatenate([CORNERS, CORNERS + np.exp(RNG.uniform(0, 7, (50, 2)))], axis=1)
ROWS = np.column_stack([np.arange(50) % 3, BOXES])


@pytest.fixture
def path(tmp_path):
    """Boxes of all sizes, as rows."""
    return write_json(tmp_path / "b.json", ROWS.tolist())


def lines(*arguments, stdin=None):
    """The objects of JSON Lines."""
    result = run("assign", *arguments, "-q", stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


RULES = {
    "default": ((), {}),
    "torchvision": (("--compat", "torchvision"), {"compat": "torchvision"}),
    "detectron2": (("--compat", "detectron2"), {"compat": "detectron2"}),
    "mmdet": (("--compat", "mmdet"), {"compat": "mmdet"}),
    "canonical": (
        ("--canonical-level", "1", "--canonical-scale", "50"),
        {"canonical_level": 1, "canonical_scale": 50},
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_levels_are_those_of_the_library(path, case):
    options, call = RULES[case]
    expected = assign_levels(BOXES, SCALES, **call)
    got = lines(path, *STRIDES, *options)
    assert [row["level"] for row in got] == expected.tolist()
    assert [row["box_index"] for row in got] == list(range(50))
    assert [row["image_index"] for row in got] == [row % 3 for row in range(50)]
    numbers = np.array([[row[name] for name in ("x1", "y1", "x2", "y2", "size")] for row in got]).astype(np.float32)
    np.testing.assert_array_equal(numbers[:, :4], BOXES.astype(np.float32))
    np.testing.assert_array_equal(numbers[:, 4], box_sizes(BOXES.astype(np.float32)))


def test_levels_are_those_of_extract(tmp_path):
    from tests.builders import extracted

    words = SAMPLE_DATA / "words.json"
    crops = extracted(tmp_path / "o.h5", SAMPLE_DATA / "pyramid.h5", words, "--box-space", "input")
    assert [row["level"] for row in lines(words, *STRIDES)] == crops.level.tolist()


def test_scales_and_names(path):
    named = lines(path, "--scales", "1/4,1/8,1/16,1/32", "--levels", "p2,p3,p4,p5")
    plain = lines(path, *STRIDES)
    assert [row["level"] for row in named] == [row["level"] for row in plain]
    assert [row["name"] for row in named] == [f"p{row['level'] + 2}" for row in plain]


@pytest.mark.parametrize(("text", "factor"), [("2", (2, 2)), ("0.5x3", (0.5, 3)), ("1/2", (0.5, 0.5))])
def test_scale_factor(path, text, factor):
    got = lines(path, *STRIDES, "--scale-factor", text)
    scaled = BOXES * np.tile(factor, 2)
    assert [row["level"] for row in got] == assign_levels(scaled, SCALES).tolist()
    assert got[0]["x2"] == pytest.approx(scaled[0, 2], rel=1e-6)


def test_coco_and_box_format(tmp_path):
    path = write_json(tmp_path / "b.json", coco(BOXES, [IDS[row % 3] for row in range(50)], id=list(range(7, 57))))
    got = lines(path, *STRIDES)
    assert [row["level"] for row in got] == assign_levels(BOXES, SCALES).tolist()
    assert (got[1]["image_id"], got[1]["annotation_id"]) == (IDS[1], 8)
    other = lines(path, *STRIDES, "--box-format", "cxcywh")
    assert other[0]["x1"] < got[0]["x1"]


@pytest.mark.parametrize("at_once", [1, 7, 50, 4096])
@pytest.mark.parametrize("form", ["jsonl", "tsv", "json"])
def test_formats_say_the_same(path, monkeypatch, form, at_once):
    expected = lines(path, *STRIDES)
    monkeypatch.setattr(assignment, "LINES_AT_ONCE", at_once)
    text = run("assign", path, *STRIDES, "--format", form).stdout
    if form == "tsv":
        got = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
        assert got == [{name: str(text_of(value)) for name, value in row.items()} for row in expected]
    elif form == "jsonl":
        assert [json.loads(line) for line in text.splitlines()] == expected
    else:
        assert json.loads(text)["boxes"] == expected


def text_of(value):
    return str(np.float32(value)) if isinstance(value, float) else value


def test_ids_of_all_kinds_in_all_formats(tmp_path):
    ids = ['say "hi"', "a\tb", "日本", "a\nb", "\\"]
    path = write_json(tmp_path / "b.json", {key: [[1, 2, 30, 40]] for key in ids})
    assert [row["image_id"] for row in lines(path, *STRIDES)] == ids
    assert [
        row["image_id"] for row in json.loads(run("assign", path, *STRIDES, "--format", "json").stdout)["boxes"]
    ] == ids
    table = run("assign", path, *STRIDES, "--format", "tsv").stdout.splitlines()
    assert len(table) == 6
    assert {line.count("\t") for line in table} == {table[0].count("\t")}


@pytest.mark.parametrize("form", ["jsonl", "tsv", "json"])
def test_no_boxes(tmp_path, form):
    result = run("assign", write_json(tmp_path / "b.json", []), *STRIDES, "--format", form)
    assert result.exit_code == 0
    if form == "json":
        assert json.loads(result.stdout)["boxes"] == []
    else:
        assert len(result.stdout.splitlines()) == (form == "tsv")


def test_the_histogram(path):
    level = assign_levels(BOXES, SCALES)
    sizes = box_sizes(BOXES.astype(np.float32))
    result = run("assign", path, *STRIDES, "--histogram", "--format", "json")
    levels = json.loads(result.stdout)["levels"]
    assert [entry["boxes"] for entry in levels] == np.bincount(level, minlength=4).tolist()
    assert sum(entry["share"] for entry in levels) == pytest.approx(1)
    assert levels[0]["box_size"]["max"] == pytest.approx(sizes[level == 0].max())
    assert [entry["stride"] for entry in levels] == [4, 8, 16, 32]
    assert result.stderr == ""


def test_the_histogram_is_talk_beside_the_rows(path):
    result = run("assign", path, *STRIDES)
    shown = result.stderr.splitlines()
    assert shown == run("assign", path, *STRIDES, "--histogram").stdout.splitlines()
    assert shown[0].split() == ["level", "stride", "boxes", "share", "box", "size", "min", "median", "max"]
    assert len(shown) == 5
    assert len(result.stdout.splitlines()) == 50


def test_levels_without_boxes(tmp_path):
    path = write_json(tmp_path / "b.json", [[0, 0, 0, 10, 10]])
    levels = json.loads(run("assign", path, *STRIDES, "--histogram", "--format", "json").stdout)["levels"]
    assert levels[3]["box_size"] == {"min": None, "median": None, "max": None}
    assert run("assign", path, *STRIDES, "--histogram").exit_code == 0


BAD = [[0, 1, 1, 9, 9], [0, 9, 1, 1, 9], [0, 1, 1, 1e39, 2], [1, 5, 5, 50, 50]]


def test_bad_boxes(tmp_path):
    path = write_json(tmp_path / "b.json", BAD)
    refused(run("assign", path, *STRIDES), 3, r"2 of 4 that cannot: row 1: x2 < x1")
    kept = lines(path, *STRIDES, "--on-bad-box", "drop")
    assert [row["box_index"] for row in kept] == [0, 3]
    told = lines(path, *STRIDES, "--on-bad-box", "null")
    assert [(row["level"], row["name"], row["size"], row["invalid_reason"]) for row in told][1:3] == [
        (None, None, None, "x2 < x1"),
        (None, None, None, "not finite"),
    ]
    assert [row["invalid_reason"] for row in told] == [None, "x2 < x1", "not finite", None]
    table = run("assign", path, *STRIDES, "--on-bad-box", "null", "--format", "tsv").stdout.splitlines()
    assert table[2].split("\t")[-1] == "x2 < x1"


NONSENSE = {
    "no strides": ((), "--strides: expected the strides of the levels"),
    "both": ((*STRIDES, "--scales", "1/4"), "--strides: expected without --scales"),
    "names": ((*STRIDES, "--levels", "p2,p3"), "--levels: expected 4 names"),
    "factor": ((*STRIDES, "--scale-factor", "0"), "expected a number above 0"),
    "factors": ((*STRIDES, "--scale-factor", "1x2x3"), "expected a number above 0"),
    "uncountable": (("--strides", "4,8,32", "--compat", "mmdet", "--compat", "torchvision"), "strides that double"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_options_that_make_no_sense(path, case):
    options, pattern = NONSENSE[case]
    refused(run("assign", path, *options), 2, pattern)


def test_from_a_pipe():
    assert lines("-", *STRIDES, stdin="[0, 0, 0, 300, 300]\n[1, 0, 0, 20, 20]\n")[0]["level"] == 2


@pytest.mark.slow
def test_a_reader_that_stops_reading(tmp_path):
    path = write_json(tmp_path / "b.json", random_rows(30000).tolist())
    import subprocess
    import sys

    command = f"'{sys.executable}' -m msroi_cli assign '{path}' --strides 4,8,16 | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["box_index"] == 0
    assert done.stderr == ""


def test_as_a_process(path):
    code, text, talk = ran("assign", path, *STRIDES)
    assert (code, len(text.splitlines()), len(talk.splitlines())) == (0, 50, 5)
