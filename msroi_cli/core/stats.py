"""Statistics of crops per pyramid level: gathered batch by batch, merged in any grouping of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALUES_AT_ONCE = 2**18


@dataclass(frozen=True, slots=True)
class CropStats:
    """The values of the crops of each of L levels; every field is (L,).

    `count`, `mean`, `squares` (the sum of squared deviations from the mean), `low` and `high` are of the finite
    values; `zeros` counts values that are 0, and `nonfinite` those that are NaN or infinite.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    zeros: NDArray[np.int64]
    nonfinite: NDArray[np.int64]

    @classmethod
    def empty(cls, levels: int) -> CropStats:
        """The statistics of no crops."""
        return cls(
            np.zeros(levels, np.int64),
            np.zeros(levels),
            np.zeros(levels),
            np.full(levels, np.inf),
            np.full(levels, -np.inf),
            np.zeros(levels, np.int64),
            np.zeros(levels, np.int64),
        )

    @classmethod
    def from_list(cls, values: Sequence[Sequence[float]]) -> CropStats:
        """What `as_list` gave."""
        stats = cls.empty(len(values[0]))
        for name, field in zip(cls.__dataclass_fields__, values, strict=True):
            getattr(stats, name)[:] = field
        return stats

    def as_list(self) -> list[list[float]]:
        """Every field as plain JSON numbers, which lose nothing."""
        return [getattr(self, name).tolist() for name in self.__dataclass_fields__]

    @classmethod
    def of(cls, crops: NDArray[Any], levels: NDArray[np.int64], count: int) -> CropStats:
        """The statistics of `crops` (K, ...), of which crop k was pooled from level `levels[k]` of `count`."""
        total = cls.empty(count)
        step = max(1, VALUES_AT_ONCE // max(1, int(np.prod(crops.shape[1:]))))
        for level in np.unique(levels):
            rows = np.flatnonzero(levels == level)
            for start in range(0, len(rows), step):
                block = crops[rows[start : start + step]].astype(np.float64).ravel()
                total._add_values(int(level), block)
        return total

    def _add_values(self, level: int, values: NDArray[np.float64]) -> None:
        finite = values[np.isfinite(values)]
        one = CropStats.empty(len(self.count))
        one.nonfinite[level] = values.size - finite.size
        if finite.size:
            one.count[level] = finite.size
            one.mean[level] = finite.mean()
            one.squares[level] = np.square(finite - one.mean[level]).sum()
            one.low[level], one.high[level] = finite.min(), finite.max()
            one.zeros[level] = finite.size - np.count_nonzero(finite)
        self.add(one)

    def add(self, other: CropStats) -> None:
        """Adds the crops of `other` to these.

        Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
        (1979), equation 2.1.
        """
        total = self.count + other.count
        share = other.count / np.maximum(total, 1)
        delta = other.mean - self.mean
        self.squares[:] += other.squares + delta * delta * self.count * share
        self.mean[:] += delta * share
        self.count[:] = total
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        self.zeros[:] += other.zeros
        self.nonfinite[:] += other.nonfinite

    def total(self) -> CropStats:
        """All levels together, as statistics of one level."""
        total = CropStats.empty(1)
        for level in range(len(self.count)):
            total.add(CropStats(*(getattr(self, name)[level : level + 1] for name in self.__dataclass_fields__)))
        return total

    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of each level's values; 0 where there are none."""
        deviation: NDArray[np.float64] = np.sqrt(self.squares / np.maximum(self.count, 1))
        return deviation

    def zero_fraction(self) -> NDArray[np.float64]:
        """The share of zeros among each level's values, the ones that are not finite included."""
        share: NDArray[np.float64] = self.zeros / np.maximum(self.count + self.nonfinite, 1)
        return share
