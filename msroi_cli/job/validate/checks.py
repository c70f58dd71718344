"""Everything that `extract` would refuse, and what is valid but implausible, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.boxes import REASONS
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.join.assignment import CANONICAL, Assignment
from msroi_cli.job.join.boxes import BAD_BOX_ADVICE, UNKNOWN_IMAGE_ADVICE, chosen_boxes
from msroi_cli.job.join.geometry import checked_sizes
from msroi_cli.job.join.images import advice_on_unknown, images_of
from msroi_cli.job.request import BoxOptions, PoolOptions
from msroi_cli.job.validate.findings import EXAMPLES, Finding, fatal, of_boxes, refusal
from msroi_cli.job.validate.plausibility import Reading, plausibility_findings, reading


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """One `msroi validate`, with the options that the `msroi extract` in question would have."""

    pyramid: str
    boxes: str
    pool: PoolOptions = field(default_factory=PoolOptions)
    box: BoxOptions = field(default_factory=BoxOptions)
    levels: LevelChoice = field(default_factory=LevelChoice)
    assign: str = "canonical"


@dataclass(frozen=True, slots=True)
class Validation:
    """The findings, and how much was checked."""

    findings: list[Finding]
    boxes: int
    images: int

    @property
    def extractable(self) -> bool:
        """Whether `extract` would do its work."""
        return not fatal(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        findings = [finding.as_dict() for finding in self.findings]
        return {"extractable": self.extractable, "boxes": self.boxes, "images": self.images, "findings": findings}


def validate(request: ValidateRequest) -> Validation:
    """Checks everything; what is wrong becomes a finding and is not raised."""
    findings: list[Finding] = []
    table = _table(request, findings)
    with _pyramid(request, findings) as pyramid:
        if pyramid is not None:
            findings += _of_spec(request.pool, pyramid) + _of_assignment(request.assign, pyramid)
        if pyramid is not None and table is not None:
            findings += _of_boxes(request, pyramid, table)
    return Validation(
        findings,
        0 if table is None else len(table.boxes),
        0 if table is None else len(np.unique(table.image)),
    )


def _table(request: ValidateRequest, findings: list[Finding]) -> BoxTable | None:
    try:
        return read_boxes(request.boxes, request.box.file)[0]
    except (InputError, UsageError) as error:
        findings.append(refusal("box file", error))
        return None


@contextmanager
def _pyramid(request: ValidateRequest, findings: list[Finding]) -> Iterator[Pyramid | None]:
    try:
        pyramid = _opened(request, findings)
    except (InputError, UsageError) as error:
        findings.append(refusal("pyramid", error))
        yield None
        return
    with pyramid:
        yield pyramid


def _opened(request: ValidateRequest, findings: list[Finding]) -> Pyramid:
    """The pyramid, if need be without the strides that it lacks."""
    try:
        return open_pyramid(request.pyramid, replace(request.levels, mixed=request.assign != CANONICAL))
    except UsageError as error:
        if request.levels.strides or request.levels.scales:
            raise
        pyramid = open_pyramid(request.pyramid, replace(request.levels, scales_needed=False))
        names = ", ".join(level.name for level in pyramid.levels)
        findings.append(refusal("strides unknown", error, f"--strides says the stride of each of {names}"))
        return pyramid


def _of_spec(options: PoolOptions, pyramid: Pyramid) -> list[Finding]:
    """Strides that do not grow from level to level, or that the preset's way to count levels cannot take."""
    scales = [level.scale for level in pyramid.levels]
    if not np.isfinite(scales).all():
        return []
    found = []
    falling = [
        f"{finer.name} before {coarser.name}"
        for finer, coarser in zip(pyramid.levels, pyramid.levels[1:], strict=False)
        if finer.scale[0] * finer.scale[1] <= coarser.scale[0] * coarser.scale[1]
    ]
    if falling:
        advice = "--levels names the levels finest first; --strides says their strides"
        found.append(Finding("levels not finest first", False, len(falling), len(scales), "levels", falling, advice))
    try:
        PoolSpec.resolve(scales, **asdict(options))
    except UsageError as error:
        found.append(refusal("options", error, "another --compat, or --strides"))
    return found


def _of_assignment(assign: str, pyramid: Pyramid) -> list[Finding]:
    """A level of all boxes that the pyramid lacks."""
    try:
        Assignment.of(assign, pyramid)
    except UsageError as error:
        return [refusal("options", error, "--assign names a level of the pyramid")]
    return []


