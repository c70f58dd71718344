"""Boxes in YOLO's label folders: a text file an image, a line a box: class, center and size, confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, unreadable
from msroi_cli.io.boxes.table import BoxTable, whole_numbers
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.files.natural import natural_key

CLASS_NAMES = "classes.txt"
LIKE = "class cx cy w h, and optionally confidence"


def label_files(folder: Path) -> list[Path]:
    """The `.txt` files of a folder that are labels, in natural order."""
    found = [path for path in folder.glob("*.txt") if path.name != CLASS_NAMES]
    return sorted(found, key=lambda path: natural_key(path.stem))


def read_yolo_folder(folder: Path) -> tuple[BoxTable, bytes]:
    """The boxes of all `.txt` files of a folder in natural order, image ids being their stems; and what was read.

    Numbers are fractions of the picture's width and height. `classes.txt`, a name a line, is not labels.
    Raises InputError that names the file and the line.
    """
    try:
        contents = [(path, path.read_bytes()) for path in label_files(folder)]
    except OSError as error:
        raise unreadable(error.filename, error) from error
    if not contents:
        raise InputError(f"{folder}: expected a folder of YOLO labels, .txt files of {LIKE}, got none")
    parts = [_parse(str(path), content) for path, content in contents]
    counts = [len(part) for part in parts]
    rows = np.concatenate([np.empty((0, 6)), *parts])
    scored = ~np.isnan(rows[:, 5])
    if scored.any() and not scored.all():
        owner = np.repeat(np.arange(len(counts)), counts)[np.flatnonzero(~scored)[0]]
        raise InputError(f"{contents[owner][0]}: expected a confidence in each line, as in other files, got none")
    columns: dict[str, NDArray[Any]] = {"category_id": whole_numbers(str(folder), rows[:, 0], "class")}
    if scored.any():
        columns["score"] = rows[:, 5]
    table = BoxTable(
        "YOLO labels",
        rows[:, 1:5],
        np.repeat(np.arange(len(contents)), counts),
        box_format="cxcywh",
        normalized=True,
        image_ids=[path.stem for path, _ in contents],
        columns=BoxColumns(columns),
    )
    return table, b"".join(path.name.encode() + b"\0" + content + b"\0" for path, content in contents)


def _parse(name: str, content: bytes) -> NDArray[np.float64]:
    """The lines of a file, (k, 6): NaN where a line has no confidence."""
    rows = []
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        words = line.split()
        if words:
            rows.append(_line(f"{name}:{number}", words, line))
    return np.array(rows, np.float64).reshape(-1, 6)


def _line(where: str, words: list[str], line: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) not in (5, 6):
        what = "an outline or a rotated box" if len(values) > 6 else repr(line[:60])
        raise InputError(f"{where}: expected {LIKE}, got {what}")
    if not all(-1 <= value <= 2 for value in values[1:5]):
        raise InputError(f"{where}: expected fractions of the picture's width and height, got {line[:60]!r}")
    return [*values, float("nan")][:6]
