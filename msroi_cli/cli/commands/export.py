"""`msroi export`: crops in layouts that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from msroi_cli.cli import options
from msroi_cli.cli.output import progress, say
from msroi_cli.io.export.layouts import LAYOUTS

EPILOG = """
\b
Layouts:
  padded  HDF5: features (N, M, ...), boxes (N, M, 4), mask (N, M), counts (N,)
  groups  HDF5, a group an image: features, boxes, num_boxes, image_w, image_h
  ragged  HDF5: features (K, ...), boxes (K, 4), pos_boxes (N, 2) start and end
  npz     a folder with a file an image: features, boxes, image_id; index.json
  tsv     image_id image_w image_h num_boxes boxes features, base64 of float32
  npy     a folder: features.npy (K, ...); rows.jsonl, what each row is of
  safetensors  features (K, ...), boxes (K, 4), image_index, pos_boxes
  parquet      a row a box: image_id, box, features, a list of fixed size
  webdataset   a folder of tar files, a sample an image: features.npy, boxes.npy, json
  bua          as bottom-up-attention.pytorch: x, bbox, num_bbox, image_h, image_w, info
  ban          as ban-vqa: image_features, image_bb, spatial_features, pos_boxes; a pickle of ids

\b
Examples:
  msroi export crops.h5 padded.h5 --layout padded --max-boxes 100
  msroi export crops.h5 features.tsv --layout tsv --reduce mean --pyramid features.h5
  msroi export crops.h5 vectors.parquet --layout parquet --reduce mean --normalize l2
"""


@click.command(epilog=EPILOG)
@click.argument("crops")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(list(LAYOUTS)), required=True, help="Layout of the output, listed below.")
@options.reduce_option
@click.option("--normalize", type=click.Choice(["l2"]), help="Scale vectors (K, C) to length 1.")
@click.option(
    "--pyramid",
    metavar="PYRAMID",
    help="Pyramid with the sizes and scale factors of the images; required for groups, tsv, bua and ban.",
)
@click.option(
    "--box-space",
    "space",
    type=click.Choice(["input", "original"]),
    default="input",
    show_default=True,
    help="Write boxes and image sizes in pixels of the network's input or of the original images (requires --pyramid).",
)
@click.option(
    "--max-boxes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep at most N boxes per image: those with the highest scores, or the first N without scores.",
)
@click.option("--used-only", is_flag=True, help="Omit images without boxes.")
@options.overwrite_option
@options.progress_options
def export(crops: str, bar: bool | None, quiet: bool, **given: Any) -> None:
    """Convert the crops file CROPS to another layout, image by image.

    Boxes that were not pooled are left out. The columns level, box_index, score, category_id and annotation_id are
    kept, except in tsv.
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
            say(f"{done.not_pooled:,} boxes left out: not pooled")
        if done.too_many:
            say(f"{done.too_many:,} boxes left out: more than {given['max_boxes']} per image")
