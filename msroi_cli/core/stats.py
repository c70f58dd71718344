"""Statistics of crops per pyramid level: gathered crop by crop, and the same in any grouping of the crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.exact import UNIT_EXPONENT, Terms, as_text, exact_sums, from_text, mean_terms, quotient

VALUES_AT_ONCE = 2**18


class CropMoments(NamedTuple):
    """The values of each of K crops; every field is (K,).

    `finite` counts the values that are finite, `nonfinite` those that are NaN or infinite, and `zeros` those of 0.
    `mean`, `squares` (the sum of squared deviations from the mean), `low` and `high` are of the finite values.
    """

    finite: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    zeros: NDArray[np.int64]
    nonfinite: NDArray[np.int64]

    @classmethod
    def empty(cls, crops: int) -> CropMoments:
        """The moments of crops without values."""
        return cls(
            np.zeros(crops, np.int64),
            np.zeros(crops),
            np.zeros(crops),
            np.full(crops, np.inf),
            np.full(crops, -np.inf),
            np.zeros(crops, np.int64),
            np.zeros(crops, np.int64),
        )

    @classmethod
    def of(cls, crops: NDArray[Any]) -> CropMoments:
        """The moments of `crops` (K, ...), with NumPy."""
        moments = cls.empty(len(crops))
        size = math.prod(crops.shape[1:])
        step = max(1, VALUES_AT_ONCE // max(1, size))
        for start in range(0, len(crops) if size else 0, step):
            rows = slice(start, start + step)
            moments._set(rows, crops[rows].astype(np.float64).reshape(-1, size))
        return moments

    def take(self, rows: NDArray[np.bool_]) -> CropMoments:
        """The moments of some of the crops."""
        return CropMoments(*(getattr(self, name)[rows] for name in self._fields))

    def _set(self, rows: slice, values: NDArray[np.float64]) -> None:
        finite = np.isfinite(values)
        count = finite.sum(axis=1)
        kept = np.where(finite, values, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = kept.sum(axis=1) / np.maximum(count, 1)
            away = np.where(finite, values - mean[:, None], 0.0)
            self.squares[rows] = np.square(away).sum(axis=1)
        self.finite[rows], self.mean[rows] = count, mean
        self.low[rows] = np.where(finite, values, np.inf).min(axis=1)
        self.high[rows] = np.where(finite, values, -np.inf).max(axis=1)
        self.zeros[rows] = (values == 0).sum(axis=1)
        self.nonfinite[rows] = values.shape[1] - count


class CropStats(NamedTuple):
    """The values of the crops of each of L levels; every field has L entries.

    finite: how many values are finite. sums and squares: the exact sums of the finite values and of their squares, as
    in `core.exact`, None where a crop's own are beyond float64. low and high: the smallest and the largest finite
    value. zeros and nonfinite: how many values are 0, and how many are NaN or infinite.
    """

    finite: NDArray[np.int64]
    sums: list[int | None]
    squares: list[int | None]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    zeros: NDArray[np.int64]
    nonfinite: NDArray[np.int64]

    @classmethod
    def empty(cls, levels: int) -> CropStats:
        """The statistics of no crops."""
        zeros, infinite = np.zeros(levels, np.int64), np.full(levels, np.inf)
        return cls(zeros, [0] * levels, [0] * levels, infinite, -infinite, zeros.copy(), zeros.copy())

    @classmethod
    def of(cls, crops: NDArray[Any], levels: NDArray[np.int64], count: int) -> CropStats:
        """The statistics of `crops` (K, ...), of which crop k was pooled from level `levels[k]` of `count`."""
        return cls.of_moments(CropMoments.of(crops), levels, count)

    @classmethod
    def of_moments(cls, moments: CropMoments, levels: NDArray[np.int64], count: int) -> CropStats:
        """The statistics of K crops, of which crop k was pooled from level `levels[k]` of `count`."""
        stats = cls.empty(count)
        if not len(levels):
            return stats
        for mine, values in (
            (stats.finite, moments.finite),
            (stats.zeros, moments.zeros),
            (stats.nonfinite, moments.nonfinite),
        ):
            np.add.at(mine, levels, values)
        np.minimum.at(stats.low, levels, moments.low)
        np.maximum.at(stats.high, levels, moments.high)
        stats._add_sums(moments, levels)
        return stats

    def _add_sums(self, moments: CropMoments, levels: NDArray[np.int64]) -> None:
        """Sets the exact sums; where a crop's mean or squares are beyond float64 they are None."""
        count = len(self.finite)
        mean, squares = (np.where(np.isfinite(values), values, 0.0) for values in (moments.mean, moments.squares))
        terms = [*mean_terms(moments.finite, mean, levels, levels + count), Terms.of(squares, levels + count)]
        found = exact_sums(terms, 2 * count)
        self.sums[:], self.squares[:] = found[:count], found[count:]
        for values, fields in ((moments.mean, (self.sums, self.squares)), (moments.squares, (self.squares,))):
            for level in set(levels[~np.isfinite(values)].tolist()):
                for field in fields:
                    field[level] = None

    @classmethod
    def from_list(cls, values: Sequence[Sequence[Any]]) -> CropStats:
        """What `as_list` gave."""
        stats = cls.empty(len(values[0]))
        for name, field in zip(cls._fields, values, strict=True):
            exact = name in ("sums", "squares")
            getattr(stats, name)[:] = [None if v is None else from_text(v) for v in field] if exact else field
        return stats

    def as_list(self) -> list[list[Any]]:
        """Every field as plain JSON values, which lose nothing."""
        return [
            [None if v is None else as_text(v) for v in field] if isinstance(field, list) else field.tolist()
            for field in (getattr(self, name) for name in self._fields)
        ]

    def add(self, other: CropStats) -> None:
        """Adds the crops of `other` to these."""
        for mine, more in ((self.sums, other.sums), (self.squares, other.squares)):
            mine[:] = [None if a is None or b is None else a + b for a, b in zip(mine, more, strict=True)]
        self.finite[:] += other.finite
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        self.zeros[:] += other.zeros
        self.nonfinite[:] += other.nonfinite

    def total(self) -> CropStats:
        """All levels together, as statistics of one level."""
        total = CropStats.empty(1)
        for level in range(len(self.finite)):
            total.add(CropStats(*(getattr(self, name)[level : level + 1] for name in self._fields)))
        return total

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of each level's finite values, rounded once; 0 where there are none, infinite beyond float64."""
        return np.array([_mean(total, int(n)) for total, n in zip(self.sums, self.finite, strict=True)])

    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of each level's finite values; 0 where there are none, infinite beyond float64."""
        variance = [
            _variance(total, squares, int(n))
            for total, squares, n in zip(self.sums, self.squares, self.finite, strict=True)
        ]
        deviation: NDArray[np.float64] = np.sqrt(np.array(variance))
        return deviation

    def zero_fraction(self) -> NDArray[np.float64]:
        """The share of zeros among each level's values, the ones that are not finite included."""
        share: NDArray[np.float64] = self.zeros / np.maximum(self.finite + self.nonfinite, 1)
        return share


def _mean(total: int | None, count: int) -> float:
    return math.inf if total is None else quotient(total, max(count, 1) << -UNIT_EXPONENT)


def _variance(total: int | None, squares: int | None, count: int) -> float:
    if total is None or squares is None:
        return math.inf
    spread = (squares * count << -UNIT_EXPONENT) - total * total
    return quotient(max(spread, 0), count * count << -2 * UNIT_EXPONENT) if count else 0.0
