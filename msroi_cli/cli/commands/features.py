"""`msroi features`: a model and pictures in, a pyramid file out."""

from __future__ import annotations

from typing import Any

import click

from msroi_cli.cli import model_options, option_values, options
from msroi_cli.cli.output import byte_size, duration, progress, say
from msroi_cli.cli.signals import StopSignals
from msroi_cli.core.spec import MAX_THREADS
from msroi_cli.errors import UsageError

EPILOG = """
\b
Example:
  msroi features model.onnx photos/ --outputs p2=NAME,p3=NAME --resize shortest=800,longest=1333 --pad-to 32 -o maps.h5
"""


@click.command(epilog=EPILOG)
@click.argument("model")
@click.argument("pictures")
@options.output_option
@model_options.model_options
@click.option(
    "--strides",
    callback=option_values.numbers,
    metavar="NUMBERS",
    help="Input pixels per cell of each level: 4,8,16.  [default: measured with a blank picture]",
)
@click.option(
    "--dtype", type=click.Choice(["float16", "float32", "float64"]), help="Of the file.  [default: the model's]"
)
@click.option(
    "--threads", type=click.IntRange(1, MAX_THREADS), metavar="N", help="Of the model.  [default: one per processor]"
)
@options.memory_option
@options.progress_options
@click.pass_obj
def features(signals: StopSignals, /, model: str, pictures: str, bar: bool | None, quiet: bool, **given: Any) -> None:
    """Run the ONNX model MODEL on PICTURES and write its feature pyramids to OUT, for `extract` and others to read.

    PICTURES is a folder, a quoted pattern or @FILE with a path a line. Nothing is done to pictures that no option asks
    for: without options the model gets RGB, 0 to 255, as large as the picture. OUT records all that was done, and where
    the pixels of a picture are in the model's input, so that boxes in pixels of the pictures can be pooled with
    --box-space original.

    `extract MODEL BOXES --pictures PICTURES` gives the same crops without the pyramids on the disk.
    """
    from msroi_cli.job.features import FeaturesRequest, make_features

    chosen = model_options.model_of(given, pictures)
    if chosen is None:
        raise UsageError("PICTURES: expected pictures, got none")
    request = FeaturesRequest(model, chosen, **given)
    with progress(0, bar, quiet, "pictures") as advance, signals.graceful():
        made = make_features(request, advance, signals.received)
    if not quiet:
        if made.skipped:
            say(made.skipped)
        size = byte_size(request.out.stat().st_size)
        done = f"in {duration(made.elapsed)}" if made.runs else "complete already, nothing to do"
        say(f"{request.out}: pyramids of {made.images:,} pictures, {size}, {done}")
