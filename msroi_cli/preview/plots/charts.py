"""What all charts share: matplotlib, which is an extra, the formats of their files, and box sizes by level."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError
from msroi_cli.preview.drawing.colours import level_colour

SUFFIXES = (".png", ".svg", ".pdf")
SIZES_PER_DOUBLING = 8
SMALLEST_SIZE = 2.0**-4
LONGEST_NAME = 24


def check_plot(path: Path) -> None:
    """Raises UsageError unless a chart can be written to `path`: its suffix is known and matplotlib is installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot: expected a file name that ends in .png, .svg or .pdf, got {path.name!r}")
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise UsageError("--plot: charts are drawn with matplotlib: pip install 'msroi[plot]'") from None


def chart(size: tuple[float, float], suffix: str, draw: Callable[[Any], None]) -> bytes:
    """What `draw` draws on a figure of `size`, in inches, as a file of the format that `suffix` names."""
    matplotlib = import_module("matplotlib")
    with matplotlib.rc_context({"svg.hashsalt": "msroi", "font.size": 10}):
        figure = import_module("matplotlib.figure").Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
        draw(figure)
        file = io.BytesIO()
        kind = suffix.lower().removeprefix(".")
        date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(file, format=kind, dpi=120, metadata=date)
    return file.getvalue()


def literal(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that matplotlib draws as it is: no formulas, no characters its font lacks, not too long."""
    text = name.encode("ascii", "backslashreplace").decode().replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 3] + "..."


def hex_colour(level: int) -> str:
    """The colour of a level as matplotlib takes it."""
    return "#{:02x}{:02x}{:02x}".format(*level_colour(level))


@dataclass(frozen=True, slots=True)
class ShownSizes:
    """Box sizes sqrt(w * h) by level.

    sizes: (P,), input pixels or `unit`. level: (P,), indices into `names`. bounds: the smallest size of each level but
    the first.
    """

    sizes: NDArray[np.floating]
    level: NDArray[np.int64]
    names: Sequence[str]
    bounds: NDArray[np.floating]
    unit: str = "input pixels"


def draw_sizes(axes: Any, shown: ShownSizes) -> None:
    """A histogram of box sizes, stacked by level, with the bounds between the levels."""
    sizes = np.maximum(shown.sizes.astype(np.float64), SMALLEST_SIZE)
    bounds = [float(bound) for bound in shown.bounds if 0 < bound < np.inf]
    every = np.concatenate([sizes, bounds]) if sizes.size or bounds else np.array([1.0, 1024.0])
    low, high = np.floor(np.log2(every.min())), np.floor(np.log2(every.max())) + 1
    edges = 2.0 ** np.linspace(low, high, int(high - low) * SIZES_PER_DOUBLING + 1)
    levels = range(len(shown.names))
    axes.hist(
        [sizes[shown.level == level] for level in levels],
        edges,
        stacked=True,
        color=[hex_colour(level) for level in levels],
        label=list(shown.names),
    )
    for bound in bounds:
        axes.axvline(bound, color="0.3", linestyle="--", linewidth=1)
    axes.set_xscale("log", base=2)
    title = "Box sizes; dashed: bounds between the levels" if bounds else "Box sizes"
    axes.set(title=title, xlabel=f"sqrt(width x height), {shown.unit}")
    axes.set(ylabel="boxes", xlim=(edges[0], edges[-1]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if not sizes.size:
        axes.text(0.5, 0.5, "no boxes were pooled", transform=axes.transAxes, ha="center")
