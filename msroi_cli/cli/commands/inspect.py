"""`msroi inspect`: what is in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click

from msroi_cli.cli import options, terminal
from msroi_cli.cli.output import byte_size, findings_text, number, printable, readable, say, table
from msroi_cli.errors import MsroiError, UsageError

EPILOG = """
\b
Examples:
  msroi inspect features.h5 instances.json crops.h5
  msroi inspect crops.h5 --plot sizes.png
"""

CATEGORIES_SHOWN, SOURCES_SHOWN = 10, 20
# The width of the names of most parameters.
NAME = 16


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file, one per line.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Draw the box sizes of FILE, crops (by level) or boxes, to a .png, .svg or .pdf file (extra plot).",
)
@options.overwrite_option
@click.pass_context
def inspect(context: click.Context, files: tuple[str, ...], as_json: bool, plot: Path | None, overwrite: bool) -> None:
    """Describe each FILE: a feature pyramid, boxes, crops, or the tensors of an ONNX model that could be levels.

    Large files are sampled: sizes and storage of up to 32 images, values of a few channels of up to 4 images.

    FILE::/group is a group of an HDF5 file; - reads boxes from standard input.
    """
    from msroi_cli.job.inspect.describe import inspect as describe

    if plot is not None:
        _check_plot(plot, files, overwrite)
    code = 0
    for index, name in enumerate(files):
        try:
            info = describe(name)
        except MsroiError as error:
            if len(files) == 1:
                raise
            say(f"msroi: error: {error}")
            code = code or error.exit_code
            continue
        if as_json:
            click.echo(json.dumps(info))
        else:
            click.echo(("\n" if index else "") + printable(_SHOWN[info["kind"]](info), keep="\n"))
        if plot is not None:
            _plot(name, info["kind"], plot, overwrite)
    context.exit(code)


def _check_plot(plot: Path, files: tuple[str, ...], overwrite: bool) -> None:
    from msroi_cli.io.files.target import check_target
    from msroi_cli.job.inspect.sizes import check_file
    from msroi_cli.preview.plots.charts import check_plot

    if len(files) > 1:
        raise UsageError(f"--plot: expected one FILE, got {len(files)}")
    check_plot(plot)
    check_file(files[0])
    check_target(plot, overwrite, inputs=files)


def _plot(name: str, kind: str, plot: Path, overwrite: bool) -> None:
    from msroi_cli.io.files.atomic import write_whole
    from msroi_cli.job.inspect.sizes import sizes_of
    from msroi_cli.preview.plots.sizes_plot import sizes_plot

    write_whole(plot, sizes_plot(sizes_of(name, kind), name, plot.suffix), overwrite)


def _pyramid(info: dict[str, Any]) -> str:
    ids = ", ".join(map(readable, info["image_ids"])) + (", ..." if info["images"] > len(info["image_ids"]) else "")
    channels = "/".join(map(str, dict.fromkeys(info["level_channels"])))
    lines = [
        f"{info['file']}: pyramid, {info['layout']}, {channels} channels, {byte_size(info['bytes'])}",
        f"  images        {info['images']:,}: {ids}",
        f"  scale factor  {_pairs(info['scale_factor'], 'input pixels per original pixel')}",
        f"  offset        {_pairs(info['offset'], 'input pixels')}",
        f"  image size    {_pairs(info['image_size'], 'original pixels')}",
    ]
    header = ("  level", "stride", "height", "width", "dtype", "chunks", "filters", "bytes", "min", "max", "NaN", "inf")
    levels = table(header, [_level_row(level) for level in info["levels"]], terminal.width())
    note = f"  heights, widths and bytes from {info['images_looked_at']} images, values from fewer"
    return "\n".join([*lines, levels, *([note] if info["images_looked_at"] < info["images"] else [])])


def _level_row(level: dict[str, Any]) -> list[str]:
    sample = level["sample"]
    stride = level["stride"]
    return [
        f"  {level['name']}",
        "unknown" if stride is None else "x".join(f"{side:g}" for side in dict.fromkeys(stride)),
        _extent(level["height"], "g"),
        _extent(level["width"], "g"),
        " ".join([level["dtype"], *(layout for layout in level["layout"] if layout != "chw")]),
        _either("x".join(map(str, chunks or ())) for chunks in level["chunks"]),
        _either("+".join(filters) for filters in level["filters"]),
        byte_size(level["bytes"]),
        number(sample["min"], ".4g"),
        number(sample["max"], ".4g"),
        number(sample["nan_share"], ".2%"),
        number(sample["infinite_share"], ".2%"),
    ]


def _either(words: Iterable[str]) -> str:
    shown = [word or "none" for word in words]
    return " or ".join(shown) if len(shown) < 3 else f"{len(shown)} kinds"


def _extent(pair: list[float] | None, form: str) -> str:
    if pair is None:
        return "-"
    low, high = pair
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def _pairs(info: dict[str, list[float]] | None, unit: str) -> str:
    return "none" if info is None else f"{_extent(info['x'], '.4g')} x {_extent(info['y'], '.4g')} {unit}"


def _boxes(info: dict[str, Any]) -> str:
    per_image = info["boxes_per_image"] or {"p0": 0, "p50": 0, "p100": 0}
    some = ", ".join(map(readable, info["image_ids"] or ()))
    ids = f": {some}" + (", ..." if info["images"] > 5 else "") if some else ""
    lines = [
        f"{info['file']}: boxes, {info['format']}, {info['box_format']}",
        f"  boxes     {info['boxes']:,}",
        f"  images    {info['images']:,}, by {info['images_named_by']}{ids}",
        f"  an image  {per_image['p0']:g} to {per_image['p100']:g} boxes, median {per_image['p50']:g}",
        f"  x         {_extent(info['x'], '.6g')}",
        f"  y         {_extent(info['y'], '.6g')}",
        f"  columns   {', '.join(info['columns']) or 'none'}",
    ]
    if info["image_sizes"]:
        lines.append(f"  sizes     of {info['image_sizes']:,} images are given")
    if info["not_poolable"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in info["not_poolable"].items())
        lines.append(f"  bad       {reasons}")
    if info["size"]:
        header = ("  percentile", *(name[1:] for name in info["size"]))
        rows = [
            [f"  {name}", *(f"{value:.5g}" for value in info[name].values())] for name in ("width", "height", "size")
        ]
        lines.append(table(header, rows, terminal.width()))
    return "\n".join(lines + _categories(info["categories"]))


def _categories(categories: list[dict[str, Any]] | None) -> list[str]:
    if not categories:
        return []
    rows = [[f"  {entry['name'] or entry['id']}", f"{entry['boxes']:,}"] for entry in categories[:CATEGORIES_SHOWN]]
    more = len(categories) - len(rows)
    shown = table(("  category", "boxes"), rows)
    return [shown, f"  and {more:,} categories more"] if more > 0 else [shown]


def _crops(info: dict[str, Any]) -> str:
    from msroi_cli.job.validate.findings import Finding

    parameters = info["parameters"]
    size = "x".join(map(str, info["shape"][1:]))
    storage = "one run of bytes" if info["chunks"] is None else f"chunks of {info['chunks'][0]} crops"
    filters = f", {'+'.join(info['filters'])}" if info["filters"] else ""
    lines = [
        f"{info['file']}: crops, {info['shape'][0]:,} of {size}, {info['dtype']}, {byte_size(info['bytes'])}",
        f"  stored      {storage}{filters}",
        f"  made        by {info['generated_by']}, {info['creation_date']}",
        f"  images      {info['images']:,}, {info['images_with_crops']:,} of them with crops",
        f"  not pooled  {info['invalid_boxes']:,} boxes",
        f"  columns     {', '.join(info['columns']) or 'none'}",
        *_sources(info["sources"]),
        "  parameters",
        *(f"    {name:{NAME}} {json.dumps(value)}" for name, value in parameters.items() if name != "made"),
        *([f"  features    {json.dumps(parameters['made'])}"] if "made" in parameters else []),
    ]
    lines += [f"  {line}" for line in findings_text(list(map(Finding.parse, info["warnings"]))).splitlines()]
    sizes, values = ("size min", "median", "max"), ("mean", "std", "min", "max", "zeros", "nonfinite")
    header = ("  level", "stride", "boxes", "share", *sizes, *values)
    return "\n".join([*lines, table(header, [_stats_row(row) for row in info["levels"]], terminal.width())])


def _sources(sources: Mapping[str, Any]) -> list[str]:
    """A line for each of the first sources, and how many more there are."""
    lines = [
        f"  {role:11} {entry.get('name')}, {byte_size(entry.get('size', 0))}"
        for role, entry in islice(sources.items(), SOURCES_SHOWN)
    ]
    more = len(sources) - SOURCES_SHOWN
    return [*lines, f"  and {more:,} sources more"] if more > 0 else lines


def _stats_row(row: dict[str, Any]) -> list[str]:
    stride = dict.fromkeys((row["stride_y"], row["stride_x"]))
    return [
        f"  {row['name']}",
        "x".join(number(side, "g") for side in stride),
        f"{row['boxes']:,}",
        number(row["share"], ".1%"),
        *(number(row[f"box_size_{name}"], ".1f") for name in ("min", "median", "max")),
        *(number(row[name], ".4g") for name in ("mean", "std", "min", "max")),
        number(row["zero_fraction"], ".1%"),
        number(row.get("nonfinite"), ",.0f"),
    ]


def _model(info: dict[str, Any]) -> str:
    shape = " x ".join("any" if side is None else str(side) for side in info["input"]["shape"])
    lines = [
        f"{info['file']}: model, {byte_size(info['bytes'])}",
        f"  input     {info['input']['name']}, {shape}, {info['input']['dtype']}",
        f"  measured  with a blank picture of {' x '.join(map(str, info['measured_with']))}",
    ]
    rows = [
        [f"  {one['name']}", "output" if one["output"] else "inside", "x".join(map(str, one["shape"])), _stride(one)]
        for one in info["tensors"]
    ]
    return "\n".join([*lines, table(("  tensor", "", "shape", "stride"), rows, terminal.width())])


def _stride(tensor: dict[str, Any]) -> str:
    return number(tensor["stride"], "g")


_SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "pyramid": _pyramid,
    "boxes": _boxes,
    "crops": _crops,
    "model": _model,
}
