"""Writes a pyramid file image by image, so that a kill loses at most the last few images and shows no half file.

HDF5 lays the file out and writes nothing but metadata; the maps are written to the places that it has set aside. The
journal records an image once its maps are on the disk. A writer that resumes has HDF5 lay the same images out again,
over the same bytes, which gives them the same places, and goes on behind them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from msroi_cli import __version__
from msroi_cli.errors import ArgumentError, InputError, UsageError
from msroi_cli.io.files.atomic import failures_named, publish, resolved
from msroi_cli.io.files.journal import Journal
from msroi_cli.io.files.location import Location
from msroi_cli.io.files.target import check_suffix, check_target, kind_of
from msroi_cli.io.files.work import create, remove, reopen
from msroi_cli.io.hdf5.errors import guarded
from msroi_cli.io.hdf5.latching import LatchingFile
from msroi_cli.io.hdf5.read import open_group
from msroi_cli.io.hdf5.values import attribute
from msroi_cli.io.hdf5.write import reserved_dataset, set_texts
from msroi_cli.io.pyramid.geometry import Geometry
from msroi_cli.io.pyramid.image import ImageMaps, LevelSet

FORMAT, FORMAT_VERSION = "msroi-pyramid", 1

# Images are recorded when so many bytes of them wait for the disk.
RECORDED_AT = 64 << 20

MODES = ("x", "w", "a")

Levels = Mapping[str, Any] | Sequence[Any]


class PyramidWriter:
    """Makes `path`, a pyramid with one group an image: `with PyramidWriter("maps.h5", strides=(4, 8)) as writer: ...`.

    strides: input pixels per cell of each level, finest first, numbers or (y, x) pairs. dtype: of the file; None: that
    of the first image. layout: how arrays given to `add` lie: "chw", "hwc" or "tokens"; the file is always (C, H, W).
    about: JSON values that say how the maps were made; a writer that resumes must have the same.
    mode: "x" makes a new file, "w" replaces one, "a" resumes one that was interrupted.

    The file has its name when the block ends without an error; until then there is only `.NAME.partial`. If a block
    fails, the images that were added stay for a writer with mode "a"; its `done` holds their ids, and those of all
    images if the file is whole already.
    Raises ArgumentError, a ValueError, for arguments, UsageError for a file that may not be written, RunError for what
    the file system refuses.
    """

    # What messages name for going on and for starting again.
    RESUMES, REPLACES = 'mode "a"', 'mode "w"'

    def __init__(
        self,
        path: str | Path,
        strides: Sequence[Any],
        *,
        dtype: str | None = None,
        layout: str = "chw",
        about: Mapping[str, Any] | None = None,
        mode: str = "x",
    ) -> None:
        if mode not in MODES:
            raise ArgumentError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
        self.path = Path(path)
        self._common = LevelSet.of(strides, dtype, layout)
        self._about = json.loads(json.dumps(dict(about or {})))
        self._whole = False
        self._resume, self._overwrite = mode == "a", mode == "w"
        check_suffix(self.path, "HDF5")
        check_target(self.path, mode != "x", f"{self.REPLACES} replaces it, {self.RESUMES} finishes it")
        self._target = resolved(self.path)
        self._partial = self._target.with_name(f".{self._target.name}.partial")
        self._done: dict[str, None] = {}
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0

    @property
    def done(self) -> frozenset[str]:
        """The ids of the images that are in the file already."""
        return frozenset(self._done)

    def __enter__(self) -> PyramidWriter:
        if self._resume and self._target.exists() and not kind_of(self._partial):
            self._whole = True
            self._done = dict.fromkeys(self._ids_of_whole())
            return self
        self._journal = Journal(self._target)
        try:
            self._open(self._identity())
        except BaseException:
            if not self._journal.records:
                self._journal.remove()
            self._journal.release()
            raise
        return self

    def _ids_of_whole(self) -> list[str]:
        """The images of a whole file; raises UsageError if a writer with other arguments made it."""
        with closing(open_group(Location(self.path), "a pyramid")) as root, guarded(self.path):
            if str(attribute(root, "identity", self.path)) == json.dumps(self._identity()):
                return list(root)
        raise UsageError(
            f"{self.path}: cannot resume: it is whole, and was made with other arguments; {self.REPLACES} replaces it"
        )

    def _identity(self) -> dict[str, Any]:
        """What writers have in common of which one resumes the other's work."""
        strides = [list(pair) for pair in self._common.strides]
        return {"format": FORMAT, "strides": strides, "dtype": self._common.wanted, "about": self._about}

    def _open(self, identity: Mapping[str, Any]) -> None:
        """Opens the file to write to, and lays out what an earlier writer has recorded."""
        self._journal.check_version(self._overwrite)
        self._journal.claim([self._partial])
        records = self._earlier(identity)
        with failures_named(self.path):
            if not records:
                remove(self._partial)
                self._journal.clear()
                self._journal.begin(identity)
            self._raw = LatchingFile(reopen(self._partial) if records else create(self._partial))
        self._file = h5py.File(self._raw, "w", libver="earliest")
        for record in records:
            places = self._lay_out(ImageMaps.from_record(record, self._common))
            if places != record["places"]:
                raise UsageError(f"{self.path}: cannot resume: HDF5 lays the file out in another way now")

    def _earlier(self, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The recorded images that can be resumed; raises UsageError where others would be lost."""
        records = self._journal.records
        if not records or self._overwrite:
            return []
        if not self._resume:
            raise UsageError(
                f"{self.path}: interrupted file found; {self.RESUMES} continues it, {self.REPLACES} starts again"
            )
        if self._journal.identity != identity:
            raise UsageError(f"{self.path}: cannot resume: made with other arguments; {self.REPLACES} starts again")
        if not self._partial.exists():
            return []
        with failures_named(self.path):
            sound = sum(1 for _ in takewhile(self._is_sound, records))
        if sound:
            # Images behind a damaged one are made again too: HDF5 lays out one behind the other.
            self._journal.keep(sound)
        return list(self._journal.records[:sound])

    def _is_sound(self, record: Mapping[str, Any]) -> bool:
        """Whether the maps of a recorded image are those that were written."""
        item = np.dtype(record["dtype"]).itemsize
        with self._partial.open("rb") as file:
            for place, shape, crc in zip(record["places"], record["shapes"], record["crcs"], strict=True):
                file.seek(place)
                if zlib.crc32(file.read(math.prod(shape) * item)) != crc:
                    return False
        return True

    def add(
        self,
        image_id: str,
        levels: Levels,
        *,
        scale_factor: Sequence[float] | None = None,
        offset: Sequence[float] = (0.0, 0.0),
        image_size: Sequence[float] | None = None,
        input_size: Sequence[float] | None = None,
    ) -> None:
        """Adds one image: its maps by level name, or in the order of the strides, and its geometry, see `Geometry`.

        Names are those of the first image's mapping, else p2, p3, ... after the strides. input_size: needed for tokens.
        Raises ArgumentError, InputError for maps that `extract` would refuse, RunError.
        """
        geometry = Geometry(*(_pair(value) for value in (scale_factor, offset, image_size, input_size)))  # type: ignore[arg-type]
        if image_id in self._done:
            raise InputError(f"{self.path}: expected images of different ids, got {image_id!r} again")
        if self._whole:
            raise UsageError(f"{self.path}: expected no further image, the file is whole, got {image_id!r}")
        image, arrays = self._common.image(f"{self.path}:/{image_id}", image_id, levels, geometry)
        places = self._lay_out(image)
        with failures_named(self.path):
            for place, array in zip(places, arrays, strict=True):
                self._raw.put(place, array)
        crcs = [zlib.crc32(array.reshape(-1).view(np.uint8).data) for array in arrays]
        self._waiting.append({**image.as_record(), "places": places, "crcs": crcs})
        self._bytes += sum(array.nbytes for array in arrays)
        if self._bytes >= RECORDED_AT:
            self._record()

    def _lay_out(self, image: ImageMaps) -> list[int]:
        """Makes the group and the datasets of an image; returns where in the file their values go."""
        group = self._file.create_group(image.id)
        for name, value in image.attributes().items():
            group.attrs[name] = value
        places = []
        for level, shape in zip(self._common.names, image.shapes, strict=True):
            dataset = reserved_dataset(group, level, shape, self._common.dtype)
            stride = self._common.stride(level)
            dataset.attrs["stride"] = stride[0] if stride[0] == stride[1] else stride
            places.append(int(dataset.id.get_offset()))
        self._done[image.id] = None
        return places

    def _record(self) -> None:
        with failures_named(self.path):
            self._raw.sync()
        self._journal.add(self._waiting)
        self._waiting, self._bytes = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole:
            return
        try:
            if error is None:
                self._finish()
            else:
                self._keep()
        finally:
            self._journal.release()

    def _finish(self) -> None:
        """Writes the metadata, and gives the file its name."""
        self._file.attrs["format_version"] = FORMAT_VERSION
        texts = {"format": FORMAT, "generated_by": f"msroi {__version__}"}
        set_texts(self._file, {**texts, "identity": json.dumps(self._identity()), "about": json.dumps(self._about)})
        with failures_named(self.path):
            self._file.close()
            self._raw.close(whole=True)
            publish(self._partial, self._target, self._overwrite or self._resume)
        self._journal.remove()

    def _keep(self) -> None:
        """Records what was added for a writer that resumes; leaves nothing behind if that is nothing."""
        try:
            self._record()
        finally:
            self._file.close()
            self._raw.close(whole=False)
            if not self._journal.records:
                remove(self._partial)
                self._journal.remove()


def _pair(value: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(float(number) for number in np.ravel(value))
