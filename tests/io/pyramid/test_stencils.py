"""Files whose bytes beside their maps are those of another are located without HDF5, to the same places."""

from __future__ import annotations

import random

import h5py
import numpy as np
import pytest

from msroi_cli.errors import MsroiError
from msroi_cli.io.pyramid.hdf5.quick import QuickLocator
from msroi_cli.io.pyramid.hdf5.stencils import MOST_OF_ONE_SIZE, LocatedImage, Stencil, Stencils
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import image_maps
from tests.io.pyramid.test_many import write_one

COUNT = 24


def folder_of(tmp_path, edit=None, **storage):
    """Files of one image; edit: (file, number) changes each."""
    folder = tmp_path / "x"
    folder.mkdir()
    for number in range(COUNT):
        path = write_one(folder / f"{number}.h5", image_maps(number), **storage)
        if edit is not None:
            with h5py.File(path, "a") as file:
                edit(file, number)
    return folder


def contents(folder, files=None):
    """All that a pyramid says of its images, or the error; files: contents that they get once the folder is open."""
    found = []
    with open_pyramid(str(folder)) as pyramid:
        for path, content in (files or {}).items():
            path.write_bytes(content)
        for image in range(COUNT):
            try:
                maps = pyramid.read(image)
                pyramid.check(image)
            except MsroiError as error:
                found.append(str(error))
            else:
                found.append((pyramid.scale_factor(image), pyramid.image_size(image), *(one.tobytes() for one in maps)))
    return found


def numbered(file, number):
    file.attrs["scale_factor"] = (1 + number / 10, 1.5)
    file.attrs["image_size"] = np.array([80, 60 + number])


def same_numbers(file, number):
    file.attrs["scale_factor"] = (2.0, 2.0)
    file.attrs["image_size"] = (2.0, 2.0) if number % 2 else (4.0, 2.0)


CASES = {
    "all alike": (None, {}, 2),
    "an axis more": (None, {"lead": True}, 2),
    "other factors and sizes": (numbered, {}, 2),
    "no factors": (None, {"factor": None}, 2),
    "values that occur twice": (same_numbers, {}, COUNT),
    "chunked": (None, {"chunks": (1, 2, 2)}, COUNT),
}


@pytest.mark.parametrize("case", CASES)
def test_files_are_located_as_hdf5_locates_them(tmp_path, monkeypatch, case):
    edit, storage, most = CASES[case]
    folder = folder_of(tmp_path, edit, **storage)
    opened = []
    slow = QuickLocator._opened
    monkeypatch.setattr(
        QuickLocator, "_opened", lambda self, path, *rest: opened.append(path) or slow(self, path, *rest)
    )
    found = contents(folder)
    assert 0 < len(set(opened)) <= most
    monkeypatch.setattr(Stencils, "locate", lambda self, descriptor, size: None)
    assert found == contents(folder)
    assert len(set(opened)) == COUNT


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(8))
def test_a_byte_that_differs_is_never_overlooked(tmp_path, monkeypatch, seed):
    """The twin: what HDF5 finds in the same files; every image differs from the others in one byte beside its maps."""
    chosen = random.Random(seed)
    folder = folder_of(tmp_path, numbered)
    intact = {path: path.read_bytes() for path in folder.iterdir()}
    damaged = {}
    for path, content in intact.items():
        maps = [array.tobytes() for array in image_maps(int(path.stem)).values()]
        place = chosen.randrange(len(content) - sum(map(len, maps)))
        for start, length in sorted((content.index(values), len(values)) for values in maps):
            place += length if start <= place else 0
        changed = bytearray(content)
        changed[place] ^= 1 << chosen.randrange(8)
        damaged[path] = bytes(changed)
    found = contents(folder, damaged)
    for path, content in intact.items():
        path.write_bytes(content)
    monkeypatch.setattr(Stencils, "locate", lambda self, descriptor, size: None)
    assert found == contents(folder, damaged)


def test_what_a_stencil_cannot_tell(tmp_path):
    """Maps that overlap, that reach beyond the file, and too many bytes beside them."""
    path = tmp_path / "x"
    path.write_bytes(bytes(1 << 17))
    with path.open("rb") as file:
        for offsets, size in (((0, 8), 1 << 10), ((0, 1020), 1 << 10), ((0, 16), 1 << 17)):
            image = LocatedImage(offsets, ((1, 2, 2), (1, 2, 2)), ("chw", "chw"), None, None)
            assert Stencil.of(file.fileno(), size, image, 4, {}) is None
        image = LocatedImage((0, 16), ((1, 2, 2), (1, 2, 2)), ("chw", "chw"), None, None)
        stencils = Stencils()
        for _ in range(MOST_OF_ONE_SIZE):
            assert stencils.wants(1 << 10)
            stencils.add(1 << 10, Stencil.of(file.fileno(), 1 << 10, image, 4, {}))
        assert not stencils.wants(1 << 10)
        assert stencils.locate(file.fileno(), 1 << 10) == image
        assert stencils.locate(file.fileno(), 1 << 11) is None
