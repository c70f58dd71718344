"""The options that choose among the boxes of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from msroi_cli.cli import option_values
from msroi_cli.cli.options import F, with_options

if TYPE_CHECKING:
    from msroi_cli.job.request import BoxChoice


def choice_options(command: F) -> F:
    """Which boxes of a file are used."""
    return with_options(
        command,
        click.option("--min-score", type=float, metavar="S", help="Use boxes with a score of at least S."),
        click.option(
            "--categories",
            callback=option_values.categories,
            metavar="NAMES",
            help="Use boxes of these categories: ids, or names where BOXES has them: 1,3 or person,car.",
        ),
        click.option(
            "--images",
            callback=option_values.image_ids,
            metavar="IDS",
            help="Use boxes of these images: ids such as 17,4, or @FILE with an id per line.",
        ),
        click.option(
            "--min-size",
            type=click.FloatRange(min=0),
            metavar="PIXELS",
            help="Use boxes of at least this size sqrt(w*h), in input pixels.",
        ),
        click.option(
            "--top",
            type=click.IntRange(min=1),
            metavar="N",
            help="Use the N boxes of each image with the highest scores, after all other choices.",
        ),
    )


def box_choice(given: dict[str, Any]) -> BoxChoice:
    """Removes the values of `choice_options` from `given` and returns them as one choice."""
    from msroi_cli.job.request import BoxChoice, taken

    return taken(BoxChoice, given)


def left_out_text(left_out: Mapping[str, int]) -> str | None:
    """How many boxes are not used, and why; None if all are."""
    if not left_out:
        return None
    reasons = ", ".join(f"{count:,} by {reason}" for reason, count in left_out.items())
    return f"{sum(left_out.values()):,} boxes left out: {reasons}"
