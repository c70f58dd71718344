"""From a request to a job that can run: opens the inputs, checks them against each other, makes the plan."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.backends.environment import backend_name
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import UsageError
from msroi_cli.io.boxes.open import box_files
from msroi_cli.io.crops.parts import Part
from msroi_cli.io.crops.schema import STATUS_INVALID, STATUS_POOLED, STATUS_UNKNOWN_IMAGE, Compression, CropsHeader
from msroi_cli.io.crops.writer import OVERWRITE_OR_RESUME, Output, work_files
from msroi_cli.io.files.atomic import resolved
from msroi_cli.io.files.location import Location, Source, last_modified
from msroi_cli.io.files.target import check_apart, check_suffix, check_target
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.many.paths import input_paths
from msroi_cli.job.extract.links import BOXES, PYRAMID, linked_sources, linked_sources_of_boxes, were_met
from msroi_cli.job.extract.memory import Budget
from msroi_cli.job.extract.part import Planner, check_folder, output_path, shard_of
from msroi_cli.job.extract.plan import NO_IMAGE, PLAN_VERSION, Plan
from msroi_cli.job.join.assignment import Assignment
from msroi_cli.job.join.boxes import UNKNOWN_IMAGE, JoinedBoxes, joined_boxes, reason_counts
from msroi_cli.job.join.opening import PyramidRequest, opened
from msroi_cli.job.recipe import Recipe
from msroi_cli.job.request import ExtractRequest
from msroi_cli.job.validate.findings import Finding
from msroi_cli.job.validate.warnings import Examiner

# What becomes of a box that cannot be pooled: the value of its crop, or None where it has no crop.
BAD_BOX_POLICIES: dict[str, float | None] = {"error": None, "drop": None, "zero": 0.0, "nan": float("nan")}


class Extraction(NamedTuple):
    """A job that can run: its inputs are open, and everything about its output but the crops is known.

    invalid: how many boxes cannot be pooled, by reason. left_out: how many are not chosen, by reason.
    warnings: what is valid but implausible about the inputs.
    fill: the value of crops that are not pooled. unusable: why images that boxes use are left out, by their number.
    """

    request: ExtractRequest
    pyramid: Pyramid
    spec: PoolSpec
    plan: Plan
    header: CropsHeader
    output: Output
    budget: Budget
    invalid: Mapping[str, int]
    left_out: Mapping[str, int]
    warnings: Sequence[Finding]
    fill: float | None
    unusable: Mapping[int, str]
    assignment: Assignment


@contextmanager
def prepared(request: ExtractRequest) -> Iterator[Extraction]:
    """Opens and plans `request`.

    Raises UsageError for options that do not fit together or an output that may not be written, InputError for inputs
    that are not what they should be, among them boxes that cannot be pooled unless the request says what to do.
    """
    _check_output(request)
    with opened(_pyramid(request)) as pyramid:
        _check_apart(request, pyramid)
        spec = _spec(request, pyramid)
        assignment = Assignment.of(request.assign, pyramid)
        planner = Planner(request, pyramid, spec, assignment)
        examiner = Examiner(pyramid, request.box, request.every_image, planner.own if request.shard else None)
        joined = joined_boxes(request.boxes, pyramid, request.box, examiner.examine)
        if request.strict:
            examiner.refuse()
        plan = planner.plan(joined.boxes, joined.images, joined.invalid_reason)
        used = pyramid.inputs(plan.images().tolist())
        part = None
        if request.shard is not None:
            part, plan = shard_of(plan, pyramid, request)
        linked = linked_sources(pyramid, plan.images().tolist(), request.resume and were_met(output_path(request)))
        _check_links_apart(request, pyramid)
        sources = _sources(request, pyramid, {**linked, **used}, joined)
        header = _header(request, pyramid, spec, plan, joined, sources, part)
        header = header._replace(warnings=[finding.as_dict() for finding in examiner.found])
        budget = Budget.of(request.memory, header, plan, spec, pyramid)
        identity = _identity(header, budget)
        yield Extraction(
            request,
            pyramid,
            spec,
            plan,
            header,
            Output(output_path(request), header, identity, request.resume, request.overwrite),
            budget,
            reason_counts(joined.invalid_reason),
            joined.left_out,
            examiner.found,
            BAD_BOX_POLICIES[request.box.on_bad_box],
            joined.unusable,
            assignment,
        )


def _sources(
    request: ExtractRequest, pyramid: Pyramid, others: Mapping[str, Source], joined: JoinedBoxes
) -> dict[str, Source]:
    """All that the job reads, by role; others: what the pyramid leads to."""
    return {
        PYRAMID: pyramid.fingerprint()._replace(modified=pyramid.modified()),
        **others,
        BOXES: joined.source._replace(modified=_boxes_modified(request.boxes)),
        **linked_sources_of_boxes(joined),
        **_coco_images(request.box.coco_images),
    }


def relisted(job: Extraction) -> Extraction:
    """The job with all sources listed anew: a link was met, and none before it. Raises as `prepared`."""
    found = linked_sources(job.pyramid, job.plan.images().tolist(), search=True)
    _check_links_apart(job.request, job.pyramid)
    own = {role: source for role, source in job.header.sources.items() if role not in found}
    header = job.header._replace(sources={PYRAMID: own.pop(PYRAMID), **found, **own})
    output = job.output._replace(header=header, identity=_identity(header, job.budget))
    return job._replace(header=header, output=output)


def _pyramid(request: ExtractRequest) -> PyramidRequest:
    return PyramidRequest(
        request.pyramid, request.levels, request.model, request.assign, request.threads, request.memory
    )


def _check_output(request: ExtractRequest) -> None:
    if str(request.out) == "-":
        raise UsageError("-o -: expected the name of a file, HDF5 cannot be written to standard output")
    if request.shard is not None:
        check_folder(request.out, request.shard)
    _refuse_inputs(request, input_paths(*request.files))
    check_suffix(request.out, "HDF5")
    if request.shard is None or request.out.exists():
        check_target(output_path(request), request.overwrite or request.resume, OVERWRITE_OR_RESUME)


def _check_apart(request: ExtractRequest, pyramid: Pyramid) -> None:
    """Raises UsageError if the output is one of the files of a pyramid of several."""
    if os.path.lexists(output_path(request)):
        _refuse_inputs(request, pyramid.files())


def _check_links_apart(request: ExtractRequest, pyramid: Pyramid) -> None:
    """Raises UsageError if the output is a file that the pyramid leads to."""
    if pyramid.links and os.path.lexists(output_path(request)):
        _refuse_inputs(request, pyramid.links.paths)


def _refuse_inputs(request: ExtractRequest, inputs: Sequence[Path]) -> None:
    """Raises UsageError if the output or one of its work files is an input."""
    out = resolved(output_path(request))
    for path in (out, *work_files(out)):
        check_apart(path, inputs)


def _spec(request: ExtractRequest, pyramid: Pyramid) -> PoolSpec:
    options = request.pool
    return PoolSpec.resolve(
        [level.scale for level in pyramid.levels],
        options.output_size,
        options.sampling_ratio,
        compat=options.compat,
        aligned=options.aligned,
        canonical_level=options.canonical_level,
        canonical_scale=options.canonical_scale,
    )


def _header(
    request: ExtractRequest,
    pyramid: Pyramid,
    spec: PoolSpec,
    plan: Plan,
    joined: JoinedBoxes,
    sources: Mapping[str, Source],
    part: Part | None,
) -> CropsHeader:
    first, stop = (0, len(pyramid.image_ids)) if part is None else (part.first_image, part.first_image + part.images)
    dtype = np.dtype(request.dtype) if request.dtype else pyramid.dtype.newbyteorder("=")
    as_they_are = first == 0 and plan.image.min(initial=0) >= NO_IMAGE
    columns: dict[str, NDArray[Any]] = {
        "boxes": plan.boxes,
        "image_index": plan.image if as_they_are else np.where(plan.image >= 0, plan.image - first, NO_IMAGE),
        "level": plan.level,
        "status": _status(joined.invalid_reason[plan.box_index]),
        "box_index": plan.box_index if joined.rows is None else joined.rows[plan.box_index],
        **(joined.columns if plan.has_all_of(len(joined.boxes)) else joined.columns.take(plan.box_index)),
    }
    row_shape = (Assignment.of(request.assign, pyramid).channels, *(() if request.reduce else spec.output_size))
    return CropsHeader(
        (len(plan), *row_shape),
        dtype,
        columns,
        list(pyramid.image_ids[first:stop]),
        len(spec.spatial_scales),
        _recipe(request, pyramid, spec, joined).as_dict(),
        sources,
        _compression(request, math.prod(row_shape) * dtype.itemsize, plan),
        part,
    )


def _status(reasons: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The status of rows by why their boxes were not pooled."""
    return np.select(
        [reasons == 0, reasons >= UNKNOWN_IMAGE],
        [np.uint8(STATUS_POOLED), np.uint8(STATUS_UNKNOWN_IMAGE)],
        np.uint8(STATUS_INVALID),
    )


