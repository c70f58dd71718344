"""Exact sums of float64 numbers: the same whatever the order and the grouping in which they are added.

A sum is a Python integer that counts units of 2**UNIT_EXPONENT. Every float64, and every product of two of them and a
count, is a whole number of units. Source of the products: Dekker, "A floating-point technique for extending the
available precision" (1971).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

UNIT_EXPONENT = -2400
HALF_BITS = 26
LIMB = np.dtype("<u4")
# Up to 1 << 25 halves of mantissas, 27 bits each, add up to less than 2**53. Of fewer, what is worked out on the way
# stays in the cache, and takes little memory.
ROWS_AT_ONCE = 1 << 15


class Terms(NamedTuple):
    """Numbers mantissas * 2**exponents, to be added to the sums number `slots`; all (K,), mantissas finite."""

    mantissas: F64
    exponents: NDArray[np.int64]
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, values: F64, slots: NDArray[np.int64]) -> Terms:
        """Values as they are."""
        return cls(values, np.zeros(len(values), np.int64), slots)


def exact_sums(terms: Sequence[Terms], count: int) -> list[int]:
    """The `count` sums of all terms, in units of 2**UNIT_EXPONENT."""
    mantissas, exponents, slots = (
        np.concatenate([getattr(one, name) for one in terms]) for name in ("mantissas", "exponents", "slots")
    )
    totals = [0] * count
    for start in range(0, len(slots), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        _add(totals, mantissas[rows], exponents[rows], slots[rows])
    return totals


def _add(totals: list[int], mantissas: F64, exponents: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    """Adds up halves of mantissas that have one exponent and one slot in float64, and those sums as integers."""
    fraction, shift = np.frexp(mantissas)
    power = shift + exponents
    lowest = int(power.min())
    powers = int(power.max()) - lowest + 1
    whole = fraction * 2.0**53
    high = np.floor(whole / 2.0**HALF_BITS)
    place = slots * powers + (power - lowest)
    highs, lows = (np.bincount(place, half) for half in (high, whole - high * 2.0**HALF_BITS))
    used = np.flatnonzero((highs != 0) | (lows != 0))
    sums = [0] * len(totals)
    for index, upper, lower in zip(used.tolist(), highs[used].tolist(), lows[used].tolist(), strict=True):
        slot, above = divmod(index, powers)
        sums[slot] += ((int(upper) << HALF_BITS) + int(lower)) << above
    for slot, found in enumerate(sums):
        totals[slot] += found << (lowest - 53 - UNIT_EXPONENT)


def mean_terms(
    counts: NDArray[np.int64], means: F64, slots: NDArray[np.int64], squares: NDArray[np.int64]
) -> list[Terms]:
    """The terms of counts * means, for `slots`, and of counts * means**2, for the slots `squares`; all (K,)."""
    fraction, shift = np.frexp(means)
    exponent = shift.astype(np.int64)
    number = counts.astype(np.float64)
    terms = [Terms(part, exponent, slots) for part in _product(fraction, number)]
    for square in _product(fraction, fraction):
        terms += [Terms(part, 2 * exponent, squares) for part in _product(square, number)]
    return terms


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


def as_limbs(total: int, unit: int, count: int) -> NDArray[np.uint32]:
    """A sum in units of 2**unit, as `count` limbs of 32 bits, the lowest first, in two's complement; (count,).

    Raises ArithmeticError for a sum that is no whole number of these units, or too large.
    """
    whole, rest = divmod(total, 1 << (unit - UNIT_EXPONENT))
    if rest:
        raise ArithmeticError(f"expected a whole number of units of 2**{unit}, got {total:x}p{UNIT_EXPONENT}")
    return np.frombuffer(whole.to_bytes(4 * count, "little", signed=True), LIMB)


def sum_of_limbs(limbs: NDArray[np.uint32], unit: int) -> list[int]:
    """The L sums of fewer than 2**32 sums each, (k, L, count), which `as_limbs` gave."""
    columns = limbs.sum(axis=0, dtype=np.uint64)
    negative = np.count_nonzero(limbs[..., -1] >> 31, axis=0).tolist()
    bits, shift = 32 * limbs.shape[-1], unit - UNIT_EXPONENT
    return [
        _joined(column[::2]) + (_joined(column[1::2]) << 32) - (below << bits) << shift
        for column, below in zip(columns, negative, strict=True)
    ]


def _joined(words: NDArray[np.uint64]) -> int:
    """Words of 64 bits, the lowest first, as one number."""
    return int.from_bytes(words.astype("<u8").tobytes(), "little")


def sum_of_texts(texts: Iterable[bytes]) -> int | None:
    """The sum of what `as_text` wrote, in ASCII; None if a text is empty, as of a sum beyond float64."""
    mantissas: defaultdict[bytes, int] = defaultdict(int)
    for text in texts:
        if not text:
            return None
        mantissa, _, power = text.partition(b"p")
        mantissas[power] += int(mantissa, 16)
    return sum(total << int(power) for power, total in mantissas.items())
