"""The statistics of a crops file as a chart, with matplotlib: boxes per level, their sizes, their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from msroi_cli.job.stats import CropStatistics, Distribution
from msroi_cli.preview.plots.charts import ShownSizes, chart, draw_sizes, hex_colour, literal

# The largest share of values between two grid lines is 1; beyond a thousand lines nothing is seen.
SMALLEST_SHARE = 1e-6


def stats_plot(statistics: CropStatistics, spread: Sequence[Distribution], title: str, suffix: str) -> bytes:
    """The chart as a file of the format that `suffix` names; spread: of each level, over the same edges."""
    names = [literal(name) for name in statistics.summary.names]

    def draw(figure: Any) -> None:
        upper, middle, lower = figure.subplots(3, 1, height_ratios=[1 + 0.25 * len(names), 3, 3])
        figure.suptitle(literal(title, 80))
        _boxes_per_level(upper, statistics, names)
        draw_sizes(middle, ShownSizes(statistics.sizes, statistics.level, names, statistics.bounds))
        _values(lower, spread, names)

    return chart((9, 8 + 0.2 * len(names)), suffix, draw)


def _boxes_per_level(axes: Any, statistics: CropStatistics, names: list[str]) -> None:
    """A bar per level, with its count and share."""
    levels = statistics.summary.levels
    bars = axes.barh(names, [level.boxes for level in levels], color=[hex_colour(i) for i in range(len(names))])
    axes.bar_label(bars, [f"{level.boxes:,} ({level.share:.1%})" for level in levels], padding=4)
    axes.set(title="Boxes per level", xlim=(0, 1.2 * max([level.boxes for level in levels] + [1])))
    axes.invert_yaxis()


def _values(axes: Any, spread: Sequence[Distribution], names: list[str]) -> None:
    """The share of each level's values in each of many small ranges, on a logarithmic axis."""
    drawn = False
    for level, one in enumerate(spread):
        share = one.counts / max(1, one.total)
        if share.any():
            axes.stairs(np.maximum(share, SMALLEST_SHARE), one.edges, color=hex_colour(level), label=names[level])
            drawn = True
    axes.set(title="Crop values within 4 standard deviations", xlabel="value", ylabel="share of the level's values")
    axes.set_yscale("log")
    axes.set_ylim(SMALLEST_SHARE, 1)
    if drawn:
        axes.legend(loc="upper right", ncols=2, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center")
