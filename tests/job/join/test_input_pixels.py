"""Boxes in input pixels take the place of a table's own numbers, and images of the pyramid that of the file's."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.core import arrays
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.join.images import numbered_as
from msroi_cli.job.join.input_pixels import InputBoxes
from msroi_cli.job.request import BoxOptions
from tests.builders import IDS, random_boxes, write_batched

COUNT = 50


@pytest.fixture
def pyramid(tmp_path):
    with open_pyramid(str(write_batched(tmp_path / "maps.h5", ids=IDS)), LevelChoice()) as opened:
        yield opened


def with_room(boxes, room):
    """The same boxes, in an array with room for more."""
    found = np.empty((len(boxes) + room, 4), boxes.dtype)
    found[: len(boxes)] = boxes
    return found[: len(boxes)]


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("box_format", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("room", [0, 40_000])
def test_in_place(monkeypatch, pyramid, room, box_format, normalized):
    monkeypatch.setattr(arrays, "AT_ONCE", 7)
    boxes = with_room(random_boxes(COUNT).astype(np.float64) / 3, room)
    image = np.arange(COUNT) % 3
    table = BoxTable("rows", boxes, image, box_format, normalized)
    inputs = InputBoxes(table, image, pyramid, BoxOptions())
    expected = inputs.all()
    assert inputs[3:9].tobytes() == expected[3:9].tobytes()
    found = inputs.in_place()
    assert found.tobytes() == expected.tobytes()
    assert np.shares_memory(found, boxes)
    assert expected.shape == found.shape == (COUNT, 4)


@pytest.mark.parametrize("kind", ["float32", "columns", "read-only", "not its own", "rows"])
def test_not_in_place(pyramid, kind):
    own = random_boxes(COUNT).astype(np.float64)
    boxes = {
        "float32": own.astype(np.float32),
        "columns": np.hstack([own, own])[:, :4],
        "read-only": own.copy(),
        "not its own": np.frombuffer(bytearray(own.tobytes())).reshape(-1, 4),
        "rows": np.vstack([own, own])[COUNT:],
    }[kind]
    boxes.flags.writeable = kind != "read-only"
    before = boxes.copy()
    table = BoxTable("rows", boxes, np.zeros(COUNT, np.int64), "xywh")
    found = InputBoxes(table, table.image, pyramid, BoxOptions()).in_place()
    assert not np.shares_memory(found, boxes)
    assert boxes.tobytes() == before.tobytes()


def test_images_are_numbered_as_in_the_pyramid():
    table = BoxTable("rows", np.zeros((5, 4)), np.array([1, 0, 2, 1, 1], np.int32), image_ids=["4.jpg", "17", "5"])
    images = np.array([0, 3, 1, 0, 0], np.int32)
    found = numbered_as(table, images, 5)
    assert found.image is images
    assert [found.image_name(row) for row in range(5)] == [table.image_name(row) for row in range(5)]
    unknown = np.array([0, -1, 1, 0, 0], np.int32)
    assert numbered_as(table, unknown, 5) is table


@pytest.mark.parametrize("image", [[0, 2, 1, 2], [0, -1, 1, -2]], ids=["known", "unknown"])
@pytest.mark.parametrize("moved", [0.0, 3.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale_factors_and_offsets(tmp_path, dtype, moved, image):
    """To the bit: what 0 is added to is never -0; boxes of no image stay as they are."""
    factors, offsets = np.array([[1.5, 0.5], [0.3, 1.0], [2.0, 0.7]]), np.array([[0, 0], [moved, 0], [0, -moved]])
    path = write_batched(tmp_path / "scaled.h5", ids=IDS, scale_factors=factors, offsets=offsets)
    boxes = np.array([[-0.0, 1, 5, 7], [-0.0, -0.0, 9, 3], [0.1, 0.2, 0.3, 0.7], [-0.0, 2, 3, 1e30]], dtype)
    images = np.array(image, np.int32)
    with open_pyramid(str(path), LevelChoice()) as pyramid:
        found = InputBoxes(BoxTable("rows", boxes, images), images, pyramid, BoxOptions(box_space="original"))
        pieces, every = np.concatenate([found[:1], found[1:]]), found.all()
    expected = boxes.astype(np.float64)
    for row, number in enumerate(image):
        if number >= 0:
            expected[row] = expected[row] * np.tile(factors[number], 2) + np.tile(offsets[number], 2)
    assert pieces.tobytes() == every.tobytes() == expected.astype(np.float32).tobytes()
