"""The benchmark from pictures to crops in small: its processes end well, and only the output is written."""

from __future__ import annotations

import pytest

from tests.bench import pictures

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.mark.slow
def test_pictures_in_small(tmp_path):
    result = pictures.run(tmp_path, pictures=4, boxes=5, repeat=1, threads=1)
    assert set(result["medians"]) == {pictures.FUSED, pictures.ALONE, pictures.BLANK, pictures.FEWER}
    assert len(result["walls"]) == 1
    assert result["walls"][0] > 0
    assert result["written"] == ["out.h5"]
