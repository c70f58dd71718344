"""`msroi stats`: the statistics of a crops file, computed from its crops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from msroi_cli.cli import options, terminal
from msroi_cli.cli.output import level_table, printable, progress, say

if TYPE_CHECKING:
    from msroi_cli.io.crops.reader import Crops
    from msroi_cli.job.stats import CropStatistics

EPILOG = """
\b
Example:
  msroi stats crops.h5 --plot stats.png
"""


@click.command(epilog=EPILOG)
@click.argument("crops")
@click.option("--json", "as_json", is_flag=True, help="Print JSON as extract --stats writes it; times are null.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw them to a .png, .svg or .pdf file (extra plot).",
)
@options.overwrite_option
@options.progress_options
def stats(crops: str, as_json: bool, plot: Path | None, overwrite: bool, bar: bool | None, quiet: bool) -> None:
    """Print statistics per level of the crops file CROPS, computed from its boxes and crops.

    The chart has the boxes per level, a histogram of their sizes with the bounds between the levels, and the
    distribution of the crops' values.
    """
    from msroi_cli.io.files.target import check_target
    from msroi_cli.job.crops import open_crops
    from msroi_cli.job.stats import recomputed

    if plot is not None:
        from msroi_cli.preview.plots.charts import check_plot

        check_plot(plot)
        check_target(plot, overwrite, inputs=[crops])
    with open_crops(crops) as opened:
        with progress(len(opened), bar, quiet) as advance:
            found = recomputed(opened, advance)
        text = (
            json.dumps(found.summary.as_dict(), indent=2) if as_json else level_table(found.summary, terminal.width())
        )
        click.echo(printable(text, keep="\n"))
        reduced = opened.parameters.get("reduce")
        if reduced and not quiet:
            say(f"{crops}: of vectors (--reduce {reduced}); the file's own stats are those of the crops")
        if plot is not None:
            _plot(opened, found, plot, overwrite)
            if not quiet:
                say(f"{plot}: written")


def _plot(crops: Crops, found: CropStatistics, plot: Path, overwrite: bool) -> None:
    from msroi_cli.io.files.atomic import write_whole
    from msroi_cli.job.stats import distributions
    from msroi_cli.preview.plots.stats_plot import stats_plot

    write_whole(plot, stats_plot(found, distributions(crops, found), crops.path.name, plot.suffix), overwrite)
