"""The summary of a job."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.job.summary import Sizes


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1001])
def test_sizes_are_those_of_numpy(count):
    sizes = np.random.default_rng(count).gamma(2, 40, count).astype(np.float32)
    assert Sizes.of(sizes) == Sizes(sizes.min(), np.median(sizes), sizes.max())
