"""The measurements of cluster jobs run, in small."""

from __future__ import annotations

import importlib.util

import pytest

from tests.bench import cluster, merge


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")
def test_dask_in_small(tmp_path):
    spent = cluster.run(tmp_path, 4, 8, 1)
    assert list(spent) == [cluster.ONE, cluster.WORKER, cluster.WORKERS]
    assert all(wall > 0 and processor > 0 for wall, processor in spent.values())


@pytest.mark.slow
def test_merge_in_small(tmp_path):
    spent = merge.run(tmp_path, [3, 1, 3, 0, 2], 2)
    assert len(spent) == 5
    assert all(wall > 0 for wall, _ in spent.values())
