"""`msroi export`: crops in the files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from msroi_cli.cli import options
from msroi_cli.cli.output import progress, say

EPILOG = """
\b
Layouts:
  padded  HDF5: features (N, M, ...), boxes (N, M, 4), mask (N, M), counts (N,)
  groups  HDF5, a group an image: features, boxes, num_boxes, image_w, image_h
  ragged  HDF5: features (K, ...), boxes (K, 4), pos_boxes (N, 2) start and end
  npz     a folder with a file an image: features, boxes, image_id; index.json
  tsv     image_id image_w image_h num_boxes boxes features, base64 of float32

\b
Examples:
  msroi export crops.h5 padded.h5 --layout padded --max-boxes 100
  msroi export crops.h5 features.tsv --layout tsv --reduce mean --pyramid features.h5
"""


@click.command(epilog=EPILOG)
@click.argument("crops")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(options.LAYOUTS), required=True, help="See below.")
@options.reduce_option
@click.option(
    "--pyramid", metavar="PYRAMID", help="Where the sizes and scale factors of the images are; groups and tsv need it."
)
@click.option(
    "--box-space",
    "space",
    type=click.Choice(["input", "original"]),
    default="input",
    show_default=True,
    help="Write boxes and image sizes in pixels of the network's input, or of the original images (needs --pyramid).",
)
@click.option(
    "--max-boxes",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many boxes an image: those with the highest scores, or the first where there are none.",
)
@click.option("--used-only", is_flag=True, help="Leave out images without boxes.")
@options.overwrite_option
@options.progress_options
def export(crops: str, bar: bool | None, quiet: bool, **given: Any) -> None:
    """Write the crops file CROPS to OUT in another layout, image after image.

    Boxes that were not pooled are left out. Columns that crops have (level, box_index, score, category_id,
    annotation_id) go along, except in tsv.
    """
    from msroi_cli.job.crops import open_crops
    from msroi_cli.job.export import ExportRequest
    from msroi_cli.job.export import export as exported

    with open_crops(crops) as opened:
        total = len(opened)
    with progress(total, bar, quiet) as advance:
        done = exported(ExportRequest(crops, **given), advance)
    if not quiet:
        say(f"{given['out']}: {done.boxes:,} boxes of {done.images:,} images")
        if done.not_pooled:
            say(f"{done.not_pooled:,} boxes left out that were not pooled")
        if done.too_many:
            say(f"{done.too_many:,} boxes left out beyond {given['max_boxes']} an image")
