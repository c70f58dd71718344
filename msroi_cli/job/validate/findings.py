"""What `msroi validate` has found, one kind of problem each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.io.boxes.table import BoxTable

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem.

    check: what was looked for, in a few words. fatal: whether `extract` would refuse to work because of it.
    count: how many boxes, images or levels have it, of `of`; `what` says which of these. examples: the first few.
    advice: what to do, naming the option where there is one.
    """

    check: str
    fatal: bool
    count: int
    of: int
    what: str
    examples: Sequence[str]
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def of_boxes(check: str, table: BoxTable, bad: NDArray[np.bool_], advice: str, *, fatal: bool) -> list[Finding]:
    """The finding about the boxes that are `bad` (K,); none if none are."""
    rows = np.flatnonzero(bad)
    if not rows.size:
        return []
    examples = [example(table, int(row)) for row in rows[:EXAMPLES]]
    return [Finding(check, fatal, int(rows.size), len(bad), "boxes", examples, advice)]


def example(table: BoxTable, row: int) -> str:
    """A box in words: its row in the file, its image and its numbers."""
    image = table.image[row] if table.image_ids is None else repr(table.image_ids[table.image[row]])
    numbers = ", ".join(f"{value:g}" for value in table.boxes[row])
    return f"row {table.row(row)}: image {image}, ({numbers})"


def refusal(check: str, error: Exception, advice: str = "") -> Finding:
    """What was refused as a whole."""
    return Finding(check, True, 1, 1, "", [str(error)], advice)


def fatal(findings: Iterable[Finding]) -> bool:
    """Whether `extract` would refuse to work."""
    return any(finding.fatal for finding in findings)
