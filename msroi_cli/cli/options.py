"""The options that commands share, each named and worded once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from msroi_cli.core.spec import MAX_OUTPUT_SIDE, MAX_SAMPLING_RATIO, MAX_SCALE, MIN_SCALE, PRESETS
from msroi_cli.errors import UsageError

if TYPE_CHECKING:
    from msroi_cli.io.pyramid import LevelChoice

F = TypeVar("F", bound=Callable[..., Any])


def _size(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, int]:
    """`7` or `7x5`: bins of a crop, height x width."""
    match = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text.lower())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < height <= MAX_OUTPUT_SIDE and 0 < width <= MAX_OUTPUT_SIDE):
        raise click.BadParameter(f"expected N or HxW, such as 7 or 7x5, up to {MAX_OUTPUT_SIDE}, got {text[:20]!r}")
    return height, width


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30, "t": 10**12, "ti": 2**40}


def _bytes(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """`512MB`, `1.5GiB`, `1000000`: bytes, at least a mebibyte."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]i?|)b?\s*", text.lower())
    size = float(match[1]) * UNITS[match[2]] if match else 0
    if not 2**20 <= size < 2**60:
        raise click.BadParameter(f"expected a size of at least 1MiB, such as 512MB or 2GiB, got {text!r}")
    return int(size)


