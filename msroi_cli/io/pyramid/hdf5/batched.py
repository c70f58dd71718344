"""Batched pyramids in HDF5: one dataset (N, C, H, W) a level; or one image, (C, H, W) at the top of the file."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError
from msroi_cli.io.features.dataset import FeatureDataset, OpenFile
from msroi_cli.io.features.layouts import axes
from msroi_cli.io.features.source import MapSource
from msroi_cli.io.files.location import Location
from msroi_cli.io.hdf5.describe import dataset_storage
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.links import Found
from msroi_cli.io.hdf5.read import InputDataset, dataset_in, member
from msroi_cli.io.hdf5.values import attribute, read_numbers, texts
from msroi_cli.io.pyramid.base import BatchedPyramid
from msroi_cli.io.pyramid.checks import different_ids, pairs_beside
from msroi_cli.io.pyramid.hdf5.levels import Hdf5Pyramid, layout_of
from msroi_cli.io.pyramid.levels import LevelChoice, offset_of, pair_of


class BatchedHdf5Pyramid(Hdf5Pyramid, BatchedPyramid):
    """One dataset (N, C, H, W) a level, optional `image_ids` (N,), `scale_factors` and `image_sizes` (N, 2).

    With the attribute `layout="hwc"` on a level, (N, H, W, C). Of one image also (C, H, W). Without `image_ids` its id
    is the stem of the file's name, and it may have attributes `scale_factor` and `image_size` instead of datasets.
    """

    def __init__(
        self, file: OpenFile, location: Location, datasets: dict[str, InputDataset], choice: LevelChoice
    ) -> None:
        super().__init__(file, location)
        first = next(iter(datasets))
        if datasets[first].ndim not in (3, 4):
            raise InputError(f"{location.at(first)}: expected (N, C, H, W) or (C, H, W), got {datasets[first].shape}")
        self._set_levels(datasets, choice, location, self.root)
        count = _images(datasets[first])
        for name, dataset in datasets.items():
            if _images(dataset) != count:
                wanted = f"({count}, {axes(layout_of(dataset, location.at(name)))})"
                raise InputError(f"{location.at(name)}: expected {wanted} like {first}, got {dataset.shape}")
        self._datasets = list(datasets.values())
        self._storage = []
        for name, dataset in datasets.items():
            where = location.at(name)
            layout = layout_of(dataset, where)
            with guarded(where):
                self._storage.append(FeatureDataset(Found(dataset.id, dataset.input), file, where, layout))
        self.image_ids = self._ids(count)
        self.factors = self._pairs("scale_factor", count)
        self.sizes = self._pairs("image_size", count)
        self.offsets = self._pairs("offset", count)

    def _ids(self, count: int) -> list[str]:
        where = self.location.at("image_ids")
        if member(self.root, "image_ids", where) is None:
            self.named_by_file, self.numbered = count == 1, count > 1
            return [self.location.path.stem] if self.named_by_file else [str(index) for index in range(count)]
        ids = texts(dataset_in(self.root, "image_ids", where, f"a dataset of {count} ids"), where, count)
        return different_ids(where, ids, count)

    def _pairs(self, name: str, count: int) -> NDArray[np.float64] | None:
        """The dataset of a name, in the plural, or of one image the attribute of that name; None without either."""
        pair = pair_of if name != "offset" else offset_of
        value = attribute(self.root, name, self.location) if count == 1 else None
        stated = None if value is None else np.array([pair(f"{self.location}: {name}", value)])
        where = self.location.at(f"{name}s")
        if member(self.root, f"{name}s", where) is None:
            return stated
        dataset = dataset_in(self.root, f"{name}s", where, f"a dataset ({count}, 2)")
        values = read_numbers(dataset, where, (count, 2), f"({count}, 2) numbers")
        pairs = pairs_beside(where, values, count, signed=name == "offset")
        if stated is not None and not np.array_equal(stated, pairs):
            raise InputError(f"{where}: expected the attribute {name} or a dataset, got {stated[0]} and {pairs[0]}")
        return pairs

    def storage(self, image: int, level: int) -> dict[str, Any]:
        """The level's dataset, of all images."""
        return dataset_storage(self._datasets[level])

    def type_of_levels(self) -> h5py.h5t.TypeID:
        """The HDF5 type of the finest level."""
        return self._datasets[0].id.get_type()

    def source(self, image: int, level: int) -> MapSource:
        """One entry of a level's dataset."""
        return self._storage[level].map(image, self.location.at(self.levels[level].name))


def _images(dataset: h5py.Dataset) -> int:
    """How many images a level (N, C, H, W) or (C, H, W) holds."""
    return len(dataset) if dataset.ndim == 4 else 1
