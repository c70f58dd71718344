"""Reads a pyramid with h5py, NumPy and json alone, told its layout; raises ContradictionError where it states none."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz.meaning.job import Job, Pair
from tests.fuzz.meaning.write.pyramids import pyramid_name

SIDES = ("scale_factors", "image_sizes", "offsets", "image_ids", "strides", "spatial_scales")
DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}


class ContradictionError(Exception):
    """Two statements of the files that cannot both be true."""


def expect(true: bool, what: str) -> None:
    """Raises ContradictionError unless it is true."""
    if not true:
        raise ContradictionError(what)


@dataclass
class ImageRead:
    """maps: (C, H, W) by level. scales: (y, x) by level, None where not stated. factor, offset, size: (x, y)."""

    id: str
    maps: dict[str, np.ndarray]
    scales: dict[str, Pair | None]
    factor: Pair | None = None
    offset: Pair | None = None
    size: Pair | None = None


def natural(text: str) -> list[Any]:
    """The key of natural order."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", text)]


def pair(value: Any) -> Pair:
    """One number or two as a pair."""
    numbers = np.ravel(np.asarray(value, np.float64))
    return float(numbers[0]), float(numbers[-1])


def scale_of(stride: Any, scale: Any) -> Pair | None:
    """The scale of a level that states its stride, its scale, or both."""
    found = [pair(scale)] if scale is not None else []
    if stride is not None:
        y, x = pair(stride)
        found.append((1 / y, 1 / x))
    expect(len(found) < 2 or bool(np.allclose(found[0], found[1])), "a stride and a scale of one level")
    return found[0] if found else None


def finest_first(maps: dict[str, np.ndarray]) -> list[str]:
    """Names of levels by falling size of their maps."""
    return sorted(maps, key=lambda name: (-maps[name].shape[-1] * maps[name].shape[-2], name))


def _is_last(item: h5py.Dataset) -> bool:
    """Whether a level says that its channels are last."""
    layout = item.attrs.get("layout", "chw")
    expect(layout in ("chw", "hwc", b"chw", b"hwc"), "a layout that is none")
    return layout in ("hwc", b"hwc")


def _values(item: h5py.Dataset) -> np.ndarray:
    """A level, (C, H, W) or (N, C, H, W)."""
    return np.moveaxis(item[()], -1, -3) if _is_last(item) else item[()]


def _cells(item: h5py.Dataset) -> int:
    """The cells of a map."""
    return int(np.prod(item.shape[-3:-1] if _is_last(item) else item.shape[-2:]))


def _levels(group: h5py.Group, ranks: tuple[int, ...]) -> dict[str, h5py.Dataset]:
    """The datasets that may be levels."""
    found = {}
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and item.ndim in ranks and item.dtype.kind == "f":
            found[name] = item
    return {name: found[name] for name in sorted(found, key=lambda name: (-_cells(found[name]), name))}


def _own_scales(levels: dict[str, h5py.Dataset], *holders: h5py.Group) -> dict[str, Pair | None]:
    """What levels state, and what the group and the file around them state of all levels, which must agree."""
    found: dict[str, Pair | None] = {}
    for place, (name, item) in enumerate(levels.items()):
        stated = [scale_of(item.attrs.get("stride"), item.attrs.get("spatial_scale"))]
        for holder in holders:
            columns = [holder.attrs.get(key) for key in ("stride", "spatial_scale")]
            for column in columns:
                expect(column is None or np.size(column) in (len(levels), 2 * len(levels)), "one stride a level")
            stated.append(scale_of(*(None if column is None else np.atleast_1d(column)[place] for column in columns)))
        known = [scale for scale in stated if scale is not None]
        for other in known[1:]:
            expect(bool(np.allclose(known[0], other)), f"strides of {name} in two places")
        found[name] = known[0] if known else None
    return found


def _sides(*holders: h5py.Group) -> dict[str, Pair | None]:
    """Factor, offset and size, stated by one of the groups or alike by several."""
    found: dict[str, Pair | None] = {}
    for key, name in (("factor", "scale_factor"), ("offset", "offset"), ("size", "image_size")):
        stated = [pair(holder.attrs[name]) for holder in holders if name in holder.attrs]
        expect(len(set(stated)) < 2, f"{name} in two places")
        found[key] = stated[0] if stated else None
    return found


def _image(name: str, group: h5py.Group, *outer: h5py.Group) -> ImageRead:
    levels = _levels(group, (3, 4))
    maps = {}
    for key, item in levels.items():
        values = _values(item)
        expect(values.ndim == 3 or len(values) == 1, "one image a group")
        maps[key] = values[0] if values.ndim == 4 else values
    holders = [group] if group.name == "/" else [group, group.file]
    return ImageRead(name, maps, _own_scales(levels, *holders), **_sides(group, *outer))


def _grouped(path: Path) -> list[ImageRead]:
    with h5py.File(path) as file:
        expect(not _levels(file, (4,)), "levels of all images beside groups of images")
        names = [name for name, item in file.items() if isinstance(item, h5py.Group) and _levels(item, (3, 4))]
        return [_image(name, file[name]) for name in sorted(names, key=natural)]


def _nested(path: Path) -> list[ImageRead]:
    with h5py.File(path) as file:
        names = sorted((name.removeprefix("im_") for name in file["images"]), key=natural)
        groups = {name: file["images"][f"im_{name}"]["features"] for name in names}
        return [_image(name, group, group.parent) for name, group in groups.items()]


