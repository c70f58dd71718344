"""Exact sums of float64 numbers: the same whatever the order and the grouping in which they are added.

A sum is a Python integer that counts units of 2**UNIT_EXPONENT. Every float64, and every product of two of them and a
count, is a whole number of units. Source of the products: Dekker, "A floating-point technique for extending the
available precision" (1971).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

UNIT_EXPONENT = -2400
HALF_BITS = 26
# So many halves of mantissas, 27 bits each, add up to less than 2**53.
ROWS_AT_ONCE = 1 << 25


def exact_sum(mantissas: F64, exponents: NDArray[np.int64]) -> int:
    """The sum of mantissas * 2**exponents, both (K,), finite; in units of 2**UNIT_EXPONENT."""
    return sum(
        _some(mantissas[start : start + ROWS_AT_ONCE], exponents[start : start + ROWS_AT_ONCE])
        for start in range(0, len(mantissas), ROWS_AT_ONCE)
    )


def _some(mantissas: F64, exponents: NDArray[np.int64]) -> int:
    fraction, shift = np.frexp(mantissas)
    power = shift.astype(np.int64) + exponents
    lowest = int(power.min())
    whole = fraction * 2.0**53
    high = np.floor(whole / 2.0**HALF_BITS)
    low = whole - high * 2.0**HALF_BITS
    highs, lows = (np.bincount(power - lowest, half) for half in (high, low))
    total = 0
    for index in np.flatnonzero((highs != 0) | (lows != 0)).tolist():
        units = (int(highs[index]) << HALF_BITS) + int(lows[index])
        total += units << (lowest + index - 53 - UNIT_EXPONENT)
    return total


def exact_moments(counts: NDArray[np.int64], means: F64) -> tuple[int, int]:
    """The sums of counts * means and of counts * means**2, all (K,), means finite; in units of 2**UNIT_EXPONENT."""
    fraction, shift = np.frexp(means)
    exponent = shift.astype(np.int64)
    number = counts.astype(np.float64)
    total = sum(exact_sum(part, exponent) for part in _product(fraction, number))
    squares = sum(
        exact_sum(part, 2 * exponent) for square in _product(fraction, fraction) for part in _product(square, number)
    )
    return total, squares


def _product(a: F64, b: F64) -> tuple[F64, F64]:
    """a * b as the sum of two float64 without error; neither overflows nor underflows."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _split(values: F64) -> tuple[F64, F64]:
    """Each value as the sum of two of at most 26 bits."""
    scaled = values * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - values)
    return high, values - high


def quotient(numerator: int, denominator: int) -> float:
    """numerator / denominator, rounded once to float64; infinite where that is too large."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def as_text(total: int) -> str:
    """A sum as text that `from_text` reads: a hexadecimal mantissa and a power of 2."""
    zeros = (total & -total).bit_length() - 1 if total else 0
    return f"{total >> zeros:x}p{zeros}"


def from_text(text: str) -> int:
    """What `as_text` wrote."""
    mantissa, _, power = text.partition("p")
    return int(mantissa, 16) << int(power)
