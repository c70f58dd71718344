"""Writes a pyramid in any layout, as its document states it."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np

from tests.fuzz.meaning.job import Image, Job, Pair, Pyramid

GROUP = "images/im_{id}/features"
SAFETENSORS_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}
SIDES = {"factor": "scale_factor", "offset": "offset", "size": "image_size"}


def pyramid_name(pyramid: Pyramid) -> str:
    """The name of the file or folder, below that of the job."""
    suffixes = {"npz": ".npz", "safetensors": ".safetensors", "json": ".json", "npy": "", "files": ""}
    if pyramid.layout == "one":
        return f"{pyramid.images[0].id}.h5"
    return "maps" + suffixes.get(pyramid.layout, "" if pyramid.layout.endswith("files") else ".h5")


def write_pyramid(job: Job, folder: Path) -> Path:
    """Writes the pyramid of a job into a folder; its path."""
    path = folder / pyramid_name(job.pyramid)
    WRITERS[job.pyramid.layout](job.pyramid, path)
    return path


def stated(stride: Pair) -> float | list[float]:
    """A stride as one number, or two where they differ."""
    return stride[0] if stride[0] == stride[1] else list(stride)


def inverse(stride: Pair) -> float | list[float]:
    """A spatial scale."""
    return stated((1 / stride[0], 1 / stride[1]))


def _state_strides(holder: h5py.Group, pyramid: Pyramid, image: Image) -> None:
    """Writes one value a level, finest first, on a group or a file."""
    strides = [image.strides[name] for name in image.maps]
    pairs = any(y != x for y, x in strides)
    holder.attrs["stride"] = strides if pairs else [y for y, _ in strides]


def _state(item: h5py.Dataset, pyramid: Pyramid, stride: Pair) -> None:
    if pyramid.stated == "stride":
        item.attrs["stride"] = stated(stride)
    if pyramid.stated == "scale":
        item.attrs["spatial_scale"] = inverse(stride)


def _is_last(pyramid: Pyramid, image: Image, name: str) -> bool:
    return pyramid.last == "all" or (pyramid.last == "some" and bool(_number(image, name) % 2))


def _number(image: Image, name: str) -> int:
    """The same on every run, and by turns odd and even."""
    return zlib.crc32(f"{image.id}/{name}".encode())


def _write_level(group: h5py.Group, name: str, values: np.ndarray, pyramid: Pyramid, image: Image) -> None:
    """A level of an image, or of some images of which it is the first, in the layout that it says it has."""
    last = _is_last(pyramid, image, name)
    item = group.create_dataset(name, data=np.moveaxis(values, -3, -1) if last else values, **pyramid.storage)
    if last:
        item.attrs["layout"] = "hwc" if _number(image, name) % 3 else np.bytes_("hwc")
    _state(item, pyramid, image.strides[name])


def _write_levels(group: h5py.Group, pyramid: Pyramid, image: Image) -> None:
    for name, values in image.maps.items():
        _write_level(group, name, values[None] if pyramid.lead else values, pyramid, image)
    if pyramid.stated == "group":
        _state_strides(group, pyramid, image)


def _state_sides(holder: h5py.Group, image: Image) -> None:
    for key, name in SIDES.items():
        if getattr(image, key) is not None:
            holder.attrs[name] = getattr(image, key)


def _grouped(pyramid: Pyramid, path: Path, images: list[Image] | None = None) -> None:
    images = pyramid.images if images is None else images
    with h5py.File(path, "w", track_order=True) as file:
        for image in images:
            group = file.create_group(image.id)
            _write_levels(group, pyramid, image)
            _state_sides(group, image)
        if pyramid.stated == "file":
            _state_strides(file, pyramid, images[0])


def _nested(pyramid: Pyramid, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for image in pyramid.images:
            inner = file.create_group(GROUP.format(id=image.id))
            _write_levels(inner, pyramid, image)
            _state_sides(inner.parent if pyramid.outer else inner, image)
        if pyramid.stated == "file":
            _state_strides(file, pyramid, pyramid.images[0])


def _one(pyramid: Pyramid, path: Path, image: Image | None = None) -> None:
    image = image or pyramid.images[0]
    with h5py.File(path, "w") as file:
        _write_levels(file, pyramid, image)
        if pyramid.stated == "file":
            _state_strides(file, pyramid, image)
        _state_sides(file, image)


def beside(images: list[Image], ids: bool) -> dict[str, np.ndarray]:
    """What stands beside batched levels, by name; an array that not all images have is left out."""
    arrays = {}
    for key, name in SIDES.items():
        values = [getattr(image, key) for image in images]
        if None not in values:
            arrays[f"{name}s"] = np.array(values, np.float64)
    if ids:
        arrays["image_ids"] = np.array([image.id for image in images])
    return arrays


def _stacked(images: list[Image]) -> dict[str, np.ndarray]:
    return {name: np.stack([image.maps[name] for image in images]) for name in images[0].maps}


def _batched(pyramid: Pyramid, path: Path, images: list[Image] | None = None) -> None:
    images = pyramid.images if images is None else images
    with h5py.File(path, "w") as file:
        for name, values in _stacked(images).items():
            _write_level(file, name, values, pyramid, images[0])
        for name, values in beside(images, pyramid.ids).items():
            file[name] = [str(key) for key in values] if name == "image_ids" else values
        if pyramid.stated in ("group", "file"):
            _state_strides(file, pyramid, images[0])


def _side_arrays(pyramid: Pyramid) -> dict[str, np.ndarray]:
    arrays = beside(pyramid.images, pyramid.ids)
    strides = [pyramid.images[0].strides[name] for name in pyramid.levels]
    if pyramid.stated == "stride":
        arrays["strides"] = np.array([stated(stride) for stride in strides], np.float64)
    if pyramid.stated == "scale":
        arrays["spatial_scales"] = np.array([inverse(stride) for stride in strides], np.float64)
    return arrays


def _npz(pyramid: Pyramid, path: Path) -> None:
    np.savez(path, **_stacked(pyramid.images), **_side_arrays(pyramid))


def _npy(pyramid: Pyramid, path: Path) -> None:
    path.mkdir()
    for name, values in {**_stacked(pyramid.images), **_side_arrays(pyramid)}.items():
        np.save(path / f"{name}.npy", values)


def _safetensors(pyramid: Pyramid, path: Path) -> None:
    tensors = {**_stacked(pyramid.images), **_side_arrays(pyramid)}
    texts = {name: json.dumps(tensors.pop(name).tolist()) for name in ("image_ids", "strides") if name in tensors}
    write_safetensors(path, tensors, texts)


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], texts: dict[str, str]) -> None:
    """Writes tensors, and texts as metadata."""
    header: dict[str, object] = {"__metadata__": texts} if texts else {}
    content = b""
    for name, values in tensors.items():
        data = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": SAFETENSORS_DTYPES[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [len(content), len(content) + len(data)],
        }
        content += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def _json(pyramid: Pyramid, path: Path) -> None:
    levels = []
    for name, values in _stacked(pyramid.images).items():
        key, value = ("stride", stated) if pyramid.stated == "stride" else ("spatial_scale", inverse)
        level = {"name": name, "data": values.tolist()}
        if _is_last(pyramid, pyramid.images[0], name):
            level |= {"layout": "hwc", "data": np.moveaxis(values, 1, -1).tolist()}
        if pyramid.stated in ("stride", "scale"):
            level[key] = value(pyramid.images[0].strides[name])
        levels.append(level)
    sides = {name: values.tolist() for name, values in beside(pyramid.images, pyramid.ids).items()}
    path.write_text(json.dumps({"levels": levels, **sides}))


def halves(images: list[Image]) -> list[list[Image]]:
    """The images in two files."""
    middle = (len(images) + 1) // 2
    return [part for part in (images[:middle], images[middle:]) if part]


def _files(pyramid: Pyramid, path: Path) -> None:
    path.mkdir()
    for image in pyramid.images:
        _one(pyramid, path / f"{image.id}.h5", image)


def _grouped_files(pyramid: Pyramid, path: Path) -> None:
    path.mkdir()
    for number, part in enumerate(halves(pyramid.images)):
        _grouped(pyramid, path / f"part{number}.h5", part)


def _batched_files(pyramid: Pyramid, path: Path) -> None:
    path.mkdir()
    for number, part in enumerate(halves(pyramid.images)):
        _batched(pyramid, path / f"part{number}.h5", part)


WRITERS = {
    "grouped": _grouped,
    "nested": _nested,
    "batched": _batched,
    "one": _one,
    "npz": _npz,
    "npy": _npy,
    "safetensors": _safetensors,
    "json": _json,
    "files": _files,
    "grouped files": _grouped_files,
    "batched files": _batched_files,
}
