"""`msroi preview`: pictures of boxes, of crops and of levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from msroi_cli.cli import option_values, options
from msroi_cli.cli.choice_options import box_choice, choice_options
from msroi_cli.cli.desktop import open_file, open_option

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
PYRAMID_EPILOG = """
\b
Example:
  msroi preview pyramid features.h5 --image 17 --picture 17.jpg -o levels.png
"""

_out = click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, metavar="PNG", help="Picture to write."
)
_picture = click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture of the image, in any format that Pillow reads.",
)
_show = click.option(
    "--show",
    callback=option_values.shown,
    default="mean",
    show_default=True,
    metavar="WHAT",
    help="mean of the channels, the number of a channel, or pca: the first three principal components as colours.",
)


def _image(default: str) -> Callable[[options.F], options.F]:
    return click.option("--image", metavar="ID", help=f"Image to show.  [default: {default}]")


@click.group()
def preview() -> None:
    """Draw boxes over a picture, a contact sheet of crops, or the levels of an image side by side."""


@preview.command(epilog=BOXES_EPILOG)
@click.argument("pyramid")
@click.argument("boxes")
@_out
@_image("the first with boxes")
@_picture
@click.option(
    "--label",
    callback=option_values.labels,
    metavar="NAMES",
    help="Write at each box: id (of the annotation, else its row in BOXES), score, category or level; or several: "
    "category,score.",
)
@options.rule_options
@options.level_options
@options.group_option
@options.box_reading_options
@choice_options
@open_option
@options.overwrite_option
def boxes(out: Path, opened: bool, overwrite: bool, **given: Any) -> None:
    """Draw the BOXES of one image of PYRAMID, coloured by level.

    The background is --picture, the original image, or without it the mean over the channels of the finest level. It is
    paler behind 20 boxes or more. Labels for which there is no room are left out, those of the lowest scores first.
    """
    from msroi_cli.job.request import BoxOptions, PoolOptions
    from msroi_cli.preview.boxes import BoxesRequest, preview_boxes

    _check(out, overwrite, (given[name] for name in ("pyramid", "boxes", "coco_images", "picture")))
    levels = options.level_choice(given)
    rule = {name: given.pop(name) for name in ("compat", "canonical_level", "canonical_scale")}
    reading = ("box_format", "box_space", "normalized", "image_key", "columns", "coco_images")
    box = {"choice": box_choice(given), **{name: given.pop(name) for name in reading}}
    request = BoxesRequest(pool=PoolOptions(**rule), box=BoxOptions(**box), levels=levels, **given)
    _write(out, preview_boxes(request), overwrite, opened)


@preview.command(epilog=CROPS_EPILOG)
@click.argument("crops")
@_out
@_image("all; with --picture, the first")
@_picture
@click.option("--pyramid", metavar="PYRAMID", help="Pyramid of the crops; required with --picture.")
@_show
@click.option(
    "--components",
    type=click.Choice(["all", "level"]),
    help="Principal components of all crops together, or of those of each level.  [default: all]",
)
@click.option(
    "--sort",
    type=click.Choice(["score", "level", "size"]),
    help="Highest score, finest level or largest box first.  [default: in the order of the file]",
)
@click.option("--min-score", type=float, metavar="S", help="Show crops with a score of at least S.")
@click.option(
    "--top", type=click.IntRange(min=1), metavar="N", help="Show the N crops of each image with the highest scores."
)
@click.option(
    "--count",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    metavar="N",
    help="Maximum number of crops.",
)
@open_option
@options.overwrite_option
def crops(out: Path, opened: bool, overwrite: bool, **given: Any) -> None:
    """Draw a contact sheet of the crops file CROPS: each crop as a heat map, above its image, box, score and level.

    A box is its row in the box file. With --picture and --pyramid, the picture inside its box is shown beside each
    crop. If there are more than --count crops, evenly spaced ones are shown, of their order by --sort.
    """
    from msroi_cli.preview.crops import CropsRequest, preview_crops

    _check(out, overwrite, (given["crops"], given["pyramid"], given["picture"]))
    _write(out, preview_crops(CropsRequest(**given)), overwrite, opened)


@preview.command(epilog=PYRAMID_EPILOG)
@click.argument("pyramid")
@_out
@_image("the first")
@_picture
@_show
@options.level_options
@options.group_option
@open_option
@options.overwrite_option
def pyramid(out: Path, opened: bool, overwrite: bool, **given: Any) -> None:
    """Draw the levels of one image of PYRAMID side by side, with --picture beside them.

    Every level has its own range of colours, or its own principal components. All are as large as the network's input.
    """
    from msroi_cli.preview.pyramid import PyramidRequest, preview_pyramid

    _check(out, overwrite, (given["pyramid"], given["picture"]))
    request = PyramidRequest(levels=options.level_choice(given), **given)
    _write(out, preview_pyramid(request), overwrite, opened)


def _check(out: Path, overwrite: bool, inputs: Any) -> None:
    from msroi_cli.io.files.target import check_suffix, check_target
    from msroi_cli.io.pyramid.many.paths import input_paths

    check_suffix(out, "PNG")
    check_target(out, overwrite, inputs=input_paths(*inputs))


def _write(out: Path, picture: Any, overwrite: bool, opened: bool) -> None:
    from msroi_cli.io.files.picture import write_png

    write_png(out, picture, overwrite)
    if opened:
        open_file(out)