def _compression(request: ExtractRequest, row_bytes: int, plan: Plan) -> Compression | None:
    if request.compression is None:
        return None
    return Compression.of(*request.compression, (len(plan),), row_bytes, plan.in_order())


def _boxes_modified(boxes: Any) -> str | int | None:
    """When the files of boxes changed last; None for what a program holds."""
    return last_modified(box_files(boxes)) if isinstance(boxes, str) else None


def _coco_images(name: str | None) -> dict[str, Source]:
    """The data set that has the names and sizes of images; nothing for a pipe, which can be read only once."""
    path = None if name is None else Location.parse(name).path
    if path is None or not path.is_file():
        return {}
    return {"coco_images": Source.of_file(path)._replace(modified=last_modified([path]))}


def _identity(header: CropsHeader, budget: Budget) -> dict[str, Any]:
    """What two runs must have in common for one to resume the other."""
    return {
        "inputs": header.sources_as_dict(),
        "backend": backend_name(),
        "options": dict(header.parameters),
        "part": None if header.part is None else asdict(header.part),
        "crops": {"shape": list(header.shape), "dtype": header.dtype.str},
        "compression": None if header.compression is None else header.compression._asdict(),
        "plan (--memory)": {"version": PLAN_VERSION, **budget.batch._asdict()},
    }


def _recipe(request: ExtractRequest, pyramid: Pyramid, spec: PoolSpec, joined: JoinedBoxes) -> Recipe:
    read_as: dict[str, Any] = {
        "box_format": joined.box_format,
        "box_space": request.box.box_space or pyramid.box_space or "input",
        "normalized": joined.normalized,
        "image_key": joined.image_key,
    }
    box = request.box._replace(**read_as)
    names = tuple(level.name for level in pyramid.levels)
    choice = request.box.choice.as_dict()
    group = request.levels.group
    return Recipe(
        spec,
        names,
        box,
        request.reduce,
        request.order,
        group,
        choice,
        pyramid.about(),
        request.assign,
        backend_name(),
    )
