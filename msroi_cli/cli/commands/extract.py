"""`msroi extract`: pyramids and boxes in, crops out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from msroi_cli.cli import model_options, option_values, options, terminal, worker_options
from msroi_cli.cli.choice_options import box_choice, choice_options, left_out_text
from msroi_cli.cli.output import byte_size, duration, findings_text, level_table, printable, progress, say
from msroi_cli.cli.signals import StopSignals
from msroi_cli.core.spec import MAX_THREADS
from msroi_cli.errors import UsageError

if TYPE_CHECKING:
    from msroi_cli.job.extract.prepare import Extraction
    from msroi_cli.job.request import ExtractRequest
    from msroi_cli.job.summary import Summary

EPILOG = """
\b
Example:
  msroi extract features.h5 instances.json --box-space original -o crops.h5
"""


@click.command(epilog=EPILOG)
@click.argument("pyramid")
@click.argument("boxes")
@options.output_option
@options.pool_options
@options.assign_option
@options.level_options
@options.group_option
@options.box_options
@choice_options
@model_options.pictures_option
@model_options.model_options
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32", "float64"]),
    help="Data type of the crops.  [default: the features']",
)
@click.option(
    "--on-nonfinite",
    type=click.Choice(["warn", "error"]),
    default="warn",
    show_default=True,
    help="Crops with NaN or infinities: warn, or stop before OUT is there; --resume --on-nonfinite warn continues.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Warnings about the inputs are errors, found before OUT is touched; the levels of all images are looked at.",
)
@options.reduce_option
@click.option(
    "--compression",
    callback=option_values.compression,
    metavar="NAME",
    help="gzip, gzip:LEVEL (1 to 9) or lzf, with shuffle.  [default: none; crops can be memory-mapped]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Number of threads.  [default: one per processor]",
)
@click.option(
    "--stats", type=click.Path(), metavar="FILE", help="Write statistics per level as JSON; - is standard output."
)
@click.option(
    "--order",
    type=click.Choice(["input", "image"]),
    default="input",
    show_default=True,
    help="Rows in the order of BOXES, or image after image, which avoids scattered writes; box_index leads back.",
)
@worker_options.worker_options
@click.option("--dry-run", is_flag=True, help="Check the inputs and print the plan; write nothing.")
@options.memory_option
@options.verbosity_options
@click.pass_obj
def extract(
    signals: StopSignals,
    /,
    stats: str | None,
    dry_run: bool,
    bar: bool | None,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """Pool one crop per box of BOXES from PYRAMID and write them to OUT.

    PYRAMID is HDF5 (one dataset per level, or one group per image), NPZ, safetensors, JSON, or a folder, pattern or
    @list of such files; FILE::/group is a group of an HDF5 file. Or it is an ONNX model that is run on --pictures,
    without pyramids on the disk.

    BOXES is JSON, JSON Lines, COCO (data set or results), CSV, TSV, Parquet, NPY, NPZ, HDF5 or a folder of YOLO labels;
    - reads standard input.
    """
    _check_outputs(stats, dry_run, bar, quiet, verbose)
    shards = given.pop("shard")
    if len(shards) > 1 and stats is not None:
        raise UsageError("--stats: expected without several shards, of which each has its own, got both")
    workers = given.pop("workers")
    if workers is not None and shards != (None,):
        raise UsageError("--workers: expected without --shard, got both")
    request = _request(given)._replace(dry_run=dry_run, workers=workers or 1)
    _check_stats(stats, request)
    for shard in shards:
        some = request._replace(shard=shard)
        some.check_spread()
        _extract(some, signals, stats, dry_run, bar, quiet, verbose)


def _extract(
    request: ExtractRequest,
    signals: StopSignals,
    stats: str | None,
    dry_run: bool,
    bar: bool | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Makes one output."""
    from msroi_cli.core.backends.environment import backend_text
    from msroi_cli.job.extract.prepare import prepared

    with prepared(request) as job:
        if verbose:
            say(f"using   {backend_text()}\n{_description(job)}", lines=True)
        if job.warnings and not quiet:
            say(findings_text(job.warnings), lines=True)
        if dry_run:
            _dry_run(job)
        else:
            _say_unusable(job, quiet)
            summary = _run(job, bar, quiet, signals)
            if summary is not None:
                _report(job, summary, quiet)
            elif not quiet:
                say(f"{job.output.path}: complete already, nothing to do")
            if stats is not None:
                _write_stats(summary or _summary_of(job.output.path), stats, request.overwrite or request.resume)


def _check_outputs(stats: str | None, dry_run: bool, bar: bool | None, quiet: bool, verbose: bool) -> None:
    if quiet and (verbose or bar):
        raise UsageError(f"--quiet: expected without {'--verbose' if verbose else '--progress'}, got both")
    if stats is not None and dry_run:
        raise UsageError("--stats: expected without --dry-run, which pools nothing, got both")


