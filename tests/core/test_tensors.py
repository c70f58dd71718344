"""Features and results in torch, dicts of levels, and the names and types that the package gives."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

import msroi_cli
from msroi_cli import MultiScaleROIAlign, extract, multi_scale_roi_align, open_crops
from msroi_cli.core.reduce import REDUCTIONS
from msroi_cli.core.spec import PRESETS, Compat
from msroi_cli.errors import ArgumentError
from msroi_cli.job.extract.literals import OnBadBox, Reduce
from msroi_cli.job.extract.prepare import BAD_BOX_POLICIES

RNG = np.random.default_rng(0)
FEATURES = [RNG.standard_normal((2, 3, 32 >> level, 48 >> level)).astype(np.float32) for level in range(3)]
ROIS = np.array([[0, 3, 4, 50, 60], [1, 10, 12, 20, 19], [1, 0, 0, 180, 120]], np.float32)
SCALES = [1 / 4, 1 / 8, 1 / 16]
EXPECTED = multi_scale_roi_align(FEATURES, ROIS, SCALES, 7)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


def test_a_dict_of_levels():
    levels = OrderedDict(zip(["0", "1", "pool"], FEATURES, strict=True))
    np.testing.assert_array_equal(multi_scale_roi_align(levels, ROIS, SCALES, 7), EXPECTED)
    np.testing.assert_array_equal(MultiScaleROIAlign(7)(levels, ROIS, SCALES), EXPECTED)
    with pytest.raises(ValueError, match="features: expected 2 levels like spatial_scales, got 3"):
        multi_scale_roi_align(levels, ROIS, SCALES[:2], 7)


@pytest.mark.parametrize("compat", PRESETS)
@pytest.mark.parametrize("aligned", [None, True, False])
def test_the_class_takes_a_preset(compat, aligned):
    align = MultiScaleROIAlign(5, compat=compat, aligned=aligned, threads=1)
    expected = multi_scale_roi_align(FEATURES, ROIS, SCALES, 5, compat=compat, aligned=aligned)
    np.testing.assert_array_equal(align.forward(FEATURES, ROIS, SCALES), expected)
    np.testing.assert_array_equal(align(FEATURES, ROIS, SCALES), expected)
    values = {name: getattr(align, name) for name in ("compat", "aligned", "threads", "canonical_level")}
    again = eval(repr(align), {"MultiScaleROIAlign": MultiScaleROIAlign})
    assert {name: getattr(again, name) for name in values} == values


TYPED = """
from typing import Any
import numpy as np
from numpy.typing import NDArray
from msroi_cli import MultiScaleROIAlign, multi_scale_roi_align

class Tensor: ...

