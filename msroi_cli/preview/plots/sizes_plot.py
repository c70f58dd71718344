"""The sizes of the boxes of a crops file, by level, or of a box file, as a chart."""

from __future__ import annotations

from typing import Any

from msroi_cli.job.inspect.sizes import BoxSizes
from msroi_cli.preview.plots.charts import ShownSizes, chart, draw_sizes, literal


def sizes_plot(found: BoxSizes, title: str, suffix: str) -> bytes:
    """The chart as a file of the format that `suffix` names."""
    names = [literal(name) for name in found.names]
    shown = ShownSizes(found.sizes, found.level, names, found.bounds, found.unit)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        figure.suptitle(literal(title, 80))
        draw_sizes(axes, shown)
        if len(names) > 1:
            axes.legend(loc="upper right", fontsize=8, framealpha=1, ncols=1 + len(names) // 12)

    return chart((9, 4.5), suffix, draw)