def compression(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """`gzip`, `gzip:9` or `lzf`: the name and the level."""
    if text is None:
        return None
    match = re.fullmatch(r"(gzip)(?::([1-9]))?|(lzf)", text)
    if not match:
        raise click.BadParameter(f"expected gzip, gzip:LEVEL with a level from 1 to 9, or lzf, got {text!r}")
    return match[1] or match[3], int(match[2] or 4)


def _names(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`p2,p3,p4`: different names separated by commas."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"expected different names separated by commas, such as p2,p3,p4, got {text!r}")
    return names


def _numbers(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`4,8,16` or, with the y and the x axis apart, `4x4.2,8x8.4`; fractions such as 1/4 too."""
    if text is None:
        return None
    try:
        return tuple(_pair(part) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(
            f"expected numbers above 0 separated by commas, such as 4,8,16, got {text!r}"
        ) from None


def shown(ctx: click.Context, param: click.Parameter, text: str) -> str:
    """`mean`, `pca` or the number of a channel."""
    if text not in ("mean", "pca") and not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"expected mean, pca or the number of a channel, got {text!r}")
    return text


def factor(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, float]:
    """`1.6` or `1.6x1.5`: a number above 0 for x and y, or one for each; 1 if nothing was said."""
    try:
        return (1.0, 1.0) if text is None else _pair(text)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"expected a number above 0, or XxY, such as 1.6 or 1.6x1.5, got {text!r}") from None


def _pair(text: str) -> tuple[float, float]:
    numbers = [_number(part) for part in text.split("x")]
    if len(numbers) > 2:
        raise ValueError(text)
    return numbers[0], numbers[-1]


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    number = float(numerator) / (float(denominator) if slash else 1)
    if not MIN_SCALE <= number <= MAX_SCALE:
        raise ValueError(text)
    return number


def memory_option(command: F) -> F:
    """How much memory the work may take."""
    return _with(
        command,
        click.option(
            "--memory",
            callback=_bytes,
            default="1GiB",
            show_default=True,
            metavar="SIZE",
            help="Memory for crops and features under way: 512MB, 2GiB.",
        ),
    )


_COMPAT = click.option(
    "--compat",
    type=click.Choice(list(PRESETS)),
    default="lucid",
    show_default=True,
    help="The framework whose level rule and pixel model to follow.",
)
_CANONICAL = (
    click.option(
        "--canonical-level",
        type=int,
        metavar="L",
        help="The level of a box of canonical scale, counted as the preset counts.  [default: the preset's]",
    ),
    click.option(
        "--canonical-scale",
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="Box size sqrt(w*h), in input pixels, that belongs to the canonical level.  [default: the preset's]",
    ),
)


def rule_options(command: F) -> F:
    """What decides the level of a box."""
    return _with(command, _COMPAT, *_CANONICAL)


def pool_options(command: F) -> F:
    """What decides the numbers of a crop."""
    return _with(
        command,
        click.option(
            "--output-size",
            callback=_size,
            default="7",
            show_default=True,
            metavar="SIZE",
            help="Bins of a crop: N, or HxW.",
        ),
        click.option(
            "--sampling-ratio",
            type=click.IntRange(-1, MAX_SAMPLING_RATIO),
            metavar="N",
            help="Samples per bin and axis; -1 or 0: as many as a bin has cells.  [default: the preset's]",
        ),
        _COMPAT,
        click.option(
            "--aligned/--no-aligned",
            default=None,
            help="Shift boxes by half a cell, as newer implementations do.  [default: the preset's]",
        ),
        *_CANONICAL,
    )


def level_options(command: F) -> F:
    """Which datasets are levels, and how large a cell is."""
    return _with(
        command,
        click.option(
            "--levels",
            callback=_names,
            metavar="NAMES",
            help="The levels, finest first: p2,p3,p4.  [default: all float datasets of the right rank]",
        ),
        click.option(
            "--strides",
            callback=_numbers,
            metavar="NUMBERS",
            help="Input pixels per cell of each level: 4,8,16; instead of the file's own.",
        ),
        click.option(
            "--scales",
            callback=_numbers,
            metavar="NUMBERS",
            help="Cells per input pixel of each level: 0.25,0.125 or 1/4,1/8; instead of --strides.",
        ),
    )


def level_choice(given: dict[str, Any]) -> LevelChoice:
    """Takes what `level_options` gave out of `given`."""
    from msroi_cli.io.pyramid import LevelChoice

    names, strides, scales = (given.pop(name) for name in ("levels", "strides", "scales"))
    if strides and scales:
        raise UsageError("--strides: expected without --scales, got both")
    return LevelChoice(names, strides, scales)


box_format_option = click.option(
    "--box-format",
    type=click.Choice(["xyxy", "xywh", "cxcywh"]),
    help="What four numbers mean.  [default: xyxy; xywh for COCO]",
)


def box_reading_options(command: F) -> F:
    """How the boxes of a file are meant."""
    return _with(
        command,
        box_format_option,
        click.option(
            "--box-space",
            type=click.Choice(["original", "input"]),
            help="Boxes are in pixels of the original image (times the pyramid's scale factor) or of the input.",
        ),
        click.option("--normalized", is_flag=True, help="Boxes are fractions of the image's width and height."),
        click.option(
            "--image-key",
            type=click.Choice(["id", "file_name"]),
            default="id",
            show_default=True,
            help="What the pyramid's image ids are: the boxes' image ids, or file names or their stems.",
        ),
    )


def box_options(command: F) -> F:
    """How the boxes of a file are meant, and what becomes of bad ones."""
    return box_reading_options(
        _with(
            command,
            click.option(
                "--on-bad-box",
                type=click.Choice(["error", "drop", "zero", "nan"]),
                default="error",
                show_default=True,
                help="Boxes that cannot be pooled: stop, leave them out, or fill their crops.",
            ),
        )
    )


def output_option(command: F) -> F:
    """Where to write."""
    return _with(
        command,
        click.option(
            "-o",
            "--output",
            "out",
            type=click.Path(path_type=Path),
            required=True,
            metavar="OUT",
            help="The crops file to write, HDF5.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace OUT if it exists, and start anew."),
        click.option("--resume", is_flag=True, help="Go on with the job that was killed while it made OUT."),
    )


LAYOUTS = ("padded", "groups", "ragged", "npz", "tsv")

reduce_option = click.option(
    "--reduce",
    type=click.Choice(["mean", "max"]),
    help="Vectors (K, C) instead of crops: the mean or the maximum of the bins of each channel.",
)

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")


def progress_options(command: F) -> F:
    """Whether progress is shown; the parameters are `bar` and `quiet`."""
    return _with(
        command,
        click.option(
            "--progress/--no-progress", "bar", default=None, help="Show a progress bar.  [default: on a terminal only]"
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    )


def talk_options(command: F) -> F:
    """How much is said on standard error."""
    return _with(
        command,
        click.option(
            "--progress/--no-progress", default=None, help="Show a progress bar.  [default: on a terminal only]"
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
        click.option("-v", "--verbose", is_flag=True, help="Say what was found and decided."),
    )


def _with(command: F, *decorators: Callable[[F], F]) -> F:
    """Applies decorators so that help lists them in the order given."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command
