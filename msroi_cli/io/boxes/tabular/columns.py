"""Which column of a table is which: by the usual names, or as the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.columns import BOX_COLUMNS

CORNERS, CORNER_AND_SIZE, CENTER_AND_SIZE = ("x1", "y1", "x2", "y2"), ("x", "y", "w", "h"), ("cx", "cy", "w", "h")
FORMAT_COLUMNS = {"xyxy": CORNERS, "xywh": CORNER_AND_SIZE, "cxcywh": CENTER_AND_SIZE}
"""The columns of each box format."""

ALIASES: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "imageid", "image"),
    "file_name": ("file_name", "filename"),
    "image_index": ("image_index",),
    "x1": ("x1", "xmin", "x_min"),
    "y1": ("y1", "ymin", "y_min"),
    "x2": ("x2", "xmax", "x_max"),
    "y2": ("y2", "ymax", "y_max"),
    "x": ("x",),
    "y": ("y",),
    "cx": ("cx", "x_center", "xcenter"),
    "cy": ("cy", "y_center", "ycenter"),
    "w": ("w", "width"),
    "h": ("h", "height"),
    "box": ("box", "boxes"),
    "score": ("score", "confidence"),
    "category_id": ("category_id", "category", "class_id", "class", "label"),
    "annotation_id": ("annotation_id", "id"),
}
"""The names under which each column is known; capitals make no difference."""

IMAGE_COLUMNS = ("image_id", "file_name", "image_index")
TRAVELLING = tuple(column.name for column in BOX_COLUMNS)

EXPECTED = (
    "a header with image_id, image or file_name; x1 y1 x2 y2, x y w h or cx cy w h; and optionally score, "
    "category_id, annotation_id"
)


@dataclass(frozen=True, slots=True)
class TableColumns:
    """What the columns of a table are.

    by_meaning: the header's name of each column that is read, by its key in ALIASES. box_format: as in FORMAT_COLUMNS.
    """

    by_meaning: Mapping[str, str]
    box_format: str

    @property
    def box(self) -> list[str]:
        """The header's names of the four numbers, or of the one column that holds them."""
        if "box" in self.by_meaning:
            return [self.by_meaning["box"]]
        return [self.by_meaning[name] for name in FORMAT_COLUMNS[self.box_format]]

    @property
    def texts(self) -> dict[str, str]:
        """The header's names of the columns that are texts, by key."""
        return {key: self.by_meaning[key] for key in ("image_id", "file_name") if key in self.by_meaning}

    @property
    def numbers(self) -> dict[str, str]:
        """The header's names of the columns of numbers besides the box, by key."""
        return {key: self.by_meaning[key] for key in ("image_index", *TRAVELLING) if key in self.by_meaning}


def find_columns(where: str, header: Sequence[str], given: Mapping[str, str] | None = None) -> TableColumns:
    """The columns of a table with this header.

    given: the header's name of a column by its key in ALIASES, "" for a column that is left out.

    Raises InputError for a header that lacks columns or can be read in two ways, UsageError for `given` names that are
    not in it.
    """
    given = given or {}
    for key, name in given.items():
        if key not in ALIASES:
            raise UsageError(f"--columns: expected {', '.join(ALIASES)} or delimiter before =, got {key!r}")
        if name and name not in header:
            raise UsageError(f"--columns: {key}: expected a column of {where}, got {name!r}; it has {_listed(header)}")
    found = {key: _find(where, key, header, given) for key in ALIASES}
    known = {key: name for key, name in found.items() if name is not None}
    return TableColumns(_one_image_column(where, known, header), _box_format(where, known, header, given))


def _find(where: str, key: str, header: Sequence[str], given: Mapping[str, str]) -> str | None:
    """The column that is meant by `key`; None if there is none."""
    if key in given:
        return given[key] or None
    taken = set(given.values())
    matches = [name for name in header if name.strip().lower() in ALIASES[key] and name not in taken]
    # `category_id` beside `category`, a name, is the id.
    matches = [name for name in matches if name.strip().lower() == key] or matches
    if len(matches) > 1:
        raise InputError(
            f"{where}: expected one column for {key}, got {_listed(matches)}; --columns {key}=NAME says which"
        )
    return matches[0] if matches else None


def _one_image_column(where: str, known: dict[str, str], header: Sequence[str]) -> dict[str, str]:
    if not any(key in known for key in IMAGE_COLUMNS):
        raise InputError(f"{where}: expected {EXPECTED}; got no column for the image among {_listed(header)}")
    if "image_index" in known and len([key for key in IMAGE_COLUMNS if key in known]) > 1:
        raise InputError(f"{where}: expected image_index or image ids, got both in {_listed(header)}")
    return known


def _box_format(where: str, known: Mapping[str, str], header: Sequence[str], given: Mapping[str, str]) -> str:
    """The one box format whose columns are there; columns that the user named settle it."""
    complete = [name for name, columns in FORMAT_COLUMNS.items() if all(column in known for column in columns)]
    named = [name for name in complete if set(FORMAT_COLUMNS[name]) & set(given)]
    if "box" in known and ("box" in given or not complete):
        return "xyxy"
    complete = named or complete
    if not complete:
        raise InputError(f"{where}: expected {EXPECTED}; got no four columns of a box among {_listed(header)}")
    if len(complete) > 1 or ("box" in known and not named):
        raise InputError(
            f"{where}: expected the columns of one box format, got those of {' and '.join(complete)} in "
            f"{_listed(header)}; --columns x1=NAME,y1=NAME,x2=NAME,y2=NAME says which"
        )
    return complete[0]


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 120 else text[:117] + "..."
