"""`msroi assign`: the level of every box, without features."""

from __future__ import annotations

import json
from typing import Any

import click

from msroi_cli.cli import option_values, options, terminal
from msroi_cli.cli.choice_options import box_choice, choice_options, left_out_text
from msroi_cli.cli.output import number, printable, say, table

EPILOG = """
\b
Examples:
  msroi assign instances.json --strides 4,8,16,32 --compat torchvision > levels.jsonl
  msroi assign instances.json --strides 4,8,16,32 --histogram
"""


@click.command(epilog=EPILOG)
@click.argument("boxes")
@options.level_options
@options.rule_options
@options.box_format_option
@options.columns_option
@choice_options
@click.option(
    "--scale-factor",
    callback=option_values.factor,
    metavar="F",
    help="Input pixels per pixel of the boxes: F, or XxY.  [default: 1]",
)
@click.option(
    "--on-bad-box",
    type=click.Choice(["error", "drop", "null"]),
    default="error",
    show_default=True,
    help="Invalid boxes: stop, leave them out, or print null as their level.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "tsv", "json"]),
    default="jsonl",
    show_default=True,
    help="JSON Lines, tab-separated columns with a header, or one JSON document with a histogram.",
)
@click.option(
    "--histogram", is_flag=True, help="Print only the number of boxes per level: a table, or JSON with --format json."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def assign(form: str, histogram: bool, quiet: bool, **given: Any) -> None:
    """Print the pyramid level of each box in BOXES, without features.

    Requires the --strides (or --scales) of the levels, finest first; --levels names them. BOXES as for extract. The
    number of boxes per level goes to standard error.
    """
    from msroi_cli.io.boxes.open import BoxFileOptions
    from msroi_cli.job.assign import FORMATS, AssignRequest
    from msroi_cli.job.assign import assign as assigned

    levels = options.level_choice(given)
    file, choice = BoxFileOptions(given.pop("columns")), box_choice(given)
    result = assigned(AssignRequest(levels=levels, file=file, choice=choice, **given))
    if not quiet and (left_out := left_out_text(result.left_out)):
        say(left_out)
    if not histogram:
        for text in FORMATS[form](result):
            click.echo(text, nl=False)
        if not quiet:
            say(_table(result.histogram(), terminal.width(err=True)), lines=True)
    elif form == "json":
        click.echo(json.dumps({"levels": result.histogram()}))
    else:
        click.echo(printable(_table(result.histogram(), terminal.width()), keep="\n"))


def _table(levels: list[dict[str, Any]], width: int | None) -> str:
    header = ("level", "stride", "boxes", "share", "box size min", "median", "max")
    return table(header, [_row(level) for level in levels], width)


def _row(level: dict[str, Any]) -> list[str]:
    stride = level["stride"] if isinstance(level["stride"], list) else [level["stride"]]
    return [
        level["name"],
        "x".join(f"{side:g}" for side in stride),
        f"{level['boxes']:,}",
        f"{level['share']:.1%}",
        *(number(level["box_size"][name], ".1f") for name in ("min", "median", "max")),
    ]
