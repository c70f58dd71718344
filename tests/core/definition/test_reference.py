"""The presets against the numbers of torchvision's kernel, which tests/data/README.md describes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from msroi_cli import assign_levels, multi_scale_roi_align
from msroi_cli.core.spec import PRESETS

pytestmark = pytest.mark.usefixtures("backend")

DATA = Path(__file__).parents[2] / "data"


@lru_cache
def reference(name):
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def features(arrays):
    return [arrays[f"features_{level}"] for level in range(len(arrays["spatial_scales"]))]


@pytest.mark.parametrize("compat", PRESETS)
@pytest.mark.parametrize("name", ["fpn4", "p3p7"])
class TestReference:
    def test_levels(self, name, compat):
        arrays = reference(name)
        levels = assign_levels(arrays["rois"], arrays["spatial_scales"], compat=compat)
        np.testing.assert_array_equal(levels, arrays[f"{compat}_levels"])

    @pytest.mark.parametrize("size", [(7, 7), (14, 14), (3, 5)])
    def test_crops(self, name, compat, size):
        arrays = reference(name)
        maps = features(arrays)
        crops = multi_scale_roi_align(maps, arrays["rois"], arrays["spatial_scales"], size, compat=compat)
        expected = arrays[f"{compat}_{size[0]}x{size[1]}"]
        assert crops.dtype == np.float32
        np.testing.assert_allclose(crops, expected, rtol=0, atol=3e-7 * max(np.abs(level).max() for level in maps))

    def test_an_explicit_option_that_says_what_the_preset_says_changes_nothing(self, name, compat):
        arrays = reference(name)
        maps, rois, scales = features(arrays), arrays["rois"], arrays["spatial_scales"]
        preset = PRESETS[compat]
        spelt_out = multi_scale_roi_align(
            maps,
            rois,
            scales,
            3,
            preset.sampling_ratio,
            compat=compat,
            canonical_level=preset.canonical_level,
            canonical_scale=preset.canonical_scale,
            aligned=preset.aligned,
            levels=arrays[f"{compat}_levels"],
        )
        np.testing.assert_array_equal(multi_scale_roi_align(maps, rois, scales, 3, compat=compat), spelt_out)