def _of_boxes(request: ValidateRequest, pyramid: Pyramid, table: BoxTable) -> list[Finding]:
    try:
        table, _ = chosen_boxes(table, pyramid, request.box)
    except (InputError, UsageError) as error:
        return [refusal("box options", error)]
    try:
        images = images_of(table, pyramid, request.box.image_key)
    except (InputError, UsageError) as error:
        return [refusal("image ids", error)]
    found = _unknown_images(request, pyramid, table, images)
    sizes, broken = _input_sizes(pyramid, np.unique(images[images >= 0]))
    found += broken
    try:
        read = reading(table, images, sizes, pyramid, request.box)
    except (InputError, UsageError) as error:
        return [*found, refusal("box options", error, _space_advice(table, images, sizes, pyramid, request.box))]
    return [
        *found,
        *_bad_boxes(request, table, read),
        *plausibility_findings(table, images, sizes, pyramid, request.box),
    ]


def _space_advice(
    table: BoxTable, images: NDArray[np.int64], sizes: NDArray[np.float64], pyramid: Pyramid, box: BoxOptions
) -> str:
    """Which --box-space leaves fewer boxes bad or beyond the input, if that is the question and they differ."""
    if box.box_space is not None:
        return ""
    try:
        counts = {
            space: int(reading(table, images, sizes, pyramid, replace(box, box_space=space)).implausible.sum())
            for space in ("original", "input")
        }
    except (InputError, UsageError):
        return ""
    if counts["original"] == counts["input"]:
        return "--box-space original for boxes in pixels of the original images, --box-space input for the network's"
    better = min(counts, key=lambda space: counts[space])
    words = ", ".join(f"{count} with {space}" for space, count in counts.items())
    return f"--box-space {better}, it seems: boxes that are bad or beyond the input: {words}"


def _unknown_images(
    request: ValidateRequest, pyramid: Pyramid, table: BoxTable, images: NDArray[np.int64]
) -> list[Finding]:
    unknown = images < 0
    if not unknown.any():
        return []
    advice = f"{advice_on_unknown(table, pyramid, images, request.box.image_key)}; {UNKNOWN_IMAGE_ADVICE}"
    return of_boxes("image unknown", table, unknown, advice, fatal=request.box.on_unknown_image == "error")


def _bad_boxes(request: ValidateRequest, table: BoxTable, read: Reading) -> list[Finding]:
    """What cannot be pooled, and what can but lies where there is no map."""
    tolerant = request.box.on_bad_box != "error"
    found: list[Finding] = []
    for code, reason in enumerate(REASONS, start=1):
        found += of_boxes(reason, table, read.invalid_reason == code, BAD_BOX_ADVICE, fatal=not tolerant)
    found += of_boxes(
        "outside the input", table, read.outside, "their crops are zeros, or what is at the edge", fatal=False
    )
    beyond = read.beyond & ~read.outside
    found += of_boxes("beyond the input", table, beyond, "samples beyond the map count as zero", fatal=False)
    return found + of_boxes("no area", table, read.empty, "they are pooled as a point or a line", fatal=False)


def _input_sizes(pyramid: Pyramid, used: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[Finding]]:
    """The size (width, height) of the network's input of each image, (N, 2), NaN where it is not known.

    And what is wrong with the levels of the images that boxes use.
    """
    sizes = np.full((len(pyramid.image_ids), 2), np.nan)
    unfit: list[str] = []
    odd: list[str] = []
    shapes: list[tuple[int, int]] = []
    for index, image in enumerate(used.tolist()):
        if index == 0 or pyramid.layout == "per image":
            try:
                pyramid.check(image)
                shapes = checked_sizes(pyramid, image)
            except InputError as error:
                unfit.append(str(error))
                continue
            odd += _odd_levels(pyramid, image, shapes)
        scale = pyramid.levels[0].scale
        sizes[image] = shapes[0][1] / scale[1], shapes[0][0] / scale[0]
    looked_at = len(used)
    found = []
    if unfit:
        found.append(Finding("levels unfit", True, len(unfit), looked_at, "images", unfit[:EXAMPLES], "--levels"))
    if odd:
        advice = "--strides, or --levels for the levels to use; the boxes of such a level are pooled in the wrong place"
        found.append(
            Finding("sizes do not follow the strides", False, len(odd), looked_at, "images", odd[:EXAMPLES], advice)
        )
    return sizes, found


def _odd_levels(pyramid: Pyramid, image: int, shapes: list[tuple[int, int]]) -> list[str]:
    """A line if the levels of an image cannot be of one input: rounding up or down, each may be off by a cell."""
    finest = np.array(shapes[0]) / pyramid.levels[0].scale
    for level, shape in zip(pyramid.levels, shapes, strict=True):
        spanned = np.array(shape) / level.scale
        if (np.abs(spanned - finest) >= 1 / np.array(level.scale) + 1 / np.array(pyramid.levels[0].scale)).any():
            name = pyramid.levels[0].name
            where = "all images" if pyramid.layout == "batched" else f"image {pyramid.image_ids[image]!r}"
            return [
                f"{where}: {level.name} spans {spanned[1]:g} x {spanned[0]:g} input pixels, "
                f"{name} {finest[1]:g} x {finest[0]:g}"
            ]
    return []