maps, rois = [np.zeros((1, 3, 8, 8), np.float32)], np.zeros((2, 5))
made: NDArray[Any] = multi_scale_roi_align(maps, rois, [0.25], 7)
also: NDArray[Any] = multi_scale_roi_align(maps, rois, [0.25], 7, compat="mmdet", out=None)
into: NDArray[np.float64] = multi_scale_roi_align(maps, rois, [0.25], 7, out=np.zeros((2, 3, 7, 7)))
tensor: Tensor = multi_scale_roi_align(maps, rois, [0.25], 7, out=Tensor())
layer: NDArray[Any] = MultiScaleROIAlign(7, compat="torchvision", aligned=True, threads=2).forward(maps, rois, [0.25])
wrong: Tensor = multi_scale_roi_align(maps, rois, [0.25], 7)
other: Tensor = multi_scale_roi_align(maps, rois, [0.25], 7, out=np.zeros((2, 3, 7, 7)))
named: NDArray[Any] = multi_scale_roi_align(maps, rois, [0.25], 7, compat="caffe")
"""


@pytest.mark.slow
def test_the_types_of_results(tmp_path):
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    (tmp_path / "use.py").write_text(TYPED)
    root = Path(msroi_cli.__file__).parent.parent
    options = ("--strict", "--config-file", str(root / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"))
    shown, _, _ = api.run([*options, "--python-executable", sys.executable, str(tmp_path / "use.py")])
    lines = TYPED.splitlines()
    wrong = {int(line.split(":")[1]) for line in shown.splitlines() if f"{tmp_path}" in line and ": error: " in line}
    assert {lines[number - 1].split(":")[0] for number in wrong} == {"wrong", "other", "named"}, shown


def test_calls_go_through_forward():
    class Doubled(MultiScaleROIAlign):
        def forward(self, *arguments):
            return 2 * super().forward(*arguments)

    np.testing.assert_array_equal(Doubled(7)(FEATURES, ROIS, SCALES), 2 * EXPECTED)


@pytest.mark.parametrize("threads", [0, 1.5])
def test_threads_of_the_class_are_checked_when_it_is_made(threads):
    with pytest.raises(ArgumentError, match="threads: expected"):
        MultiScaleROIAlign(7, threads=threads)


def test_tensors_with_gradients(torch):
    levels = [torch.from_numpy(level).requires_grad_() for level in FEATURES]
    rois = torch.from_numpy(ROIS).requires_grad_()
    np.testing.assert_array_equal(multi_scale_roi_align(levels, rois, SCALES, 7), EXPECTED)


def test_bfloat16_is_read_as_float32(torch):
    levels = [torch.from_numpy(level).to(torch.bfloat16) for level in FEATURES]
    crops = multi_scale_roi_align(levels, ROIS, SCALES, 7)
    assert crops.dtype == np.float32
    np.testing.assert_array_equal(
        crops, multi_scale_roi_align([level.float().numpy() for level in levels], ROIS, SCALES, 7)
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_out_is_a_tensor(torch, dtype):
    whole = torch.full((3, 3, 7, 14), 5, dtype=getattr(torch, dtype))
    out = whole[..., ::2]
    assert multi_scale_roi_align(FEATURES, ROIS, SCALES, 7, out=out) is out
    np.testing.assert_array_equal(whole[..., ::2].numpy(), EXPECTED.astype(dtype))
    assert (whole[..., 1::2] == 5).all()


def test_tensors_that_cannot_be_written_to(torch):
    with pytest.raises(ArgumentError, match="out: expected a tensor without gradients"):
        multi_scale_roi_align(FEATURES, ROIS, SCALES, 7, out=torch.zeros(3, 3, 7, 7).requires_grad_())
    with pytest.raises(ArgumentError, match="out: expected a tensor that NumPy can view"):
        multi_scale_roi_align(FEATURES, ROIS, SCALES, 7, out=torch.zeros(3, 3, 7, 7, dtype=torch.bfloat16))
    with pytest.raises(ArgumentError, match=r"out: expected an array \(3, 3, 7, 7\)"):
        multi_scale_roi_align(FEATURES, ROIS, SCALES, 7, out=torch.zeros(3, 3, 7))
    levels = [torch.from_numpy(level) for level in FEATURES]
    with pytest.raises(ArgumentError, match=r"out: .* overlaps features\[0\]"):
        multi_scale_roi_align(levels, ROIS, SCALES, 7, out=levels[0].ravel()[: 3 * 3 * 49].view(3, 3, 7, 7))


def test_types_name_the_choices_that_there_are():
    assert get_args(Compat) == tuple(PRESETS)
    assert get_args(OnBadBox) == tuple(BAD_BOX_POLICIES)
    assert get_args(Reduce) == tuple(REDUCTIONS)
    for function in (multi_scale_roi_align, MultiScaleROIAlign.__init__):
        assert get_type_hints(function)["compat"] == Compat


def test_every_public_name_can_be_imported():
    for name in msroi_cli.__all__:
        assert getattr(msroi_cli, name) is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: open_crops(folder / "none.h5"),
        lambda folder: extract(folder / "none.h5", [[0, 1, 1, 2, 2]], folder / "o.h5"),
        lambda folder: extract(folder / "none.npz", folder / "none.json", folder / "o.h5"),
    ],
)
def test_a_missing_file_is_a_file_not_found_error(tmp_path, call):
    for kind in (FileNotFoundError, msroi_cli.InputError, msroi_cli.MsroiError):
        with pytest.raises(kind, match="No such file or directory") as caught:
            call(tmp_path)
    assert caught.value.exit_code == 3
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_a_bad_value_is_a_value_error(tmp_path):
    np.savez(tmp_path / "p.npz", p2=np.zeros((1, 1, 4, 4), np.float32))
    for boxes, kind in (([[0, 1, 1, 2, 2]], msroi_cli.UsageError), ([[0, 1]], msroi_cli.InputError)):
        for error in (kind, ValueError):
            with pytest.raises(error, match="expected"):
                extract(
                    tmp_path / "p.npz", boxes, tmp_path / "o.h5", strides=None if kind is msroi_cli.UsageError else [4]
                )
