"""The options of models: which outputs are levels, and what is done to pictures."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from msroi_cli.errors import ArgumentError, UsageError

if TYPE_CHECKING:
    from msroi_cli.model.options import ModelOptions
    from msroi_cli.model.resize import Resize

F = TypeVar("F", bound=Callable[..., Any])

# Options whose values are fields of `model.preprocessing.Preprocessing`.
CHANGES = ("resize", "pad_to", "interpolation", "rescale", "mean", "std", "color")

# Options whose values are fields of `model.options.ModelOptions`.
OTHERS = ("outputs", "layout", "patch", "prefix_tokens", "preprocessor", "providers", "on_bad_picture")

INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def outputs(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, str] | None:
    """`p2=NAME,p3=NAME`: tensors by level name."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    found = {level.strip(): name.strip() for level, _, name in pairs}
    good = all(re.fullmatch(r"[^/\x00]+", level) and name for level, name in found.items())
    if not good or len(found) < len(pairs):
        raise click.BadParameter(f"expected LEVEL=NAME separated by commas, such as p2=fpn_0,p3=fpn_1, got {text!r}")
    twice = [name for name, count in Counter(found.values()).items() if count > 1]
    if twice:
        raise click.BadParameter(f"expected a tensor of its own for each level, got {twice[0]} twice in {text!r}")
    return found


def resize(ctx: click.Context, param: click.Parameter, text: str | None) -> Resize | None:
    """`shortest=800,longest=1333`, `640x480`, `letterbox=640`: see `model.resize.parse_resize`."""
    if text is None:
        return None
    from msroi_cli.model.resize import parse_resize

    try:
        return parse_resize(text)
    except ArgumentError as error:
        raise click.BadParameter(str(error)) from None


def number(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """`0.5` or `1/255`."""
    return None if text is None else _number(text)


def three(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, float, float] | None:
    """`0.485,0.456,0.406`, or one number for all channels."""
    if text is None:
        return None
    numbers = [_number(part) for part in text.split(",")]
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"expected 3 numbers separated by commas, one a channel, or one for all, got {text!r}")
    return numbers[0], numbers[len(numbers) // 2], numbers[-1]


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / (float(denominator) if slash else 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise click.BadParameter(f"expected a number such as 0.5 or 1/255, got {text[:40]!r}")
    return value


def providers(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """Names separated by commas."""
    return None if text is None else tuple(part.strip() for part in text.split(","))


_OPTIONS = (
    click.option(
        "--outputs",
        callback=outputs,
        metavar="LEVEL=NAME,...",
        help="Tensors of the model that are levels, finest first: p2=NAME,p3=NAME. `msroi inspect MODEL` lists them.",
    ),
    click.option(
        "--layout",
        type=click.Choice(["chw", "hwc"]),
        help="Axes of a map: channels first or last.  [default: chw]",
    ),
    click.option(
        "--patch", type=click.IntRange(1, 1024), metavar="N", help="Outputs (1, T, C) are tokens of N x N pixels."
    ),
    click.option(
        "--prefix-tokens",
        type=click.IntRange(0, 4096),
        metavar="N",
        help="Tokens in front of those of the patches.  [default: as the size of the input tells]",
    ),
    click.option(
        "--preprocessor",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="preprocessor_config.json of Hugging Face that says what is done to pictures; the options below beat it.",
    ),
    click.option(
        "--resize",
        callback=resize,
        metavar="RULE",
        help="shortest=800,longest=1333, WxH or letterbox=640.  [default: no resizing]",
    ),
    click.option(
        "--pad-to",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Pad sides with zeros on the right and at the bottom to multiples of N.",
    ),
    click.option("--interpolation", type=click.Choice(INTERPOLATIONS), help="Of --resize.  [default: bilinear]"),
    click.option("--rescale", callback=number, metavar="NUMBER", help="Factor of all values: 1/255.  [default: 1]"),
    click.option("--mean", callback=three, metavar="A,B,C", help="Subtracted after --rescale, one number a channel."),
    click.option("--std", callback=three, metavar="A,B,C", help="Divided by after --mean, one number a channel."),
    click.option("--color", type=click.Choice(["rgb", "bgr"]), help="Order of the channels.  [default: rgb]"),
    click.option(
        "--providers",
        callback=providers,
        metavar="NAMES",
        help="Execution providers of ONNX Runtime, in order of preference.  [default: CPUExecutionProvider]",
    ),
    click.option(
        "--on-bad-picture",
        type=click.Choice(["error", "skip"]),
        help="Pictures that cannot be read: stop, or leave them out, for which all are read once beforehand.  "
        "[default: error]",
    ),
)


def model_options(command: F) -> F:
    """How a model makes levels of pictures."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


pictures_option = click.option(
    "--pictures",
    metavar="PICTURES",
    help="PYRAMID is an ONNX model, run on these pictures: a folder, a quoted pattern or @FILE. Ids are their stems; "
    "boxes are in pixels of the pictures unless --box-space says otherwise.",
)


def model_of(given: dict[str, Any], pictures: str | None) -> ModelOptions | None:
    """Removes the values of `model_options` from `given` and returns them, None without pictures.

    Raises UsageError for options of a model without pictures.
    """
    values = {name: given.pop(name) for name in (*OTHERS, *CHANGES)}
    values = {name: value for name, value in values.items() if value is not None}
    if pictures is None:
        if values:
            raise UsageError(f"--{next(iter(values)).replace('_', '-')}: expected with --pictures, got it alone")
        return None
    from msroi_cli.model.options import ModelOptions

    changes = {name: values.pop(name) for name in CHANGES if name in values}
    return ModelOptions(pictures, changes=changes, **values)
