"""`msroi preview`: labels, the order and choice of crops, levels side by side, and opening what was written."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from msroi_cli import open_crops
from msroi_cli.cli.option_values import LABELS as LABEL_OPTIONS
from msroi_cli.preview import boxes as preview_boxes
from msroi_cli.preview import crops as preview_crops
from msroi_cli.preview import pyramid as preview_pyramid
from msroi_cli.preview.drawing.boxes_picture import DrawnBoxes, boxes_picture
from msroi_cli.preview.drawing.colours import level_colour
from tests.builders import (
    IDS,
    SAMPLE_DATA,
    SPREAD,
    coco,
    extracted,
    image_maps,
    ran,
    random_boxes,
    refused,
    run,
    write_batched,
    write_json,
    write_per_image,
)
from tests.pictures import has_colour, margin, opened

PYRAMID, WORDS = SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json"
COUNT = 24


@pytest.fixture
def job(tmp_path):
    """A pyramid of one image, and a COCO file of boxes with all that labels can show."""
    pyramid = write_per_image(tmp_path / "p.h5", {"17": image_maps(0)})
    scores = np.round(np.random.default_rng(0).permutation(COUNT) / COUNT, 3)
    columns = {"score": scores.tolist(), "category_id": [1 + row % 2 for row in range(COUNT)]}
    data = coco(random_boxes(COUNT), ["17"] * COUNT, **columns, id=list(range(100, 100 + COUNT)))
    data["categories"] = [{"id": 1, "name": "person"}, {"id": 2, "name": "traffic light"}]
    return pyramid, write_json(tmp_path / "b.json", data), scores


def picture(tmp_path, *arguments):
    """The pixels of a preview that worked."""
    result = run("preview", *arguments, "-o", tmp_path / "x.png", "--overwrite")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", ""), (result.stderr, result.exception)
    return opened(tmp_path / "x.png")


def passed_to(monkeypatch, module, name):
    """What a preview gives to the function that draws it, in a list."""
    given, draws = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *drawn: (given.append(drawn), draws(*drawn))[1])
    return given


def test_what_labels_say(tmp_path, job, monkeypatch):
    pyramid, boxes, scores = job
    given = passed_to(monkeypatch, preview_boxes, "boxes_picture")
    picture(tmp_path, "boxes", pyramid, boxes, *SPREAD, "--label", "id,score,category,level")
    _, drawn, _ = given[0]
    ids, others = zip(*(label.split(" ", 1) for label in drawn.labels), strict=True)
    assert ids == tuple(map(str, range(100, 100 + COUNT)))
    for row, other in enumerate(others):
        category = ("person", "traffic light")[row % 2]
        assert other == f"{scores[row]:.2f} {category} {drawn.names[drawn.level[row]]}"
    assert len(set(drawn.level.tolist())) == 3
    assert scores[drawn.order].tolist() == sorted(scores, reverse=True)


def test_without_an_annotation_the_id_is_the_row_in_the_file(tmp_path, monkeypatch):
    pyramid = write_per_image(tmp_path / "p.h5", {"17": image_maps(0), "4": image_maps(1)})
    boxes = write_json(tmp_path / "b.json", [[1, 1, 1, 9, 9], [0, 2, 2, 9, 9], [1, 3, 3, 9, 1]])
    given = passed_to(monkeypatch, preview_boxes, "boxes_picture")
    picture(tmp_path, "boxes", pyramid, boxes, "--image", "17", "--label", "id,level")
    assert given[0][1].labels == ["0 p2", "2 not pooled"]


def test_the_command_line_knows_all_labels():
    assert tuple(preview_boxes.LABELS) == LABEL_OPTIONS


def test_labels_are_drawn_in_the_colours_of_their_boxes():
    boxes = np.array([[0.1, 0.1, 0.4, 0.3], [0.5, 0.5, 0.8, 0.9]])
    drawn = DrawnBoxes(boxes, np.array([0, 1]), ["p2", "p3"], "17")
    ground = Image.new("RGB", (1200, 800), (90, 90, 90))
    plain = np.array(boxes_picture(ground, drawn, Image.Resampling.NEAREST))
    labelled = np.array(boxes_picture(ground, replace(drawn, labels=["one", "two"]), Image.Resampling.NEAREST))
    assert plain.shape == labelled.shape
    for level in (0, 1):
        assert has_colour(labelled, level_colour(level)) > has_colour(plain, level_colour(level)) + 200
    assert (np.array(ground) == 90).all()


def test_a_picture_with_labels_is_larger_and_says_how_boxes_were_chosen(tmp_path, job, monkeypatch):
    pyramid, boxes, _ = job
    plain = picture(tmp_path, "boxes", pyramid, boxes)
    given = passed_to(monkeypatch, preview_boxes, "boxes_picture")
    labelled = picture(tmp_path, "boxes", pyramid, boxes, "--label", "category")
    assert labelled.shape[0] > plain.shape[0]
    assert given[0][1].title == f"17: {COUNT} boxes"
    some = picture(tmp_path, "boxes", pyramid, boxes, "--label", "category", "--top", "3", "--min-score", "0.5")
    assert given[1][1].title == "17: 3 boxes (min score 0.5, top 3)"
    assert some.shape[1] == labelled.shape[1]


@pytest.mark.parametrize("count", [5, 60, 600])
@pytest.mark.sampled(2)
def test_any_number_of_labels(tmp_path, count):
    pyramid = write_per_image(tmp_path / "p.h5", {"17": image_maps(0)})
    boxes = write_json(tmp_path / "b.json", coco(random_boxes(count), ["17"] * count, score=[0.5] * count))
    pixels = picture(tmp_path, "boxes", pyramid, boxes, *SPREAD, "--label", "score")
    assert has_colour(pixels, level_colour(0)) > 1000
    assert 1200 <= max(pixels.shape) <= 2400


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("score", "--label score: expected boxes with score, got none in"),
        ("category", "--label category: expected boxes with category_id, got none in"),
        ("size", "expected id, score, category, level, or several"),
        ("id,id", "expected id, score, category, level, or several"),
        ("", "expected id, score, category, level, or several"),
    ],
)
def test_labels_that_there_are_not(tmp_path, label, message):
    pyramid = write_batched(tmp_path / "p.h5")
    boxes = write_json(tmp_path / "b.json", [[0, 1, 1, 9, 9]])
    refused(run("preview", "boxes", pyramid, boxes, "--label", label, "-o", tmp_path / "x.png"), 2, message)
    assert not (tmp_path / "x.png").exists()


@pytest.fixture
def crops(tmp_path, job):
    """Crops of that job."""
    extracted(tmp_path / "c.h5", *job[:2], *SPREAD)
    return tmp_path / "c.h5"


def tiles_of(tmp_path, crops, monkeypatch, *options):
    """The rows of the crops that are shown, in their order, with the tiles and what explains them."""
    given = passed_to(monkeypatch, preview_crops, "contact_sheet")
    assert margin(picture(tmp_path, "crops", crops, *options)) >= 5
    tiles, explanation = given[0]
    return [int(tile.lines[1].split()[1].rstrip(",")) for tile in tiles], tiles, explanation


def test_captions_have_image_box_score_and_level(tmp_path, crops, monkeypatch):
    rows, tiles, explanation = tiles_of(tmp_path, crops, monkeypatch)
    with open_crops(crops) as file:
        names = file.parameters["levels"]
        for row, tile in zip(rows, tiles, strict=True):
            assert tile.lines == ("17", f"box {row}, {file.score[row]:.2f}, {names[file.level[row]]}")
        assert rows == list(range(COUNT))
        assert [text for _, text in explanation.levels] == [
            f"{name}: {int((file.level == level).sum())}" for level, name in enumerate(names)
        ]
        means = file[:].mean(axis=1)
    assert np.allclose((explanation.range.low, explanation.range.high), np.percentile(means, (1, 99)))
    assert not explanation.range.missing


ORDERS = {
    "score": lambda file: -file.score,
    "level": lambda file: file.level,
    "size": lambda file: -np.prod(file.boxes[:, 2:] - file.boxes[:, :2], axis=1),
}


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("count", [COUNT, 5])
@pytest.mark.sampled(2)
def test_crops_are_sorted(tmp_path, crops, monkeypatch, sort, count):
    rows, _, explanation = tiles_of(tmp_path, crops, monkeypatch, "--sort", sort, "--count", count)
    with open_crops(crops) as file:
        expected = np.argsort(ORDERS[sort](file), kind="stable")
    assert rows == expected[np.linspace(0, COUNT - 1, count).astype(int)].tolist()
    assert explanation.title == f"c.h5: {count} of {COUNT} crops, by {sort}"


def test_crops_are_chosen_by_score(tmp_path, crops, monkeypatch):
    rows, *_ = tiles_of(tmp_path, crops, monkeypatch, "--min-score", "0.5")
    with open_crops(crops) as file:
        score = file.score
    assert rows == np.flatnonzero(score >= 0.5).tolist()
    best, *_ = tiles_of(tmp_path, crops, monkeypatch, "--top", "4", "--sort", "score")
    assert best == np.argsort(-score)[:4].tolist()


def test_components_of_each_level(tmp_path, crops, monkeypatch):
    rows, tiles, explanation = tiles_of(tmp_path, crops, monkeypatch, "--show", "pca", "--components", "level")
    assert explanation.range is None
    assert explanation.words.count("of the variance") == 3
    every, together, _ = tiles_of(tmp_path, crops, monkeypatch, "--show", "pca")
    assert rows == every
    assert any((a.heat != b.heat).any() for a, b in zip(tiles, together, strict=True))
    # Crops of one level look the same in a file of that level alone.
    level = [tile.level for tile in tiles]
    one = [tile.heat for tile in tiles if tile.level == 2]
    with h5py.File(crops, "r+") as file:
        file["status"][:] = np.array(level) != 2
    _, alone, _ = tiles_of(tmp_path, crops, monkeypatch, "--show", "pca")
    assert all((a == b.heat).all() for a, b in zip(one, alone, strict=True))


def test_options_of_crops_that_say_nothing_are_refused(tmp_path, crops):
    out = ("-o", tmp_path / "x.png")
    extracted(tmp_path / "n.h5", PYRAMID, WORDS, "--box-space", "original")
    for options in (("--sort", "score"), ("--min-score", "0.5"), ("--top", "3")):
        refused(run("preview", "crops", tmp_path / "n.h5", *options, *out), 2, f"{options[0]}.*: expected crops with")
    refused(run("preview", "crops", crops, "--components", "level", *out), 2, "expected with --show pca")
    refused(run("preview", "crops", crops, "--min-score", "2", *out), 3, "expected crops to show, got none")


def panels_of(tmp_path, monkeypatch, *options):
    """The panels of `preview pyramid`, and the picture."""
    given = passed_to(monkeypatch, preview_pyramid, "panels_picture")
    pixels = picture(tmp_path, "pyramid", *options)
    return given[0], pixels


@pytest.mark.parametrize("show", ["mean", "pca", "1"])
def test_levels_side_by_side(tmp_path, monkeypatch, show):
    maps = image_maps(0)
    pyramid = write_per_image(tmp_path / "p.h5", {"17": maps})
    (panels, size, title), pixels = panels_of(tmp_path, monkeypatch, pyramid, "--show", show)
    assert size == (96, 64)
    assert title.startswith("17: input of 96 x 64 pixels; ")
    assert [panel.picture.size for panel in panels] == [array.shape[:0:-1] for array in maps.values()]
    assert [panel.lines[0] for panel in panels] == ["p2, stride 4", "p3, stride 8", "p4, stride 16"]
    assert [panel.span for panel in panels] == [(0, 0, 1, 1)] * 3
    assert margin(pixels) >= 5
    if show == "1":
        for panel, array in zip(panels, maps.values(), strict=True):
            assert np.allclose((panel.range.low, panel.range.high), np.percentile(array[1], (1, 99)))


@pytest.mark.parametrize("image", IDS)
@pytest.mark.sampled(3)
def test_the_picture_lies_where_the_input_has_it(tmp_path, monkeypatch, image):
    name = {"17": "page.png", "4": "sign.png", "230": "receipt.png"}[image]
    options = (PYRAMID, "--image", image, "--picture", SAMPLE_DATA / name)
    (panels, size, _), pixels = panels_of(tmp_path, monkeypatch, *options)
    assert len(panels) == 5
    with Image.open(SAMPLE_DATA / name) as own, h5py.File(PYRAMID) as file:
        factor = file[image].attrs["scale_factor"]
        assert np.allclose(panels[0].span, [0, 0, *(np.multiply(own.size, factor) / size)])
    assert margin(pixels) >= 5


def test_a_padded_picture(tmp_path):
    pyramid = write_per_image(
        tmp_path / "p.h5", {"17": image_maps(0)}, factors={"17": (2.0, 2.0)}, sizes={"17": (40.0, 20.0)}
    )
    with h5py.File(pyramid, "a") as file:
        file["17"].attrs["offset"] = (8.0, 12.0)
    Image.new("RGB", (40, 20), (250, 0, 250)).save(tmp_path / "q.png")
    pixels = picture(tmp_path, "pyramid", pyramid, "--picture", tmp_path / "q.png")
    marked = (pixels == np.array((250, 0, 250), np.uint8)).all(axis=-1)
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    share = 400 / 96
    assert abs(len(columns) - 80 * share) <= 1
    assert abs(len(rows) - 40 * share) <= 1
    assert abs(columns[0] - 16 - 8 * share) <= 1


def test_many_levels_are_drawn_in_rows(tmp_path, monkeypatch):
    names = [f"p{index}" for index in range(9)]
    rng = np.random.default_rng(0)
    maps = {name: rng.standard_normal((2, 32, 48)).astype("f4") for name in names}
    pyramid = write_per_image(tmp_path / "p.h5", {"17": maps}, strides=dict.fromkeys(names, 4))
    (panels, _, _), pixels = panels_of(tmp_path, monkeypatch, pyramid)
    assert len(panels) == 9
    assert pixels.shape[1] < 2600
    assert margin(pixels) >= 5


def test_levels_that_cannot_be_shown(tmp_path):
    out = ("-o", tmp_path / "x.png")
    many = {f"p{index}": np.zeros((1, 2, 2), "f4") for index in range(65)}
    write_per_image(tmp_path / "m.h5", {"17": many}, strides=dict.fromkeys(many, 4))
    line = ("preview", "pyramid", tmp_path / "m.h5", "--levels")
    refused(run(*line, ",".join(many), *out), 2, "--levels: expected at most 64 to show, got 65")
    assert run(*line, "p3,p4", "-o", tmp_path / "two.png").exit_code == 0
    refused(run("preview", "pyramid", PYRAMID, "--image", "5", *out), 2, "--image: expected one of 4, 17, 230")
    refused(run("preview", "pyramid", PYRAMID, "--show", "24", *out), 2, "a channel from 0 to 23, got 24")
    refused(run("preview", "pyramid", WORDS, *out), 3, "")
    refused(run("preview", "pyramid", PYRAMID, "--picture", SAMPLE_DATA / "sign.png", "--image", "17", *out), 3, "sign")


def command(tmp_path, *options, **environment):
    """`msroi preview pyramid` as a process, where only the given variables name a desktop."""
    none = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    return ran("preview", "pyramid", PYRAMID, "-o", tmp_path / "a b.png", *options, env={**none, **environment})


@pytest.mark.skipif(sys.platform != "linux", reason="the desktop of other systems is always there")
def test_without_a_desktop_nothing_is_opened(tmp_path):
    written = f"{tmp_path / 'a b.png'}: written, not opened: expected a desktop, got none\n"
    assert command(tmp_path, "--open") == (0, "", written)
    assert opened(tmp_path / "a b.png").any()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems open files in other ways")
@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
@pytest.mark.sampled(2)
def test_the_desktop_opens_the_picture(tmp_path, name):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "xdg-open").write_text(
        f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/seen.new"; mv "{tmp_path}/seen.new" "{tmp_path}/seen"\n'
    )
    (bin_ / "xdg-open").chmod(0o755)
    assert command(tmp_path, "--open", **{name: "1", "PATH": f"{bin_}:{os.environ['PATH']}"}) == (0, "", "")
    until = time.monotonic() + 20
    while not (tmp_path / "seen").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (tmp_path / "seen").read_text() == str(tmp_path / "a b.png")
