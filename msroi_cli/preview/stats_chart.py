"""The statistics of a crops file as a chart: boxes per level, their sizes, and the values of their crops."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from msroi_cli.job.stats import CropStatistics, Distribution
from msroi_cli.preview.axes import LABEL_SIZE, Axes, Scale, doubling_scale, even_scale, tenfold_scale
from msroi_cli.preview.style import INK, font, legend, legend_width, level_colour, new_picture, shortened

WIDTH, LEFT, RIGHT = 1040, 90, 1010
SIZES_PER_DOUBLING = 8
SMALLEST_SIZE = 2.0**-4


def stats_chart(statistics: CropStatistics, spread: list[Distribution], title: str) -> Image.Image:
    """Draws three panels, one below the other; spread: of each level, over the same edges."""
    rows = len(statistics.summary.names)
    first = 110 + 30 * max(rows, 2)
    picture, draw = new_picture(WIDTH, first + 660)
    draw.text((30, 20), shortened(title, 20, WIDTH - 60), INK, font(20))
    _boxes_per_level(draw, (LEFT + 30, 100, RIGHT - 120, first - 20), statistics)
    _sizes(draw, (LEFT, first + 50, RIGHT, first + 270), statistics)
    _values(draw, (LEFT, first + 375, RIGHT, first + 595), statistics, spread)
    return picture


def _boxes_per_level(draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], statistics: CropStatistics) -> None:
    """A bar a level, with its count and share."""
    left, top, right, bottom = area
    summary = statistics.summary
    draw.text((LEFT, top - 14), "Boxes per level", INK, font(17), anchor="ls")
    most = max([level.boxes for level in summary.levels] + [1])
    step = (bottom - top) / max(1, len(summary.levels))
    for index, (name, level) in enumerate(zip(summary.names, summary.levels, strict=True)):
        middle = top + (index + 0.5) * step
        label = shortened(name, LABEL_SIZE, left - 40)
        draw.text((left - 10, middle), label, INK, font(LABEL_SIZE), anchor="rm")
        end = left + (right - left) * level.boxes / most
        if level.boxes:
            draw.rectangle(
                (left, middle - step * 0.35, max(end, left + 1), middle + step * 0.35), fill=level_colour(index)
            )
        text = f"{level.boxes:,} ({level.share:.1%})"
        draw.text((end + 8, middle), text, INK, font(LABEL_SIZE), anchor="lm")


def _sizes(draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], statistics: CropStatistics) -> None:
    """A histogram of box sizes, coloured by level, with the bounds between the levels."""
    sizes = np.maximum(statistics.sizes.astype(np.float64), SMALLEST_SIZE)
    bounds = [float(bound) for bound in statistics.bounds if 0 < bound < np.inf]
    shown = sizes if len(sizes) else np.array([1.0, 1024.0])
    x = doubling_scale(min(float(shown.min()), *bounds, 2.0**20), max(float(shown.max()) * 1.01, *bounds, 0.0))
    doublings = round(float(np.log2(x.high / x.low)))
    edges = x.low * 2.0 ** (np.arange(doublings * SIZES_PER_DOUBLING + 1) / SIZES_PER_DOUBLING)
    counts = [
        np.histogram(sizes[statistics.level == level], edges)[0] for level in range(len(statistics.summary.names))
    ]
    y = even_scale(0, max(5, int(np.sum(counts, axis=0).max())), 5)
    axes = Axes(draw, area, x, y)
    axes.frame("Box sizes", "sqrt(width x height), input pixels", "boxes")
    ground = np.zeros(len(edges) - 1)
    for level, count in enumerate(counts):
        for low, high, base, height in zip(edges, edges[1:], ground, count, strict=False):
            axes.bar(float(low), float(high), float(base), float(base + height), level_colour(level))
        ground = ground + count
    names = statistics.summary.names[1:]
    axes.uprights([(bound, f"{name} from {bound:.4g}") for name, bound in zip(names, bounds, strict=False)])
    if not len(sizes):
        axes.note("no boxes were pooled")


def _values(
    draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], statistics: CropStatistics, spread: list[Distribution]
) -> None:
    """The share of each level's values in each of many small ranges, by factors of ten."""
    shares = [one.counts / max(1, one.total) for one in spread]
    some = [share[share > 0] for share in shares if (share > 0).any()]
    y = tenfold_scale(max(1e-6, float(min(share.min() for share in some))) if some else 1e-3, 1.0)
    y = Scale(y.low, y.high, y.ticks, [f"{tick:.6f}".rstrip("0").rstrip(".") for tick in y.ticks], logarithmic=True)
    edges = spread[0].edges if spread else np.array([0.0, 1.0])
    axes = Axes(draw, area, even_scale(float(edges[0]), float(edges[-1]), 8), y)
    axes.frame("Crop values", "value; beyond 4 standard deviations not shown", "share of the level's values")
    for level, share in enumerate(shares):
        if share.any():
            axes.steps(spread[level].edges.tolist(), share.tolist(), level_colour(level))
    entries = [(level_colour(level), name) for level, name in enumerate(statistics.summary.names)]
    left, top, right, _ = area
    while entries and legend_width(entries, LABEL_SIZE) > right - left - 400:
        entries.pop()
    legend(draw, (left + 130, top - 30), entries, LABEL_SIZE)
    if not some:
        axes.note("no values that are finite")
