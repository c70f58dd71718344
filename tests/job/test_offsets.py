"""Offsets of pictures that were padded on the left or at the top, in every kind of file and on every way back."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from msroi_cli import PyramidWriter, extract, open_crops
from msroi_cli.errors import InputError
from tests.builders import (
    SPREAD_CALL,
    STRIDES,
    batch_maps,
    coco,
    image_maps,
    random_boxes,
    run,
    write_batched,
    write_json,
    write_json_pyramid,
    write_npz,
)

FACTOR, OFFSET = (0.5, 0.25), (8.0, -3.0)
PAIRS = {"scale_factors": [FACTOR] * 3, "offsets": [(0, 0), OFFSET, (1, 1)], "image_sizes": [(160, 250)] * 3}


def written(path):
    """Per image, by the writer."""
    with PyramidWriter(path, list(STRIDES.values())) as writer:
        for number, offset in enumerate(PAIRS["offsets"]):
            writer.add(str(number), image_maps(number), scale_factor=FACTOR, offset=offset, image_size=(160, 200))
    return path


def one_image(path):
    """One image at the root of a file, whose id is that of the file."""
    maps = {name: array[1:2] for name, array in batch_maps().items()}
    write_batched(path, maps)
    with h5py.File(path, "a") as file:
        file.attrs.update(scale_factor=FACTOR, offset=OFFSET)
    return path


KINDS = {
    "per image": lambda folder: written(folder / "p.h5"),
    "batched": lambda folder: write_batched(folder / "p.h5", **PAIRS),
    "npz": lambda folder: write_npz(folder / "p.npz", **PAIRS),
    "json": lambda folder: write_json_pyramid(folder / "p.json", **PAIRS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_padded_pictures_are_where_they_belong(tmp_path, kind):
    pyramid = KINDS[kind](tmp_path)
    boxes = random_boxes(9)
    original = (boxes - np.tile(OFFSET, 2)) / np.tile(FACTOR, 2)
    extract(pyramid, {"1": original}, tmp_path / "original.h5", box_space="original", **SPREAD_CALL)
    extract(pyramid, {"1": boxes}, tmp_path / "input.h5", box_space="input", **SPREAD_CALL)
    with open_crops(tmp_path / "original.h5") as one, open_crops(tmp_path / "input.h5") as other:
        assert np.array_equal(one[:], other[:])
        assert np.array_equal(one.boxes, boxes.astype(np.float32))


def test_one_image_and_several_files_have_offsets(tmp_path):
    (tmp_path / "maps").mkdir()
    one_image(tmp_path / "maps" / "1.h5")
    boxes = random_boxes(9)
    original = (boxes - np.tile(OFFSET, 2)) / np.tile(FACTOR, 2)
    for name in ("maps/1.h5", "maps"):
        out = tmp_path / f"{name.replace('/', '-')}.crops.h5"
        extract(tmp_path / name, {"1": original}, out, box_space="original", **SPREAD_CALL)
        with open_crops(out) as crops:
            assert np.array_equal(crops.boxes, boxes.astype(np.float32))


def test_export_gives_the_original_boxes_back(tmp_path):
    written(tmp_path / "p.h5")
    original = (random_boxes(9) - np.tile(OFFSET, 2)) / np.tile(FACTOR, 2)
    extract(tmp_path / "p.h5", {"1": original}, tmp_path / "c.h5", box_space="original", **SPREAD_CALL)
    command = ["export", tmp_path / "c.h5", tmp_path / "e.h5", "--layout", "groups"]
    command += ["--box-space", "original", "--pyramid", tmp_path / "p.h5"]
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    found = []
    with h5py.File(tmp_path / "e.h5") as file:
        file.visititems(lambda name, item: found.append(item[()]) if name.endswith("boxes") else None)
    assert any(array.shape == (9, 4) and np.allclose(array, original, rtol=1e-5, atol=1e-3) for array in found)


@pytest.mark.parametrize("value", [(1.0,), (np.nan, 0), "text", (1, 2, 3)])
def test_an_offset_that_is_none_is_refused(tmp_path, value):
    written(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "a") as file:
        file["1"].attrs["offset"] = value
    with pytest.raises(InputError, match="/1: offset: expected two finite numbers"):
        extract(tmp_path / "p.h5", {"1": random_boxes(9)}, tmp_path / "c.h5", box_space="original")


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_and_validate_know_offsets(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    info = json.loads(run("inspect", path, "--json").stdout)
    assert info["offset"] == {"x": [0, 8], "y": [-3, 1]}
    assert "offset        0 to 8 x -3 to 1 input pixels" in run("inspect", path).stdout
    original = (np.array([[10, 10, 50, 50]]) - [*OFFSET, *OFFSET]) / [*FACTOR, *FACTOR]
    boxes = write_json(tmp_path / "boxes.json", {"1": original.tolist()})
    checked = json.loads(run("validate", path, boxes, "--box-space", "original", "--json").stdout)
    assert checked["extractable"]
    assert not checked["findings"]


def test_a_picture_beyond_its_map_is_found(tmp_path):
    far = {**PAIRS, "offsets": [(0, 0), (40, 0), (0, 0)]}
    path = write_batched(tmp_path / "p.h5", **far)
    boxes = write_json(tmp_path / "boxes.json", {"1": [[10, 10, 50, 50]], "0": [[10, 10, 50, 50]]})
    (found,) = json.loads(run("validate", path, boxes, "--box-space", "original", "--json").stdout)["findings"]
    assert (found["check"], found["fatal"], found["count"]) == ("image sizes contradict the levels", False, 1)
    assert "image '1': 160 x 250 original pixels are 120 x 62.5 input pixels" in found["examples"][0]


def test_sizes_that_contradict_the_box_file_are_found(tmp_path):
    path = write_batched(tmp_path / "p.h5", **PAIRS)
    boxes = coco([[10, 10, 50, 50]], ["1"])
    boxes["images"][0].update(width=250, height=160)
    boxes = write_json(tmp_path / "boxes.json", boxes)
    arguments = (path, boxes, "--box-space", "original", "--image-key", "id")
    result = run("validate", *arguments)
    assert result.exit_code == 3
    assert "error: image sizes differ" in result.stdout
    assert "of 160 x 250, turned by its orientation" in result.stdout
    refused = run("extract", *arguments, "-o", tmp_path / "c.h5")
    assert refused.exit_code == 3
    assert "of 160 x 250, turned by its orientation" in refused.stderr
