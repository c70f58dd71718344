"""Tokens and channels last become (C, H, W); a map that cannot be of its picture is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.errors import InputError
from msroi_cli.io.features.arrays import as_array
from msroi_cli.io.features.layouts import Tokens, check_fit, fits, from_map, from_tokens


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), prefix=st.integers(0, 16), told=st.booleans())
def test_tokens_are_the_rows_of_the_grid_after_those_in_front(rows, columns, prefix, told):
    grid = np.arange(rows * columns * 2, dtype=np.float32).reshape(rows, columns, 2)
    tokens = np.concatenate([np.full((prefix, 2), -1, np.float32), grid.reshape(-1, 2)])
    made, found = from_tokens(tokens[None], Tokens(14, prefix if told else None), (columns * 14, rows * 14), "m")
    assert np.array_equal(made, grid.transpose(2, 0, 1))
    assert found == Tokens(14, prefix)


@pytest.mark.parametrize(
    ("shape", "tokens", "size", "message"),
    [
        ((1, 257, 3), Tokens(14), (225, 224), "multiples of 14, the patch, got 225 x 224"),
        ((1, 256, 3), Tokens(14, 1), (224, 224), "16 x 16 tokens and 1 in front of them .* got 256"),
        ((1, 273, 3), Tokens(14), (224, 224), "up to 16 in front"),
        ((1, 255, 3), Tokens(14), (224, 224), "got 255"),
        ((2, 257, 3), Tokens(14), (224, 224), r"expected tokens \(1, T, C\)"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(shape, tokens, size, message):
    with pytest.raises(InputError, match=message):
        from_tokens(np.zeros(shape, np.float32), tokens, size, "model.onnx: tokens")


@pytest.mark.parametrize("lead", [(), (1,)])
def test_channels_last_become_first(lead):
    array = np.arange(24.0).reshape(*lead, 2, 3, 4)
    assert np.array_equal(from_map(array, "hwc", "m"), array.reshape(2, 3, 4).transpose(2, 0, 1))
    assert np.array_equal(from_map(array, "chw", "m"), array.reshape(2, 3, 4))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4), (0, 4, 4)])
def test_a_map_of_another_rank_is_refused(shape):
    with pytest.raises(InputError, match="expected"):
        from_map(np.zeros(shape), "chw", "m")


@given(side=st.integers(1, 3000), up=st.lists(st.booleans(), max_size=6))
def test_sides_that_are_halved_up_or_down_fit(side, up):
    stride, cells = 1, side
    for half_up in up:
        stride, cells = stride * 2, -(-cells // 2) if half_up else cells // 2
    assert fits((cells, cells), (stride, stride), (side, side))


def test_a_stride_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"expected a map of 80 x 60 cells .* stride 8, got 40 x 30"):
        check_fit((40, 30), (8, 8), (640, 480), "17")


class Tensor:
    """What matters of a torch tensor that requires grad."""

    dtype = "torch.float32"

    def __init__(self, array, attached=True):
        self.array, self.attached = array, attached

    def detach(self):
        return Tensor(self.array, attached=False)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        assert not self.attached
        return self.array


class OnlyDlpack:
    """An array that gives nothing but DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [Tensor, OnlyDlpack, lambda array: array, np.ndarray.tolist])
def test_any_array_is_taken(wrap):
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    assert np.array_equal(as_array(wrap(array), "m"), array)


def test_bfloat16_becomes_float32_exactly():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.0, -2.5, 3e38, np.inf, 1e-40]).astype(ml_dtypes.bfloat16)
    assert np.array_equal(as_array(array, "m"), array.astype(np.float32))


@pytest.mark.parametrize("value", ["text", object(), np.arange(3), None])
def test_what_is_no_float_array_is_refused(value):
    with pytest.raises(InputError, match="m: expected"):
        as_array(value, "m")
