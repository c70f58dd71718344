"""The statistics of a crops file as a chart, with matplotlib: boxes per level, their sizes, their values."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from msroi_cli.errors import UsageError
from msroi_cli.job.stats import CropStatistics, Distribution
from msroi_cli.preview.drawing.colours import level_colour

SUFFIXES = (".png", ".svg", ".pdf")
SIZES_PER_DOUBLING = 8
SMALLEST_SIZE = 2.0**-4
LONGEST_NAME = 24
# The largest share of values between two grid lines is 1; beyond a thousand lines nothing is seen.
SMALLEST_SHARE = 1e-6


def check_plot(path: Path) -> None:
    """Raises UsageError unless a chart can be written to `path`: its suffix is known and matplotlib is installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot: expected a file name that ends in .png, .svg or .pdf, got {path.name!r}")
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise UsageError("--plot: charts are drawn with matplotlib: pip install 'msroi[plot]'") from None


def stats_plot(statistics: CropStatistics, spread: Sequence[Distribution], title: str, suffix: str) -> bytes:
    """The chart as a file of the format that `suffix` names; spread: of each level, over the same edges."""
    matplotlib = import_module("matplotlib")
    figure_class = import_module("matplotlib.figure").Figure
    names = [_literal(name) for name in statistics.summary.names]
    with matplotlib.rc_context({"svg.hashsalt": "msroi", "font.size": 10}):
        figure = figure_class(figsize=(9, 8 + 0.2 * len(names)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
        upper, middle, lower = figure.subplots(3, 1, height_ratios=[1 + 0.25 * len(names), 3, 3])
        figure.suptitle(_literal(title, 80))
        _boxes_per_level(upper, statistics, names)
        _sizes(middle, statistics, names)
        _values(lower, spread, names)
        file = io.BytesIO()
        kind = suffix.lower().removeprefix(".")
        date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(file, format=kind, dpi=120, metadata=date)
    return file.getvalue()


def _literal(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that matplotlib draws as it is: no formulas, no characters its font lacks, not too long."""
    text = name.encode("ascii", "backslashreplace").decode().replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _colour(level: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*level_colour(level))


def _boxes_per_level(axes: Any, statistics: CropStatistics, names: list[str]) -> None:
    """A bar per level, with its count and share."""
    levels = statistics.summary.levels
    bars = axes.barh(names, [level.boxes for level in levels], color=[_colour(i) for i in range(len(names))])
    axes.bar_label(bars, [f"{level.boxes:,} ({level.share:.1%})" for level in levels], padding=4)
    axes.set(title="Boxes per level", xlim=(0, 1.2 * max([level.boxes for level in levels] + [1])))
    axes.invert_yaxis()


def _sizes(axes: Any, statistics: CropStatistics, names: list[str]) -> None:
    """A histogram of box sizes, stacked by level, with the bounds between the levels."""
    sizes = np.maximum(statistics.sizes.astype(np.float64), SMALLEST_SIZE)
    bounds = [float(bound) for bound in statistics.bounds if 0 < bound < np.inf]
    shown = np.concatenate([sizes, bounds]) if sizes.size or bounds else np.array([1.0, 1024.0])
    low, high = np.floor(np.log2(shown.min())), np.floor(np.log2(shown.max())) + 1
    edges = 2.0 ** np.linspace(low, high, int(high - low) * SIZES_PER_DOUBLING + 1)
    axes.hist(
        [sizes[statistics.level == level] for level in range(len(names))],
        edges,
        stacked=True,
        color=[_colour(level) for level in range(len(names))],
        label=names,
    )
    for bound in bounds:
        axes.axvline(bound, color="0.3", linestyle="--", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set(title="Box sizes; dashed: bounds between the levels", xlabel="sqrt(width x height), input pixels")
    axes.set(ylabel="boxes", xlim=(edges[0], edges[-1]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if not sizes.size:
        axes.text(0.5, 0.5, "no boxes were pooled", transform=axes.transAxes, ha="center")


def _values(axes: Any, spread: Sequence[Distribution], names: list[str]) -> None:
    """The share of each level's values in each of many small ranges, on a logarithmic axis."""
    drawn = False
    for level, one in enumerate(spread):
        share = one.counts / max(1, one.total)
        if share.any():
            axes.stairs(np.maximum(share, SMALLEST_SHARE), one.edges, color=_colour(level), label=names[level])
            drawn = True
    axes.set(title="Crop values within 4 standard deviations", xlabel="value", ylabel="share of the level's values")
    axes.set_yscale("log")
    axes.set_ylim(SMALLEST_SHARE, 1)
    if drawn:
        axes.legend(loc="upper right", ncols=2, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center")
