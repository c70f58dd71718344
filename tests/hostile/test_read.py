"""Damage that HDF5 does not see is read as HDF5 defines it: any bytes of an LZF chunk, plain chunks of any size."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.builders import IDS, batch_maps, extracted, random_rows, write_json

CASES = {
    "an LZF chunk of garbage": ({"compression": "lzf"}, lambda content: b"\xff" * len(content)),
    "a plain chunk that is too short": ({}, lambda content: content[:-4]),
    "a plain chunk that is too long": ({}, lambda content: content + bytes(400)),
}


@pytest.mark.parametrize("name", CASES)
def test_crops_are_those_of_what_hdf5_reads(name, tmp_path):
    storage, new = CASES[name]
    values = {level: (array * 8).round() / 8 for level, array in batch_maps().items()}
    with h5py.File(tmp_path / "maps.h5", "w") as file, h5py.File(tmp_path / "anew.h5", "w") as anew:
        for number, (level, array) in enumerate(values.items()):
            chunks = (1, 3, *(side // 2 for side in array.shape[2:]))
            dataset = file.create_dataset(level, data=array, chunks=chunks, **storage)
            mask, content = dataset.id.read_direct_chunk((0, 0, 0, 0))
            # Of a chunk that LZF did not make smaller, any bytes are values.
            mask = 1 if storage else mask
            whole = np.ascontiguousarray(array[:1, :3, : chunks[2], : chunks[3]]).tobytes()
            dataset.id.write_direct_chunk((0, 0, 0, 0), new(whole if storage else content), mask)
            dataset.attrs["stride"] = 4 << number
        file["image_ids"] = np.array(IDS, "S")
    boxes = write_json(tmp_path / "b.json", random_rows(20, len(IDS)).tolist())
    with h5py.File(tmp_path / "maps.h5") as file, h5py.File(tmp_path / "anew.h5", "w") as anew:
        for level in values:
            anew[level] = file[level][()]
            anew[level].attrs["stride"] = file[level].attrs["stride"]
        anew["image_ids"] = file["image_ids"][()]
    extracted(tmp_path / "one.h5", tmp_path / "maps.h5", boxes, "-q")
    extracted(tmp_path / "other.h5", tmp_path / "anew.h5", boxes, "-q")
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "other.h5") as other:
        assert one["crops"][()].tobytes() == other["crops"][()].tobytes()
