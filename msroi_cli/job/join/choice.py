"""Which boxes of a file are used: by category, score, image and size, and the best of each image.

Boxes are chosen by what the file says of them, before it is checked whether they can be pooled.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.refusal import refusing
from msroi_cli.io.numbers import Indices
from msroi_cli.job.request import BoxChoice

LISTED = 5
LONGEST_ID = 19


class Choosing:
    """The boxes of a table that are chosen so far.

    table: those boxes. left_out: how many are not, by what they were left out for, each counted once.
    """

    def __init__(self, table: BoxTable, choice: BoxChoice) -> None:
        self.table = table
        self.left_out: dict[str, int] = {}
        self._choice = choice

    def by_file(self) -> None:
        """Keeps the categories and scores that are asked for; raises UsageError if the file has none."""
        choice = self._choice
        if choice.categories is not None:
            ids = category_ids(self.table, choice.categories)
            self._keep("category", np.isin(self._column("category_id", "--categories"), ids))
        if choice.min_score is not None:
            self._keep("score", self._column("score", "--min-score") >= choice.min_score)

    def by_image(self, asked: NDArray[np.bool_]) -> None:
        """Keeps the boxes whose images are `asked` (k,) for."""
        self._keep("image", asked)

    def by_size(self, sizes: NDArray[np.floating]) -> None:
        """Keeps boxes of at least the size; sizes: (k,) sqrt(w * h) in input pixels, NaN of boxes without one."""
        if self._choice.min_size is not None:
            self._keep("size", ~(sizes < self._choice.min_size))

    def by_rank(self) -> None:
        """Keeps the boxes of each image with the highest scores, of equal ones the first; NaN is lowest."""
        if self._choice.top is None:
            return
        best = ranks(self._column("score", "--top"), self.table.image) < self._choice.top
        self._keep("rank", best)

    def _column(self, name: str, option: str) -> NDArray[np.float64]:
        values = self.table.columns.get(name)
        if values is None and not len(self.table.boxes):
            return np.empty(0)
        if values is None:
            raise UsageError(f"{option}: expected boxes with {name}, got none in {self.table.kind}")
        return values

    def _keep(self, reason: str, kept: NDArray[np.bool_]) -> None:
        if not kept.all():
            self.left_out[reason] = int(len(kept) - np.count_nonzero(kept))
            self.table = self.table.take(np.flatnonzero(kept))


def ranks(scores: NDArray[np.float64], images: Indices) -> NDArray[np.int64]:
    """The rank of each of K boxes among those of its image, from 0: highest scores first, of equal ones the first.

    scores, images: (K,). NaN is lowest.
    """
    order = np.lexsort((-scores, images))
    image = images[order]
    first = np.flatnonzero(np.diff(image, prepend=image[:1] - 1))
    rank = np.empty(len(image), np.int64)
    rank[order] = np.arange(len(image)) - np.repeat(first, np.diff(first, append=len(image)))
    return rank


def category_ids(table: BoxTable, categories: Iterable[int | str]) -> list[int]:
    """The ids of categories that are given by id or by name.

    Raises UsageError for a category that the file, if it names its categories, does not have, and for a number that is
    the id of one category and the name of another.
    """
    names = table.category_names
    found: list[int] = []
    for category in categories:
        text = str(category)
        named = [key for key, name in names.items() if name == text] if isinstance(category, str) else []
        number = int(text) if text.lstrip("-").isdecimal() and len(text) < LONGEST_ID else None
        if number is not None and (not names or number in names):
            if named and named != [number]:
                raise UsageError(
                    f"--categories: expected an id or a name, got {text!r}, the id of {names[number]!r} and the name "
                    f"of category {named[0]}"
                )
            found.append(number)
        elif named:
            found += named
        else:
            known = [f"{name} ({key})" for key, name in list(names.items())[:LISTED]]
            more = ", ..." if len(names) > LISTED else ""
            expected = f"one of {', '.join(known)}{more}" if known else f"numbers, {table.kind} has no names of them"
            raise UsageError(f"--categories: expected {expected}, got {text!r}")
    return found


def known_images(asked: Iterable[str], known: Iterable[str], where: object, *, all_known: bool) -> set[str]:
    """The ids that are asked for; raises UsageError for one that is not known, if all must be."""
    wanted = set(asked)
    names = list(known)
    unknown = wanted.difference(names)
    if unknown and all_known:
        first = min(unknown)
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UsageError(f"--images: expected ids of images in {where}, such as {names[:LISTED]}, got {first!r}{more}")
    return wanted


def image_ids_of(text: str) -> tuple[str, ...]:
    """The ids in `17,4`, or in `@FILE`, a line each; raises InputError for a file without any."""
    if not text.startswith("@"):
        found = [part.strip() for part in text.split(",")]
    else:
        path = Location.parse(text[1:]).path
        with refusing(path):
            found = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    ids = tuple(dict.fromkeys(one for one in found if one))
    if not ids:
        raise InputError(f"--images {text}: expected ids of images, got none")
    return ids
