"""What `extract` warns of before it starts: what `validate` finds, as long as it is no error, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import RowsOfBoxes
from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.geometry import CHECKED_FIRST
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.boxes import findings_of, undecided, unknown_images
from msroi_cli.job.validate.findings import Finding
from msroi_cli.job.validate.reading import Joined
from msroi_cli.job.validate.sizes import level_findings, size_findings

# Takes boxes (K, 4), their images (K,) and the reasons (K,) why they cannot be pooled; gives images, ascending.
Own = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]], NDArray[np.int64]]


@dataclass(slots=True)
class Examiner:
    """Examines the boxes of a job while their table is there.

    every_image: look at the levels of all images that have boxes, not of the first CHECKED_FIRST alone. own: of a
    shard, the images that are its own: of all images, these are looked at besides the first CHECKED_FIRST.
    found: the warnings.
    """

    pyramid: Pyramid
    options: BoxOptions
    every_image: bool
    own: Own | None = None
    found: list[Finding] = field(default_factory=list)

    def examine(
        self,
        table: BoxTable,
        images: Indices,
        boxes: RowsOfBoxes,
        reasons: NDArray[np.uint8],
        left_out: Mapping[str, int],
    ) -> None:
        """Finds what is implausible about boxes (K, 4) in input pixels; see `job.join.boxes.Examine`."""
        most = CHECKED_FIRST if self.own is not None or not self.every_image else None
        besides = self.own(boxes[:], images, reasons) if self.own is not None and self.every_image else None
        sizes, about_sizes = size_findings(self.pyramid, table, images, self.options, most, besides)
        joined = Joined(table, images, sizes, self.pyramid, self.options)
        findings = [
            *level_findings(self.pyramid),
            *unknown_images(table, images, self.pyramid, self.options),
            *about_sizes,
            *findings_of(boxes, reasons, joined, left_out),
        ]
        # What is an error, the job raises itself.
        self.found = [finding for finding in findings if not finding.fatal]

    def refuse(self) -> None:
        """Raises InputError for warnings, as --strict has it."""
        found = undecided(self.found)
        if found:
            lines = "; ".join(_line(finding) for finding in found)
            raise InputError(f"{self.pyramid.location}: --strict: expected no warnings, got {len(found)}: {lines}")


def _line(finding: Finding) -> str:
    example = f" ({finding.examples[0]})" if finding.examples else ""
    return f"{finding.check}, {finding.count:,} of {finding.of:,} {finding.what}{example}: {finding.advice}"
