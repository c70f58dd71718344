"""Pictures of different sizes, and tiny models."""

from __future__ import annotations

import pytest

from tests.model.test_preprocessing import random_picture

SIZES = {"2": (100, 80), "10": (64, 130), "9": (120, 90)}


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures by id."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, (key, size) in enumerate(SIZES.items()):
        random_picture(size, seed).save(folder / f"{key}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder
