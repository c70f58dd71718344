"""Of the heaps of a file, the one that holds the text of an attribute is checked before HDF5 reads it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.files.access import Access
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5 import links
from msroi_cli.io.hdf5.read import dataset_in, open_group
from msroi_cli.io.hdf5.values import attribute


@pytest.fixture
def scans(monkeypatch):
    """The files that were searched for all of their heaps."""
    found, check = [], links.check_heaps
    monkeypatch.setattr(links, "check_heaps", lambda path: (found.append(path), check(path))[1])
    return found


def write(path, more=0, **options):
    """Two datasets with an attribute of a text of variable length, after `more` others."""
    with h5py.File(path, "w", **options) as file:
        for name in ("one", "two"):
            dataset = file.create_dataset(name, data=np.zeros(4))
            for number in range(more):
                dataset.attrs[f"other {number}"] = "x" * 300
            dataset.attrs["layout"] = f"of {name}"
    return path


def texts(path):
    root = open_group(Location(path), "a file", Access())
    try:
        return [attribute(dataset_in(root, name, name, "a dataset"), "layout", name) for name in ("one", "two")]
    finally:
        root.close()


@pytest.mark.parametrize("more", [0, 3, 30])
def test_one_heap_is_looked_at(tmp_path, scans, more):
    """Also where attributes fill more than one block of a header."""
    assert texts(write(tmp_path / "f.h5", more)) == ["of one", "of two"]
    assert scans == []


@pytest.mark.parametrize("options", [{"libver": "latest"}, {"userblock_size": 512}])
def test_all_heaps_where_the_header_does_not_say_which(tmp_path, scans, options):
    path = write(tmp_path / "f.h5", **options)
    assert texts(path) == ["of one", "of two"]
    assert scans == [path]


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"userblock_size": 512}])
@pytest.mark.parametrize("size", [0, 1 << 40])
def test_a_damaged_heap_is_refused(tmp_path, options, size):
    """An object without a size, on which HDF5 loops, and one that is larger than its heap."""
    path = write(tmp_path / "f.h5", **options)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL\x01")
    free = heap + 16
    while content[free] or content[free + 1]:
        free += 16 + (int.from_bytes(content[free + 8 : free + 16], "little") + 7) // 8 * 8
    content[free + 8 : free + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"f.h5: cannot be read: expected a global heap of objects at \d+"):
        texts(path)


def test_a_text_in_no_heap(tmp_path):
    """HDF5 refuses it by itself."""
    path = write(tmp_path / "f.h5")
    content = path.read_bytes()
    heap = content.index(b"GCOL\x01").to_bytes(8, "little")
    assert content.count(heap) == 2
    path.write_bytes(content.replace(heap, (1 << 40).to_bytes(8, "little")))
    with pytest.raises(InputError, match=r"one: layout: cannot be read"):
        texts(path)
