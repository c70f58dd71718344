"""Exact sums are those of fractions, in any order, of numbers of any size."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core import exact

UNIT = Fraction(1, 2**-exact.UNIT_EXPONENT)

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([5e-324, -5e-324, 1.7e308, -1.7e308, -0.0])


def array(values):
    return np.array(values, np.float64)


@given(st.lists(st.tuples(numbers, st.integers(0, 2)), min_size=1, max_size=30))
def test_sums(pairs):
    values, slots = [value for value, _ in pairs], np.array([slot for _, slot in pairs], np.int64)
    found = exact.exact_sums([exact.Terms.of(array(values), slots)], 3)
    for slot in range(3):
        assert found[slot] * UNIT == sum(Fraction(value) for value, mine in pairs if mine == slot)


@given(st.lists(st.tuples(numbers, st.integers(0, 2**40)), min_size=1, max_size=20))
def test_means(pairs):
    means, counts = array([mean for mean, _ in pairs]), np.array([count for _, count in pairs], np.int64)
    zeros = np.zeros(len(pairs), np.int64)
    total, squares = exact.exact_sums(exact.mean_terms(counts, means, zeros, zeros + 1), 2)
    assert total * UNIT == sum(count * Fraction(mean) for mean, count in pairs)
    assert squares * UNIT == sum(count * Fraction(mean) ** 2 for mean, count in pairs)


def test_more_rows_than_go_at_once(monkeypatch):
    monkeypatch.setattr(exact, "ROWS_AT_ONCE", 7)
    values = np.random.default_rng(0).normal(0, 1e10, 50)
    found = exact.exact_sums([exact.Terms.of(values, np.zeros(50, np.int64))], 1)
    assert found[0] * UNIT == sum(map(Fraction, values.tolist()))


@given(st.integers())
def test_text(total):
    assert exact.from_text(exact.as_text(total)) == total


@given(st.lists(st.integers()))
def test_sums_of_texts(totals):
    texts = [exact.as_text(total).encode() for total in totals]
    assert exact.sum_of_texts(texts) == sum(totals)
    assert exact.sum_of_texts([*texts, b"", b"1p0"]) is None


@given(st.lists(st.integers(-(2**95), 2**95 - 1), max_size=5), st.integers(-40, 40))
def test_sums_of_limbs(wholes, shift):
    unit = exact.UNIT_EXPONENT + 40 + shift
    totals = [whole << (40 + shift) for whole in wholes]
    limbs = np.array([[exact.as_limbs(total, unit, 3), exact.as_limbs(0, unit, 3)] for total in totals], exact.LIMB)
    assert exact.sum_of_limbs(limbs.reshape(-1, 2, 3), unit) == [sum(totals), 0]


@pytest.mark.parametrize("total", [2**96 << 8, (-(2**95) - 1) << 8, 1, (1 << 8) + 1])
def test_sums_without_room_in_limbs(total):
    with pytest.raises(ArithmeticError):
        exact.as_limbs(total, exact.UNIT_EXPONENT + 8, 3)


@pytest.mark.parametrize(("numerator", "expected"), [(3, 1.5), (-(10**400), -math.inf), (10**400, math.inf)])
def test_quotients(numerator, expected):
    assert exact.quotient(numerator, 2) == expected
