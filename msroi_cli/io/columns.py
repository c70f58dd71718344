"""The columns that travel with boxes, from the box file through the crops file to exports: named here and nowhere else.

A further column is one more line in `BOX_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError


class BoxColumn(NamedTuple):
    """A column with one value a box: its name in files of ours, its dtype, its key in a COCO record.

    other_names: what arrays of it are called elsewhere, as by torchvision.
    """

    name: str
    dtype: np.dtype[Any]
    coco_key: str
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that an array of it may have."""
        return (self.name, *self.other_names)

    def name_in(self, where: object, present: Container[str]) -> str | None:
        """Which of its names is present, None if none is; raises InputError if two are."""
        found = [name for name in self.names if name in present]
        if len(found) > 1:
            raise InputError(f"{where}: expected one of {' and '.join(found)}, got both")
        return found[0] if found else None


BOX_COLUMNS = (
    BoxColumn("score", np.dtype(np.float64), "score", ("scores",)),
    BoxColumn("category_id", np.dtype(np.int64), "category_id", ("labels",)),
    BoxColumn("annotation_id", np.dtype(np.int64), "id"),
)


class BoxColumns(Mapping[str, NDArray[Any]]):
    """The columns that K boxes have, by name: arrays (K,), in the order of `BOX_COLUMNS`."""

    def __init__(self, values_by_name: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Raises TypeError for columns that are not in `BOX_COLUMNS`."""
        given = values_by_name or {}
        self._by_name = {one.name: given[one.name] for one in BOX_COLUMNS if one.name in given}
        if len(self._by_name) < len(given):
            raise TypeError(f"expected columns of boxes, got {', '.join(given)}")

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def take(self, rows: Any) -> BoxColumns:
        """The columns of the boxes `rows`: numbers or a mask."""
        return BoxColumns({name: values[rows] for name, values in self.items()})

    @classmethod
    def joined(cls, parts: Sequence[BoxColumns]) -> BoxColumns:
        """The columns that every one of `parts` has, one part after the other."""
        names = [one.name for one in BOX_COLUMNS if parts and all(one.name in part for part in parts)]
        return cls({name: np.concatenate([part[name] for part in parts]) for name in names})
