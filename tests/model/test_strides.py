"""Strides are measured, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.errors import UsageError
from msroi_cli.model.candidates import PROBE
from msroi_cli.model.strides import measured_stride


@given(power=st.integers(0, 7))
def test_powers_of_two_are_found_with_the_probe(power):
    stride = 2**power
    assert measured_stride((PROBE[0] // stride, PROBE[1] // stride), PROBE, "m") == stride


@pytest.mark.parametrize(
    ("sides", "size", "stride"),
    [((38, 38), (300, 300), 8), ((19, 19), (300, 300), 16), ((27, 18), PROBE, 14), ((26, 20), (211, 163), 8)],
)
def test_strides_of_sides_that_are_no_multiples_are_found(sides, size, stride):
    assert measured_stride(sides, size, "m") == stride


@pytest.mark.parametrize(("sides", "size"), [((7, 7), (100, 100)), ((10, 10), (300, 300)), ((50, 10), (100, 100))])
def test_a_stride_that_is_not_clear_is_asked_for(sides, size):
    with pytest.raises(UsageError, match="expected --strides"):
        measured_stride(sides, size, "m")


@given(stride=st.integers(1, 40), width=st.integers(1, 500), height=st.integers(1, 500), up=st.booleans())
def test_what_is_measured_is_right_or_exact(stride, width, height, up):
    sides = tuple(-(-side // stride) if up else side // stride for side in (width, height))
    if 0 in sides:
        return
    try:
        found = measured_stride(sides, (width, height), "m")
    except UsageError:
        return
    assert found == stride or (width == sides[0] * found and height == sides[1] * found)
