"""How features are shown: as the mean of their channels, as one channel, or as principal components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError
from msroi_cli.preview.drawing.components import component_colours
from msroi_cli.preview.drawing.heat import Pixels, coloured, mean_of, range_of
from msroi_cli.preview.drawing.legend import ColourRange

COMPONENTS = "first principal components as red, green, blue"


@dataclass(frozen=True, slots=True)
class ShownFeatures:
    """Features as pixels, (H, W, 3) of each, and what explains the colours.

    range: of the values, None of components. what: is shown. detail: more of it in words, perhaps none.
    """

    pixels: list[Pixels]
    range: ColourRange | None
    what: str
    detail: str = ""

    @property
    def words(self) -> str:
        """All there is to say of the colours."""
        return f"{self.what}: {self.detail}" if self.detail else self.what


def check_show(show: str, channels: int) -> None:
    """Raises UsageError unless `show` is "mean", "pca" or the number of one of the channels."""
    if show not in ("mean", "pca") and not 0 <= int(show) < channels:
        raise UsageError(f"--show: expected mean, pca or a channel from 0 to {channels - 1}, got {show}")


def shown_features(crops: NDArray[Any], show: str) -> ShownFeatures:
    """Crops (K, C, H, W) in colours, all by one range or by the same components."""
    if show == "pca":
        pixels, shares = component_colours(crops)
        return ShownFeatures(pixels, None, COMPONENTS, _percent(shares) + _missing(crops))
    values = mean_of(crops, 1) if show == "mean" else crops[:, int(show)].astype(np.float64)
    low, high = range_of(values)
    shown = ColourRange(low, high, not np.isfinite(values).all())
    what = "mean of the channels" if show == "mean" else f"channel {show}"
    return ShownFeatures([coloured(one, low, high) for one in values], shown, f"{what}, 1st to 99th percentile")


def components_per_level(crops: NDArray[Any], level: NDArray[np.int64], names: Mapping[int, str]) -> ShownFeatures:
    """Crops (K, C, H, W) in colours, those of each level (K,) by its own components."""
    pixels: dict[int, Pixels] = {}
    words = []
    for index in np.unique(level).tolist():
        rows = np.flatnonzero(level == index)
        own, shares = component_colours(crops[rows])
        pixels.update(zip(rows.tolist(), own, strict=True))
        words.append(f"{names[index]}: {_percent(shares)}")
    return ShownFeatures(
        [pixels[row] for row in range(len(crops))],
        None,
        f"{COMPONENTS}, level by level",
        "; ".join(words) + _missing(crops),
    )


def _missing(crops: NDArray[Any]) -> str:
    return "" if np.isfinite(crops).all() else "; not finite: red"


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares) + " of the variance" if shares else "no variance"
