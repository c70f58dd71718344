"""Everything that `extract` would refuse, and what is valid but implausible, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.open import read_boxes
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.job.join.assignment import Assignment
from msroi_cli.job.join.boxes import chosen_boxes, refuse_other_sizes
from msroi_cli.job.join.images import UNUSABLE, images_of
from msroi_cli.job.join.opening import PyramidRequest, opened
from msroi_cli.job.request import BoxOptions, PoolOptions
from msroi_cli.job.validate.boxes import box_findings, undecided, unknown_images
from msroi_cli.job.validate.findings import EXAMPLES, Finding, fatal, refusal
from msroi_cli.job.validate.reading import Joined
from msroi_cli.job.validate.sizes import SIZES_DIFFER, level_findings, size_findings
from msroi_cli.model.options import ModelOptions

PICTURE_BROKEN = "picture broken"
BROKEN_ADVICE = "--on-bad-picture skip leaves them out, with their boxes"


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """One `msroi validate`, with the options that the `msroi extract` in question would have."""

    pyramid: str
    boxes: str
    pool: PoolOptions = field(default_factory=PoolOptions)
    box: BoxOptions = field(default_factory=BoxOptions)
    levels: LevelChoice = field(default_factory=LevelChoice)
    assign: str = "canonical"
    model: ModelOptions | None = None

    @property
    def inputs(self) -> PyramidRequest:
        """What is opened."""
        return PyramidRequest(self.pyramid, self.levels, self.model, self.assign)


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

    @property
    def warnings(self) -> list[Finding]:
        """The findings that `extract --strict` refuses."""
        return undecided(self.findings)

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
        return opened(request.inputs)
    except UsageError as error:
        if request.inputs.of_model or request.levels.strides or request.levels.scales:
            raise
        pyramid = open_pyramid(request.pyramid, request.levels._replace(scales_needed=False))
        names = ", ".join(level.name for level in pyramid.levels)
        findings.append(refusal("strides unknown", error, f"--strides says the stride of each of {names}"))
        return pyramid


def _of_spec(options: PoolOptions, pyramid: Pyramid) -> list[Finding]:
    """Strides that do not grow from level to level, or that the preset's way to count levels cannot take."""
    found = level_findings(pyramid)
    scales = [level.scale for level in pyramid.levels]
    if np.isfinite(scales).all():
        try:
            PoolSpec.resolve(scales, **options._asdict())
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
        table, left_out = chosen_boxes(table, pyramid, request.box)
    except (InputError, UsageError) as error:
        return [refusal("box options", error)]
    try:
        images = images_of(table, pyramid, request.box.image_key)
    except (InputError, UsageError) as error:
        return [refusal("image ids", error)]
    found = unknown_images(table, images, pyramid, request.box)
    images, about_pictures = _broken_pictures(request, pyramid, images)
    found += about_pictures
    sizes, about_sizes = size_findings(pyramid, table, images, request.box, None)
    try:
        refuse_other_sizes(request.boxes, table, images, pyramid, request.box)
    except InputError as error:
        about_sizes = [finding for finding in about_sizes if finding.check != SIZES_DIFFER]
        about_sizes.append(refusal(SIZES_DIFFER, error))
    except UsageError:
        pass  # which the boxes are refused for, too
    joined = Joined(table, images, sizes, pyramid, request.box)
    return [*found, *about_sizes, *box_findings(joined, left_out)]


def _broken_pictures(
    request: ValidateRequest, pyramid: Pyramid, images: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[Finding]]:
    """The images (K,) of boxes without those whose pictures cannot be read, and what is wrong with these."""
    used = np.flatnonzero(np.bincount(images[images >= 0])).tolist()
    broken = pyramid.broken(used)
    if not broken:
        return images, []
    lines = list(broken.values())[:EXAMPLES]
    refused = request.model is None or request.model.on_bad_picture == "error"
    finding = Finding(PICTURE_BROKEN, refused, len(broken), len(used), "pictures", lines, BROKEN_ADVICE)
    return np.where(np.isin(images, list(broken)), UNUSABLE, images), [finding]
