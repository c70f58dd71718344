"""`msroi preview`: pictures of boxes and of crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from msroi_cli.cli import option_values, options
from msroi_cli.cli.choice_options import box_choice, choice_options

BOXES_EPILOG = """
\b
Example:
  msroi preview boxes features.h5 instances.json --box-space original --picture 17.jpg -o boxes.png
"""
CROPS_EPILOG = """
\b
Example:
  msroi preview crops crops.h5 --show pca --image 17 --picture 17.jpg --pyramid features.h5 -o sheet.png
"""

_out = click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, metavar="PNG", help="Picture to write."
)
_image = click.option("--image", metavar="ID", help="Image to show.  [default: the first with boxes]")
_picture = click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture of the image, in any format that Pillow reads.",
)


@click.group()
def preview() -> None:
    """Draw boxes over a picture, or a contact sheet of crops."""


@preview.command(epilog=BOXES_EPILOG)
@click.argument("pyramid")
@click.argument("boxes")
@_out
@_image
@_picture
@options.rule_options
@options.level_options
@options.group_option
@options.box_reading_options
@choice_options
@options.overwrite_option
def boxes(out: Path, overwrite: bool, **given: Any) -> None:
    """Draw the BOXES of one image of PYRAMID, coloured by level.

    The background is --picture, the original image, or without it the mean over the channels of the finest level.
    """
    from msroi_cli.io.files.picture import write_png
    from msroi_cli.io.files.target import check_suffix, check_target
    from msroi_cli.io.pyramid.many.paths import input_paths
    from msroi_cli.job.request import BoxOptions, PoolOptions
    from msroi_cli.preview.previews import BoxesRequest, preview_boxes

    inputs = (given[name] for name in ("pyramid", "boxes", "coco_images", "picture"))
    check_suffix(out, "PNG")
    check_target(out, overwrite, inputs=input_paths(*inputs))
    levels = options.level_choice(given)
    rule = {name: given.pop(name) for name in ("compat", "canonical_level", "canonical_scale")}
    reading = ("box_format", "box_space", "normalized", "image_key", "columns", "coco_images")
    box = {"choice": box_choice(given), **{name: given.pop(name) for name in reading}}
    request = BoxesRequest(pool=PoolOptions(**rule), box=BoxOptions(**box), levels=levels, **given)
    write_png(out, preview_boxes(request), overwrite)


@preview.command(epilog=CROPS_EPILOG)
@click.argument("crops")
@_out
@click.option(
    "--image", metavar="ID", help="Show the crops of this image only.  [default: all; with --picture, the first]"
)
@_picture
@click.option("--pyramid", metavar="PYRAMID", help="Pyramid of the crops; required with --picture.")
@click.option(
    "--show",
    callback=option_values.shown,
    default="mean",
    show_default=True,
    metavar="WHAT",
    help="mean of the channels, the number of a channel, or pca: the first three principal components as colours.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    metavar="N",
    help="Maximum number of crops.",
)
@options.overwrite_option
def crops(out: Path, overwrite: bool, **given: Any) -> None:
    """Draw a contact sheet of the crops file CROPS: each crop as a heat map, with its row and level.

    With --picture and --pyramid, the picture inside its box is shown beside each crop. If there are more than --count
    crops, evenly spaced ones are shown.
    """
    from msroi_cli.io.files.picture import write_png
    from msroi_cli.io.files.target import check_suffix, check_target
    from msroi_cli.io.pyramid.many.paths import input_paths
    from msroi_cli.preview.previews import CropsRequest, preview_crops

    check_suffix(out, "PNG")
    check_target(out, overwrite, inputs=input_paths(given["crops"], given["pyramid"], given["picture"]))
    write_png(out, preview_crops(CropsRequest(**given)), overwrite)
