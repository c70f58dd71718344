"""What `msroi validate` has found, one kind of problem each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import slices
from msroi_cli.io.boxes.table import BoxTable

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem.

    check: what was looked for, in a few words. fatal: whether `extract` would refuse to work because of it.
    count: how many boxes, crops, images or levels have it, of `of`; `what` says which of these. examples: the first.
    advice: what to do, naming the option where there is one. rows: of the examples, in the box file or of the crops.
    """

    check: str
    fatal: bool
    count: int
    of: int
    what: str
    examples: Sequence[str]
    advice: str
    rows: Sequence[int] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "examples": list(self.examples), "rows": list(self.rows)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Finding:
        """Reads what `as_dict` gave; what is missing or of another kind is left empty."""
        texts = {name: str(values.get(name, "")) for name in ("check", "what", "advice")}
        count, of = (_whole(values.get(name)) for name in ("count", "of"))
        examples, rows = (value if isinstance(value, list) else [] for value in map(values.get, ("examples", "rows")))
        return cls(
            texts["check"],
            values.get("fatal") is True,
            count,
            of,
            texts["what"],
            list(map(str, examples)),
            texts["advice"],
            list(map(_whole, rows)),
        )


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def of_boxes(check: str, table: BoxTable, bad: NDArray[np.bool_], advice: str, *, fatal: bool) -> list[Finding]:
    """The finding about the boxes that are `bad` (K,); none if none are."""
    count = int(np.count_nonzero(bad))
    if not count:
        return []
    rows = first_rows(bad, EXAMPLES)
    examples = [example(table, row) for row in rows]
    return [Finding(check, fatal, count, len(bad), "boxes", examples, advice, [table.row(row) for row in rows])]


def first_rows(mask: NDArray[np.bool_], count: int) -> list[int]:
    """The first `count` rows that a mask (K,) has, or all of them if there are fewer."""
    found: list[int] = []
    for rows in slices(len(mask)):
        found += (rows.start + np.flatnonzero(mask[rows])[: count - len(found)]).tolist()
        if len(found) == count:
            break
    return found


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
