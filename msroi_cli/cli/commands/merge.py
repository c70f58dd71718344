"""`msroi merge`: the parts of a folder as one crops file."""

from __future__ import annotations

from pathlib import Path

import click

from msroi_cli.cli import options
from msroi_cli.cli.output import byte_size, duration, progress, say
from msroi_cli.cli.signals import StopSignals

EPILOG = """
\b
Example:
  msroi merge parts/ -o crops.h5
  msroi merge parts/ -o crops.h5 --virtual
"""


@click.command(epilog=EPILOG)
@click.argument("parts", type=click.Path(path_type=Path))
@options.output_option
@click.option(
    "--virtual",
    is_flag=True,
    help="Make OUT refer to PARTS instead of copying their crops (HDF5 virtual dataset; jobs of --order image only).",
)
@options.progress_options
@click.pass_obj
def merge(
    signals: StopSignals,
    /,
    parts: Path,
    out: Path,
    resume: bool,
    overwrite: bool,
    virtual: bool,
    bar: bool | None,
    quiet: bool,
) -> None:
    """Write the crops file OUT that one job would have written, from the folder PARTS that `extract --shard` filled.

    Rows are in the order of that job (--order). Checksums are carried over, and checked on the way, but for those of
    compressed crops whose chunks are copied as they are. Without merging, every command reads PARTS.

    With --virtual, OUT is for programs that read HDF5 by themselves; PARTS lies below its folder, and stays there.
    """
    from msroi_cli.job.crops import open_parts
    from msroi_cli.job.merge.run import MergeRequest
    from msroi_cli.job.merge.run import merge as merged

    with open_parts(parts) as crops, progress(len(crops), bar, quiet) as advance, signals.graceful():
        done = merged(crops, MergeRequest(out, resume, overwrite, virtual), advance, signals.received)
    if done is None:
        if not quiet:
            say(f"{out}: whole already, nothing to do")
    elif virtual and not quiet:
        say(f"{out}: refers to {done.crops:,} crops of {done.parts:,} parts, in {duration(done.elapsed)}")
    elif not quiet:
        say(f"{out}: {done.crops:,} crops of {done.parts:,} parts, {byte_size(done.size)}, in {duration(done.elapsed)}")
