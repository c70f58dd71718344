"""`msroi inspect --plot`: the sizes of boxes, by level."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from msroi_cli.core.levels import level_bounds
from msroi_cli.job.inspect.sizes import sizes_of
from msroi_cli.job.recipe import Recipe
from msroi_cli.preview.drawing.colours import level_colour
from tests.builders import (
    SPREAD,
    coco,
    extracted,
    ran,
    random_boxes,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
)
from tests.pictures import has_colour, margin

pytest.importorskip("matplotlib")
COUNT = 60


@pytest.fixture
def crops(tmp_path):
    """Crops on all levels, and one that was not pooled."""
    rows = random_rows(COUNT)
    rows[3, 1:] = (9, 9, 1, 1)
    boxes = write_json(tmp_path / "b.json", rows.tolist())
    extracted(tmp_path / "c.h5", write_batched(tmp_path / "p.h5"), boxes, *SPREAD, "--on-bad-box", "zero")
    return tmp_path / "c.h5"


def test_sizes_of_crops_by_level(crops):
    found = sizes_of(str(crops), "crops")
    with h5py.File(crops) as file:
        good = file["status"][:] == 0
        boxes, level = file["boxes"][:][good].astype(float), file["level"][:][good]
    assert len(found.sizes) == COUNT - 1
    assert np.allclose(found.sizes, np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
    assert (found.level == level).all()
    assert found.names == ("p2", "p3", "p4")
    # The bounds part the levels.
    assert (np.searchsorted(found.bounds, found.sizes, side="right") == level).all()


def test_sizes_of_boxes(tmp_path):
    boxes = random_boxes(COUNT)
    file = write_json(tmp_path / "b.json", coco(boxes, ["17"] * COUNT))
    found = sizes_of(str(file), "boxes")
    assert np.allclose(found.sizes, np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)), rtol=1e-5)
    assert (len(found.bounds), found.unit) == (0, "pixels of the file")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "17.txt").write_text("0 0.5 0.5 0.4 0.1\n")
    found = sizes_of(str(tmp_path / "labels"), "boxes")
    assert np.allclose(found.sizes, [0.2])
    assert found.unit == "shares of the image"


def test_crops_of_one_level_have_no_bounds(tmp_path, crops):
    boxes = write_json(tmp_path / "d.json", random_rows(COUNT).tolist())
    with extracted(tmp_path / "one.h5", tmp_path / "p.h5", boxes, "--assign", "p3") as file:
        assert len(level_bounds(Recipe.of(file).spec)) == 2
    found = sizes_of(str(tmp_path / "one.h5"), "crops")
    assert (len(found.bounds), set(found.level.tolist())) == (0, {1})


def test_a_chart_of_crops(tmp_path, crops):
    plain = run("inspect", crops)
    result = run("inspect", crops, "--plot", tmp_path / "x.png")
    assert (result.exit_code, result.stdout, result.stderr) == (0, plain.stdout, "")
    with Image.open(tmp_path / "x.png") as picture:
        pixels = np.array(picture.convert("RGB"))
    assert margin(pixels) >= 3
    assert all(has_colour(pixels, level_colour(level)) > 200 for level in range(3))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.sampled(3)
def test_a_chart_of_boxes(tmp_path, crops, suffix):
    first = run("inspect", "--json", tmp_path / "b.json", "--plot", tmp_path / f"x{suffix}")
    assert (first.exit_code, first.stderr) == (0, ""), first.exception
    content = (tmp_path / f"x{suffix}").read_bytes()
    assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    assert run("inspect", tmp_path / "b.json", "--plot", tmp_path / f"x{suffix}", "--overwrite").exit_code == 0
    assert (tmp_path / f"x{suffix}").read_bytes() == content


@pytest.mark.parametrize("boxes", [[], [[0, 9, 9, 1, 1]], [[0, 1, 1, 1.00001, 1.00001]], [[0, 0, 0, 3e38, 3e38]]])
@pytest.mark.sampled(3)
def test_no_boxes_and_strange_ones(tmp_path, boxes):
    file = write_json(tmp_path / "b.json", boxes)
    result = run("inspect", file, "--plot", tmp_path / "x.png")
    assert (result.exit_code, result.stderr) == (0, ""), result.exception
    assert (tmp_path / "x.png").exists()


def test_what_has_no_sizes_is_refused(tmp_path, crops):
    out = ("--plot", tmp_path / "x.png")
    refused(run("inspect", crops, tmp_path / "b.json", *out), 2, "--plot: expected one FILE, got 2")
    refused(run("inspect", "-", *out, stdin="[]"), 2, "--plot: expected a regular file, which can be read twice, got -")
    refused(run("inspect", crops, "--plot", tmp_path / "x.jpg"), 2, r"ends in .png, .svg or .pdf, got 'x.jpg'")
    refused(run("inspect", crops, "--plot", crops.with_suffix(".png").parent / "c.h5"), 2, "--plot: expected")
    result = run("inspect", tmp_path / "p.h5", *out)
    assert result.exit_code == 2
    assert "--plot: expected a file of crops or boxes, got a pyramid" in result.stderr
    (tmp_path / "x.png").write_text("mine")
    refused(run("inspect", crops, *out), 2, "exists already; --overwrite")
    assert (tmp_path / "x.png").read_text() == "mine"


def test_a_chart_in_a_folder_that_is_not_there_is_refused(tmp_path, crops):
    code, _, errors = ran("inspect", crops, "--plot", tmp_path / "no folder" / "x.png")
    assert (code, len(errors.splitlines())) == (2, 1)