def _check_stats(stats: str | None, request: ExtractRequest) -> None:
    """Raises UsageError if statistics may not be written: to an input, the output or one of its work files."""
    from msroi_cli.io.crops.writer import work_files
    from msroi_cli.io.files.target import check_apart, check_suffix, check_target
    from msroi_cli.io.pyramid.many.paths import input_paths

    if stats is None or stats == "-":
        return
    path = Path(stats)
    try:
        check_apart(path, [*input_paths(*request.files), request.out, *work_files(request.out)])
        check_suffix(path, "JSON")
        check_target(path, request.overwrite or request.resume)
    except UsageError as error:
        raise UsageError(f"--stats: {error}") from None


def _request(given: dict[str, Any]) -> ExtractRequest:
    """The request that the options make; each has the name of a field of the request or of what it is made of."""
    from msroi_cli.job.request import BoxOptions, ExtractRequest, PoolOptions, taken

    model = model_options.model_of(given, given.pop("pictures"))
    levels = options.level_choice(given)
    given["choice"] = box_choice(given)
    box, pool = taken(BoxOptions, given), taken(PoolOptions, given)
    return ExtractRequest(pool=pool, box=box, levels=levels, model=model, **given)


def _run(job: Extraction, bar: bool | None, quiet: bool, signals: StopSignals) -> Summary | None:
    from msroi_cli.core.backends.environment import keep_freed_memory
    from msroi_cli.job.extract.run import extract

    keep_freed_memory()
    with progress(len(job.plan), bar, quiet) as advance, signals.graceful():
        if job.request.in_parts:
            from msroi_cli.job.cluster.run import extract_in_parts

            return extract_in_parts(job, advance, signals.received)
        return extract(job, advance, signals.received)


def _say_unusable(job: Extraction, quiet: bool) -> None:
    if job.unusable and not quiet:
        from msroi_cli.model.pictures import first_failures

        listed = first_failures({job.pyramid.image_ids[image]: text for image, text in job.unusable.items()})
        say(f"pictures left out: {len(job.unusable):,}: {listed}")


def _report(job: Extraction, summary: Summary, quiet: bool) -> None:
    if not quiet:
        say(level_table(summary, terminal.width(err=True)), lines=True)
        if left_out := left_out_text(summary.left_out):
            say(left_out)
        invalid = sum(summary.invalid.values())
        if invalid:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary.invalid.items())
            say(f"{invalid:,} boxes not pooled ({job.request.box.on_bad_box}): {reasons}")
        compressed = job.header.compression is not None
        about_crops = summary.warnings[len(job.header.warnings) :]
        if about_crops:
            say(findings_text(about_crops), lines=True)
        size = byte_size(job.output.target.stat().st_size if compressed else len(job.plan) * job.header.row_bytes)
        say(f"{job.output.path}: {len(job.plan):,} crops, {size}, in {duration(summary.elapsed)}")


def _summary_of(path: Path) -> Summary:
    """The statistics of crops that an earlier run has completed."""
    from msroi_cli.job.crops import open_crops
    from msroi_cli.job.stats import recomputed

    return recomputed(open_crops(path)).summary


def _write_stats(summary: Summary, stats: str, overwrite: bool) -> None:
    from msroi_cli.io.files.atomic import write_whole

    text = json.dumps(summary.as_dict(), indent=2) + "\n"
    if stats == "-":
        click.echo(text, nl=False)
    else:
        write_whole(Path(stats), text.encode(), overwrite)


def _dry_run(job: Extraction) -> None:
    from msroi_cli.job.extract.run import check

    check(job)
    click.echo(printable(_description(job), keep="\n"))


def _description(job: Extraction) -> str:
    """The plan: what is read, pooled and written."""
    header, pyramid, request = job.header, job.pyramid, job.request
    used = len(job.plan.images())
    levels = ", ".join(
        f"{level.name} (stride {'x'.join(f'{1 / side:g}' for side in dict.fromkeys(level.scale))})"
        for level in pyramid.levels
    )
    lines = [
        f"read    {pyramid.location}: {used:,} of {len(pyramid.image_ids):,} images, {pyramid.layout}, "
        f"{pyramid.channels} channels, {pyramid.dtype}",
        f"        levels {levels}",
        f"        {request.boxes}: {len(job.plan) + _dropped(job):,} boxes, {sum(job.invalid.values()):,} invalid",
        *(f"        {text}" for text in (left_out_text(job.left_out),) if text),
        f"pool    {json.dumps(dict(header.parameters))}",
    ]
    counts = [int((job.plan.level == index).sum()) for index in range(len(pyramid.levels))]
    lines += [
        "        " + ", ".join(f"{level.name}: {count:,}" for level, count in zip(pyramid.levels, counts, strict=True)),
        f"write   {job.output.path}: crops {header.shape} {header.dtype}, "
        f"{byte_size(header.shape[0] * header.row_bytes)}",
    ]
    return "\n".join(lines)


def _dropped(job: Extraction) -> int:
    return sum(job.invalid.values()) if job.request.box.on_bad_box == "drop" else 0
