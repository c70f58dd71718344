"""Reading takes time in proportion to what is read: twice the input, about twice the work."""

from __future__ import annotations

import contextlib
import json
import sys
import time

import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.json_file import parse_boxes
from msroi_cli.io.export.model import safe_names

# Lines of Python are counted, which does not depend on how busy the machine is.
GROWTH = 2.6


def lines_run(call, *arguments):
    """How many lines of Python a call runs to its end, which may be an InputError."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call(*arguments)
    except InputError:
        pass
    finally:
        sys.settrace(previous)
    return count


def repeated_key(count):
    keys = [*range(count), count - 1]
    return "{" + ", ".join(f'"{key}": []' for key in keys) + "}"


def repeated_image(count):
    images = [{"id": key} for key in [*range(count), count - 1]]
    return json.dumps({"images": images, "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]})


DOCUMENTS = {
    "rows": lambda count: json.dumps([[0, 1, 2, 3, 4]] * count),
    "rows, the last of them wrong": lambda count: json.dumps([[0, 1, 2, 3, 4]] * count + [[1]]),
    "lines": lambda count: "[0, 1, 2, 3, 4]\n" * count,
    "lines, the last of them wrong": lambda count: "[0, 1, 2, 3, 4]\n" * count + "[",
    "boxes by image": lambda count: json.dumps({str(key): [[1, 2, 3, 4]] for key in range(count)}),
    "boxes by image, one of them twice": repeated_key,
    "COCO": lambda count: json.dumps([{"image_id": key, "bbox": [1, 2, 3, 4], "score": 1} for key in range(count)]),
    "COCO, an image twice": repeated_image,
    "COCO, the last without a score": lambda count: json.dumps(
        [{"image_id": key, "bbox": [1, 2, 3, 4], "score": 1} for key in range(count)]
        + [{"image_id": 1, "bbox": [1] * 4}]
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.sampled(3)
def test_box_files(name):
    once, twice = (lines_run(parse_boxes, name, DOCUMENTS[name](count).encode()) for count in (500, 1000))
    assert twice < GROWTH * once


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.sampled(9)
def test_box_files_in_c(name):
    """What Python does in C does not count as lines: a few seconds are enough, where a square would take minutes."""
    content = DOCUMENTS[name](60_000).encode()
    started = time.process_time()
    with contextlib.suppress(InputError):
        parse_boxes(name, content)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "ids",
    [
        lambda count: ["x" * 300 + str(number) for number in range(count)],
        lambda count: ["same"] * count,
        lambda count: [text for number in range(count // 2) for text in ("A", f"a%{number}")],
    ],
)
@pytest.mark.sampled(3)
def test_names_of_exported_files(ids):
    once, twice = (lines_run(safe_names, ids(count)) for count in (400, 800))
    assert twice < GROWTH * once


def test_names_of_exported_files_are_as_before():
    """The numbers count on from the first name that is free."""
    assert safe_names(["a", "A", "a", "a%2", "b"]) == ["a", "A%2", "a%3", "a%252", "b"]
    assert np.unique(safe_names(["x" * 200] * 50)).size == 50
