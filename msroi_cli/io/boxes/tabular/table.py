"""A BoxTable out of the columns of a table, whatever read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable, whole_numbers
from msroi_cli.io.boxes.tabular.columns import TRAVELLING, TableColumns
from msroi_cli.io.columns import BoxColumns
from msroi_cli.io.numbers import Indices, as_float64


@dataclass(frozen=True, slots=True)
class CodedTexts:
    """A column of K texts: codes (K,), whole numbers, into the different `values`."""

    codes: Indices
    values: list[str]

    @classmethod
    def of(cls, texts: list[str]) -> CodedTexts:
        """The column `texts`; values in the order in which they first occur."""
        code = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        return cls(np.fromiter(map(code.__getitem__, texts), np.int64, len(texts)), list(code))


@dataclass(frozen=True, slots=True)
class TableContent:
    """The columns of a table that are read.

    boxes: (K, 4) float64, NaN for what is missing. texts: `image_id` and `file_name`. numbers: (K,) arrays of the
    other columns, by their key in ALIASES.
    """

    boxes: NDArray[np.float64]
    texts: Mapping[str, CodedTexts]
    numbers: Mapping[str, NDArray[Any]]


def box_table(where: str, kind: str, columns: TableColumns, content: TableContent) -> BoxTable:
    """The boxes; raises InputError where ids are not whole numbers, or an image has two file names."""
    image, ids, names = _images(where, content)
    travelling: dict[str, NDArray[Any]] = {}
    for key in TRAVELLING:
        if key in content.numbers:
            values = content.numbers[key]
            travelling[key] = _scores(values) if key == "score" else whole_numbers(where, values, key)
    return BoxTable(
        kind,
        content.boxes,
        image,
        box_format=columns.box_format,
        image_ids=ids,
        file_names=names,
        columns=BoxColumns(travelling),
    )


def _scores(values: NDArray[Any]) -> NDArray[np.float64]:
    return values if values.dtype == np.float64 else as_float64(values)


def _images(where: str, content: TableContent) -> tuple[Indices, list[str] | None, dict[str, str]]:
    """The image of each box, the image ids, and their file names where both are there."""
    if "image_index" in content.numbers:
        index = content.numbers["image_index"]
        return index if index.dtype == np.int32 else whole_numbers(where, index, "image_index"), None, {}
    ids = content.texts.get("image_id")
    names = content.texts.get("file_name")
    if ids is None or names is None:
        known = ids or names
        assert known is not None, "find_columns requires one"
        return known.codes, known.values, {}
    # Of several boxes of an image any may win: if all have its name, they all are alike.
    name_of = np.zeros(len(ids.values), names.codes.dtype)
    name_of[ids.codes] = names.codes
    if not (name_of[ids.codes] == names.codes).all():
        _refuse_two_names(where, ids, names)
    named = zip(ids.values, name_of.tolist(), strict=True)
    return ids.codes, ids.values, {image: names.values[name] for image, name in named}


def _refuse_two_names(where: str, ids: CodedTexts, names: CodedTexts) -> None:
    """Raises InputError for the first image that has two names."""
    pairs = np.unique(np.column_stack([ids.codes, names.codes]), axis=0)
    twice = np.flatnonzero(np.diff(pairs[:, 0]) == 0)
    one, other = (names.values[pairs[row, 1]] for row in (twice[0], twice[0] + 1))
    image = ids.values[pairs[twice[0], 0]]
    raise InputError(f"{where}: expected one file_name for image {image!r}, got {one!r} and {other!r}")
