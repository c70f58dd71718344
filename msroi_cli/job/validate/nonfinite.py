"""Crops with NaN or infinities: the warning about them, and the error that `--on-nonfinite error` makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from msroi_cli.io.crops.record import NonfiniteRows
from msroi_cli.job.validate.findings import Finding

CHECK = "crops not finite"
ADVICE = "features have NaN or infinities there, or are too large for the data type of the crops (--dtype)"
NO_IMAGE = "unknown"

# Names are shown up to this length.
LONGEST_NAME = 40


class Rows(NamedTuple):
    """What names the rows of crops: the columns of the crops file by name, the image ids, the names of the levels."""

    columns: Mapping[str, NDArray[Any]]
    image_ids: Sequence[str]
    levels: Sequence[str]

    def text(self, row: int) -> str:
        """A row in words: its number, its image and its level."""
        image, level = int(self.columns["image_index"][row]), int(self.columns["level"][row])
        name = self.image_ids[image] if image >= 0 else NO_IMAGE
        return f"row {row}: image {name[:LONGEST_NAME]!r}, level {self.levels[level][:LONGEST_NAME]}"


def nonfinite_findings(found: NonfiniteRows, rows: Rows) -> list[Finding]:
    """The warning about crops that are not finite; none if all are."""
    if not found.count:
        return []
    of = len(rows.columns["level"])
    return [Finding(CHECK, False, found.count, of, "crops", list(map(rows.text, found.first)), ADVICE, found.first)]


def nonfinite_error(found: NonfiniteRows, rows: Rows) -> str:
    """What is wrong if crops have to be finite."""
    listed = "; ".join(map(rows.text, found.first))
    more = f"; and {found.count - len(found.first)} more" if found.count > len(found.first) else ""
    return (
        f"expected finite crops, got {found.count} with NaN or infinities so far: {listed}{more} ({ADVICE}; "
        "--resume --on-nonfinite warn continues with them)"
    )


def nonfinite_rows(warnings: Sequence[Mapping[str, Any]]) -> NonfiniteRows:
    """What the warnings of a crops file say of its rows that are not finite."""
    for finding in map(Finding.parse, warnings):
        if finding.check == CHECK:
            return NonfiniteRows(finding.count, tuple(finding.rows))
    return NonfiniteRows()


def of_inputs(warnings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The warnings that were known before the first crop."""
    return [warning for warning in warnings if warning.get("check") != CHECK]