def _one(path: Path) -> list[ImageRead]:
    with h5py.File(path) as file:
        beside = [name for name, item in file.items() if isinstance(item, h5py.Group) and _levels(item, (3, 4))]
        expect(not beside, "groups of images beside the levels of one")
        found = _image(path.stem, file)
        for key, name in (("factor", "scale_factors"), ("size", "image_sizes"), ("offset", "offsets")):
            if name in file:
                value = pair(file[name][()])
                expect(getattr(found, key) in (None, value), f"{name} in two places")
                setattr(found, key, value)
        return [found]


def _of_arrays(maps: dict[str, np.ndarray], sides: dict[str, Any], scales: dict[str, Pair | None]) -> list[ImageRead]:
    """Batched images from their arrays and what stands beside them."""
    count = len(next(iter(maps.values())))
    expect({len(values) for values in maps.values()} == {count}, "levels of other numbers of images")
    for name in SIDES[:4]:
        expect(sides.get(name) is None or len(sides[name]) == count, f"{name} of another length")
    ids = [str(key) for key in sides.get("image_ids", range(count))]
    expect(len(set(ids)) == count, "one id of two images")
    columns = {"factor": "scale_factors", "size": "image_sizes", "offset": "offsets"}
    return [
        ImageRead(
            ids[image],
            {name: maps[name][image] for name in finest_first(maps)},
            scales,
            **{key: pair(sides[name][image]) for key, name in columns.items() if sides.get(name) is not None},
        )
        for image in range(count)
    ]


def _batched(path: Path) -> list[ImageRead]:
    with h5py.File(path) as file:
        expect(not any(isinstance(item, h5py.Group) for item in file.values()), "groups beside batched levels")
        levels = _levels(file, (4,))
        sides = {name: file[name][()] for name in SIDES if name in file}
        if "image_ids" in sides:
            sides["image_ids"] = [key.decode() for key in sides["image_ids"]]
        scales = _own_scales(levels, file)
        return _of_arrays({name: _values(item) for name, item in levels.items()}, sides, scales)


def _in_order(arrays: dict[str, Any]) -> list[ImageRead]:
    """Images of arrays whose `strides` and `spatial_scales` are finest first, or by level."""
    maps = {name: values for name, values in arrays.items() if name not in SIDES}
    sides = {name: values for name, values in arrays.items() if name in SIDES}
    names = finest_first(maps)
    columns = {name: sides.pop(name, None) for name in ("strides", "spatial_scales")}
    for key, column in columns.items():
        expect(column is None or len(column) == len(names), f"{key}: one value a level")
    scales = {
        name: scale_of(*(None if column is None else column[place] for column in columns.values()))
        for place, name in enumerate(names)
    }
    return _of_arrays(maps, sides, scales)


def _npz(path: Path) -> list[ImageRead]:
    with np.load(path) as archive:
        return _in_order(dict(archive))


def _npy(path: Path) -> list[ImageRead]:
    return _in_order({file.stem: np.load(file) for file in path.glob("*.npy")})


def _safetensors(path: Path) -> list[ImageRead]:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    found: dict[str, Any] = {name: json.loads(text) for name, text in header.pop("__metadata__", {}).items()}
    for name, entry in header.items():
        expect(name not in found, f"{name} as a tensor and in the metadata")
        start, stop = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = np.frombuffer(content[start:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return _in_order(found)


def _json(path: Path) -> list[ImageRead]:
    document = json.loads(path.read_text())
    levels = {level["name"]: level for level in document.pop("levels")}
    maps = {
        name: np.moveaxis(np.array(level["data"], np.float32), *((-1, -3) if level.get("layout") == "hwc" else (0, 0)))
        for name, level in levels.items()
    }
    scales = {name: scale_of(level.get("stride"), level.get("spatial_scale")) for name, level in levels.items()}
    return _of_arrays(maps, document, scales)


def _several(read: Any, ordered: bool) -> Any:
    def read_all(path: Path) -> list[ImageRead]:
        files = sorted(path.rglob("*.h5"), key=lambda file: natural(str(file)))
        images = [image for file in files for image in read(file)]
        expect(len({image.id for image in images}) == len(images), "one id of two images")
        return images if ordered else sorted(images, key=lambda image: natural(image.id))

    return read_all


READERS = {
    "grouped": _grouped,
    "nested": _nested,
    "batched": _batched,
    "one": _one,
    "npz": _npz,
    "npy": _npy,
    "safetensors": _safetensors,
    "json": _json,
    "files": _several(_one, ordered=False),
    "grouped files": _several(_grouped, ordered=False),
    "batched files": _several(_batched, ordered=True),
}


def read_pyramid(job: Job, folder: Path) -> list[ImageRead]:
    """The images in the order of their numbers, with the scales of the options where these state them."""
    images = READERS[job.pyramid.layout](folder / pyramid_name(job.pyramid))
    for image in images:
        names = job.options["--levels"].split(",") if "--levels" in job.options else list(image.maps)
        expect(set(names) <= set(image.maps), f"image {image.id} lacks a level")
        image.maps = {name: image.maps[name] for name in names}
        image.scales = {name: image.scales.get(name) for name in names}
        for option in ("--strides", "--scales"):
            if option in job.options:
                values = [number(word) for word in job.options[option].split(",")]
                expect(len(values) == len(names), "one value a level")
                for name, value in zip(names, values, strict=True):
                    image.scales[name] = (1 / value[0], 1 / value[1]) if option == "--strides" else value
    return images


def number(word: str) -> Pair:
    """`8`, `1/8` or `8x4` of a command line as (y, x)."""
    sides = [side.split("/") for side in word.split("x")]
    values = [float(side[0]) / float(side[1]) if len(side) == 2 else float(side[0]) for side in sides]
    return values[0], values[-1]
