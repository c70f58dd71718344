"""What is wrong with boxes that were joined with a pyramid, and what is valid but implausible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import REASONS, RowsOfBoxes
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.boxes import BAD_BOX_ADVICE, UNKNOWN_IMAGE, UNKNOWN_IMAGE_ADVICE, reason_counts
from msroi_cli.job.join.boxes import invalid_reasons as reasons_of
from msroi_cli.job.join.images import UNKNOWN, advice_on_unknown
from msroi_cli.job.join.input_pixels import to_input_pixels
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.findings import Finding, of_boxes, refusal
from msroi_cli.job.validate.plausibility import plausibility_findings
from msroi_cli.job.validate.reading import Joined, Reading, read_boxes, reading

UNKNOWN_IMAGE_CHECK = "image unknown"
NOTHING_LEFT = "no box is left to pool"

# --on-bad-box and --on-unknown-image decide about these.
DECIDED = {*REASONS, UNKNOWN_IMAGE_CHECK}


def undecided(findings: Iterable[Finding]) -> list[Finding]:
    """The warnings about which no option has decided."""
    return [finding for finding in findings if not finding.fatal and finding.check not in DECIDED]


def unknown_images(table: BoxTable, images: Indices, pyramid: Pyramid, options: BoxOptions) -> list[Finding]:
    """Boxes of images that the pyramid does not have."""
    unknown = images == UNKNOWN
    if not unknown.any():
        return []
    advice = f"{advice_on_unknown(table, pyramid, images, options.image_key)}; {UNKNOWN_IMAGE_ADVICE}"
    return of_boxes(UNKNOWN_IMAGE_CHECK, table, unknown, advice, fatal=options.on_unknown_image == "error")


def box_findings(joined: Joined, left_out: Mapping[str, int]) -> list[Finding]:
    """Everything about boxes but unknown images; left_out: how many were not chosen, by reason."""
    try:
        boxes = to_input_pixels(joined.table, joined.images, joined.pyramid, joined.options)
    except (InputError, UsageError) as error:
        return [refusal("box options", error, _space_advice(joined))]
    return findings_of(boxes, reasons_of(boxes, joined.images), joined, left_out)


def findings_of(
    boxes: RowsOfBoxes, reasons: NDArray[np.uint8], joined: Joined, left_out: Mapping[str, int]
) -> list[Finding]:
    """The same, of boxes (K, 4) in input pixels and why they cannot be pooled, (K,), as `invalid_reasons`."""
    read = read_boxes(boxes, reasons, joined.images, joined.sizes.size)
    return [
        *_bad_boxes(joined, read),
        *plausibility_findings(joined, read),
        *_nothing_left(reasons, joined.options, left_out),
    ]


def _nothing_left(reasons: NDArray[np.uint8], options: BoxOptions, left_out: Mapping[str, int]) -> list[Finding]:
    """Boxes that are all left out, bad, or of unknown images, if that is no error."""
    count = len(reasons) + sum(left_out.values())
    bad, unknown = (reasons > 0) & (reasons < UNKNOWN_IMAGE), reasons == UNKNOWN_IMAGE
    refused = (bad.any() and options.on_bad_box == "error") or (unknown.any() and options.on_unknown_image == "error")
    if not count or refused or (reasons == 0).any():
        return []
    others = {f"left out by {reason}": number for reason, number in left_out.items()}
    counts = {**reason_counts(reasons), **others}
    examples = [f"{number:,} {reason}" for reason, number in counts.items() if number]
    advice = "are these the boxes of this pyramid?"
    return [Finding(NOTHING_LEFT, False, count, count, "boxes", examples, advice)]


def _space_advice(joined: Joined) -> str:
    """Which --box-space leaves fewer boxes bad or beyond the input, if that is the question and they differ."""
    if joined.options.box_space is not None:
        return ""
    try:
        counts = {
            space: int(reading(joined._replace(options=joined.options._replace(box_space=space))).implausible.sum())
            for space in ("original", "input")
        }
    except (InputError, UsageError):
        return ""
    if counts["original"] == counts["input"]:
        return "--box-space original for boxes in pixels of the original images, --box-space input for the network's"
    better = min(counts, key=lambda space: counts[space])
    words = ", ".join(f"{count} with {space}" for space, count in counts.items())
    return f"--box-space {better}, it seems: boxes that are bad or beyond the input: {words}"


def _bad_boxes(joined: Joined, read: Reading) -> list[Finding]:
    """What cannot be pooled, and what can but lies where there is no map."""
    table, strict = joined.table, joined.options.on_bad_box == "error"
    found: list[Finding] = []
    for code, reason in enumerate(REASONS, start=1):
        found += of_boxes(reason, table, read.invalid_reason == code, BAD_BOX_ADVICE, fatal=strict)
    found += of_boxes(
        "outside the input", table, read.outside, "their crops are zeros, or what is at the edge", fatal=False
    )
    beyond = read.beyond & ~read.outside
    found += of_boxes("beyond the input", table, beyond, "samples beyond the map count as zero", fatal=False)
    return found + of_boxes("no area", table, read.empty, "they are pooled as a point or a line", fatal=False)
