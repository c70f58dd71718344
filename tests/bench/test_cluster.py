"""The measurements of cluster jobs run, in small."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.bench import cluster, memory, merge, shards


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


@pytest.mark.slow
def test_shards_in_small(tmp_path):
    spent = shards.run(tmp_path, 20, 200, 4)
    assert list(spent) == list(shards.JOBS)
    assert all(min(numbers) > 0 for numbers in spent.values())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_in_small(tmp_path):
    found = memory.run(tmp_path, 4, 8, 5, "1GiB")
    assert len(found) == 6
    assert min(found.values()) > 10
