"""The options that several commands share, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from msroi_cli.cli import option_values
from msroi_cli.core.spec import MAX_SAMPLING_RATIO, PRESETS
from msroi_cli.errors import UsageError

if TYPE_CHECKING:
    from msroi_cli.io.pyramid.levels import LevelChoice

F = TypeVar("F", bound=Callable[..., Any])


def memory_option(command: F) -> F:
    """How much memory the job may take."""
    return with_options(
        command,
        click.option(
            "--memory",
            callback=option_values.byte_count,
            default="1GiB",
            show_default=True,
            metavar="SIZE",
            help="Memory for the crops and features in flight: 512MB, 2GiB.",
        ),
    )


_COMPAT = click.option(
    "--compat",
    type=click.Choice(list(PRESETS)),
    default="lucid",
    show_default=True,
    help="Framework whose level rule and pixel model to follow.",
)
_CANONICAL = (
    click.option(
        "--canonical-level",
        type=int,
        metavar="L",
        help="Level of a box of canonical scale, numbered as the preset numbers levels.  [default: the preset's]",
    ),
    click.option(
        "--canonical-scale",
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="Box size sqrt(w*h), in input pixels, pooled from the canonical level.  [default: the preset's]",
    ),
)


def rule_options(command: F) -> F:
    """Options of the level rule."""
    return with_options(command, _COMPAT, *_CANONICAL)


def pool_options(command: F) -> F:
    """Options of the pooling."""
    return with_options(
        command,
        click.option(
            "--output-size",
            callback=option_values.size,
            default="7",
            show_default=True,
            metavar="SIZE",
            help="Bins of a crop: N or HxW.",
        ),
        click.option(
            "--sampling-ratio",
            type=click.IntRange(-1, MAX_SAMPLING_RATIO),
            metavar="N",
            help="Samples per bin and axis; -1 or 0: adaptive, ceil(box side / bins).  [default: the preset's]",
        ),
        _COMPAT,
        click.option(
            "--aligned/--no-aligned",
            default=None,
            help="Shift boxes by half a cell.  [default: the preset's]",
        ),
        *_CANONICAL,
    )


group_option = click.option(
    "--group",
    metavar="TEMPLATE",
    help="Where the group of an image lies in HDF5: images/{id}/features.  [default: {id}]",
)


assign_option = click.option(
    "--assign",
    default="canonical",
    show_default=True,
    metavar="RULE",
    help="Level of a box: canonical, by its size; the name of one level for all boxes; or all: crops of every level, "
    "one after another along the channels.",
)


def level_options(command: F) -> F:
    """Which datasets are the levels, and their strides."""
    return with_options(
        command,
        click.option(
            "--levels",
            callback=option_values.names,
            metavar="NAMES",
            help="Names of the levels, finest first: p2,p3,p4.  [default: all float datasets of matching rank]",
        ),
        click.option(
            "--strides",
            callback=option_values.numbers,
            metavar="NUMBERS",
            help="Input pixels per cell of each level: 4,8,16. Overrides the file.",
        ),
        click.option(
            "--scales",
            callback=option_values.numbers,
            metavar="NUMBERS",
            help="Cells per input pixel of each level: 0.25,0.125 or 1/4,1/8. Replaces --strides.",
        ),
        click.option(
            "--allow-external",
            is_flag=True,
            help="Read files that an HDF5 pyramid leads to, wherever they are, not only below its own folder.",
        ),
        click.option(
            "--allow-fill", is_flag=True, help="Read values that were never written to an HDF5 pyramid as fill values."
        ),
    )


def level_choice(given: dict[str, Any]) -> LevelChoice:
    """Removes the values of `level_options` from `given` and returns them as one choice."""
    from msroi_cli.io.files.access import Access
    from msroi_cli.io.pyramid.levels import LevelChoice

    names, strides, scales = (given.pop(name) for name in ("levels", "strides", "scales"))
    group = given.pop("group", None)
    access = Access(given.pop("allow_external"), given.pop("allow_fill"))
    if strides and scales:
        raise UsageError("--strides: expected without --scales, got both")
    return LevelChoice(names, strides, scales, group=group, access=access)


box_format_option = click.option(
    "--box-format",
    type=click.Choice(["xyxy", "xywh", "cxcywh"]),
    help="Meaning of the four numbers of a box.  [default: xyxy; xywh for COCO]",
)


columns_option = click.option(
    "--columns",
    callback=option_values.columns,
    metavar="NAMES",
    help="Columns of CSV, TSV or Parquet that have names of their own: image_id=pic,x1=left,delimiter=semicolon; "
    "score= leaves one out.",
)


def box_reading_options(command: F) -> F:
    """How to interpret the boxes of a file."""
    return with_options(
        command,
        box_format_option,
        click.option(
            "--box-space",
            type=click.Choice(["original", "input"]),
            help="Boxes are in pixels of the original image or of the network's input.  [required if the pyramid "
            "has scale factors]",
        ),
        click.option("--normalized", is_flag=True, help="Boxes are fractions of the image's width and height."),
        click.option(
            "--image-key",
            type=click.Choice(["index", "id", "file_name"]),
            help="How boxes name their image: by its index in the pyramid, its id there, or a file name that is "
            "its id, with or without folders and suffix.  [default: numbers are indices, names are ids]",
        ),
        columns_option,
        click.option(
            "--coco-images",
            metavar="FILE",
            help="The COCO data set that COCO results belong to: file names, sizes and categories.",
        ),
    )


def box_options(command: F) -> F:
    """How to interpret the boxes of a file, and what to do with invalid ones."""
    return box_reading_options(
        with_options(
            command,
            click.option(
                "--on-bad-box",
                type=click.Choice(["error", "drop", "zero", "nan"]),
                default="error",
                show_default=True,
                help="Invalid boxes: stop, leave them out, or fill their crops with 0 or NaN.",
            ),
            click.option(
                "--on-unknown-image",
                type=click.Choice(["error", "skip"]),
                default="error",
                show_default=True,
                help="Boxes of images that are not in the pyramid: stop, or leave them out; with --on-bad-box zero or "
                "nan their crops are filled, too.",
            ),
        )
    )


def output_option(command: F) -> F:
    """The output file, and what to do if it exists."""
    return with_options(
        command,
        click.option(
            "-o",
            "--output",
            "out",
            type=click.Path(path_type=Path),
            required=True,
            metavar="OUT",
            help="File to write, HDF5.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace OUT if it exists; discard an interrupted job."),
        click.option("--resume", is_flag=True, help="Continue the interrupted job that was writing OUT."),
    )


reduce_option = click.option(
    "--reduce",
    type=click.Choice(["mean", "max"]),
    help="Write vectors (K, C): the mean or maximum over the bins of each channel.",
)

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")


def progress_options(command: F) -> F:
    """Whether to show progress; the parameters are `bar` and `quiet`."""
    return with_options(
        command,
        click.option(
            "--progress/--no-progress", "bar", default=None, help="Show a progress bar.  [default: on a terminal only]"
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    )


CAUSES = "msroi.causes"


def note_verbose(ctx: click.Context, param: click.Parameter, verbose: bool) -> bool:
    """Remembers --verbose for the whole command line."""
    ctx.meta[CAUSES] = ctx.meta.get(CAUSES, False) or verbose
    return verbose


def wants_causes(ctx: click.Context) -> bool:
    """Whether --verbose was given, before or behind the name of the command."""
    return bool(ctx.meta.get(CAUSES, False))


def verbosity_options(command: F) -> F:
    """How much to print on standard error; the parameters are `bar`, `quiet` and `verbose`."""
    return progress_options(
        with_options(
            command,
            click.option(
                "-v",
                "--verbose",
                is_flag=True,
                callback=note_verbose,
                help="Print the plan and the backend before pooling.",
            ),
        )
    )


def with_options(command: F, *decorators: Callable[[F], F]) -> F:
    """Applies decorators so that help lists them in the order given."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command
