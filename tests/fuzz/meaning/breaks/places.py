"""Breaks of where things lie: a pyramid beside a pyramid, members that are no images, one statement in two places."""

from __future__ import annotations

import json
import random
import struct

import h5py
import numpy as np

from tests.fuzz.meaning.breaks.edits import in_hdf5
from tests.fuzz.meaning.breaks.registry import breaks, late
from tests.fuzz.meaning.job import Image, Job, Pair
from tests.fuzz.meaning.jobs import in_order
from tests.fuzz.meaning.write.pyramids import pyramid_name, stated

NAMES = ("0_notes", "about", "img_0", "zz")


def _with_image(job: Job, name: str) -> Job:
    """The job with one more image of a name."""
    other = job.copy()
    first = other.pyramid.images[0]
    maps = {level: values[:, ::-1].copy() for level, values in first.maps.items()}
    other.pyramid.images.append(Image(name, maps, dict(first.strides), first.factor, first.offset, first.size))
    return other


@breaks("a dataset beside the groups of images")
def dataset_beside(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout not in ("grouped", "grouped files"):
        return None
    name, values = rng.choice(NAMES), rng.choice((np.arange(3.0), np.array(["a", "b"], "S")))
    in_hdf5(job, job.pyramid.images[0], lambda group: group.file.update({name: values}))
    return [_with_image(job, name)]


@breaks("a group without levels beside those of images")
def group_beside(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout not in ("grouped", "grouped files"):
        return None
    name = rng.choice(NAMES)
    in_hdf5(job, job.pyramid.images[0], lambda group: group.file.create_group(name).update({"n": np.arange(2)}))
    return [_with_image(job, name)]


@breaks("levels of all images beside groups of images")
def batched_beside_groups(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if pyramid.layout != "grouped" or pyramid.stated not in ("stride", "scale"):
        return None
    other, values = job.copy(), np.random.default_rng(rng.randrange(99))
    other.pyramid.layout, other.pyramid.lead = "batched", False
    other.pyramid.images = [other.pyramid.images[place] for place in in_order(pyramid)]
    first = pyramid.images[0]
    for image in other.pyramid.images:
        image.maps = {name: values.permuted(array) for name, array in first.maps.items()}
        image.factor, image.offset, image.size = first.factor, first.offset, first.size

    def add(group: h5py.Group) -> None:
        for name in pyramid.levels:
            stack = np.stack([image.maps[name] for image in other.pyramid.images])
            group.file.create_dataset(name, data=stack).attrs["stride"] = stated(first.strides[name])
        if rng.random() < 0.5:
            group.file["image_ids"] = [image.id for image in other.pyramid.images]
        if first.factor is not None:
            group.file["scale_factors"] = [first.factor] * len(other.pyramid.images)

    in_hdf5(job, first, add)
    return [other]


@breaks("groups of images beside levels of all images")
def groups_beside_batched(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if pyramid.layout not in ("batched", "one") or pyramid.stated not in ("stride", "scale"):
        return None
    other = job.copy()
    other.pyramid.layout = "grouped"

    def add(group: h5py.Group) -> None:
        for image in other.pyramid.images:
            for name, values in image.maps.items():
                item = group.create_dataset(f"{image.id}/{name}", data=values)
                item.attrs["stride"] = stated(image.strides[name])

    for image in other.pyramid.images:
        image.maps = {name: -values for name, values in image.maps.items()}
    in_hdf5(job, pyramid.images[0], add)
    return [other]


@breaks("a scale factor in two places")
def factor_in_two_places(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if pyramid.layout not in ("nested", "one", "files") or job.options.get("--box-space") != "original":
        return None
    other, image, key = job.copy(), late(job, rng), rng.choice(("factor", "offset"))
    place = next(n for n, one in enumerate(pyramid.images) if one is image)
    value: Pair = (1.5, 3.0)
    name = {"factor": "scale_factor", "offset": "offset"}[key]
    if getattr(image, key) is None:
        return None
    setattr(other.pyramid.images[place], key, value)

    def add(group: h5py.Group) -> None:
        if pyramid.layout == "nested":
            (group if pyramid.outer else group.parent).attrs[name] = value
        else:
            group[f"{name}s"] = [value]

    in_hdf5(job, image, add)
    return [other]


@breaks("a folder of arrays and of files")
def arrays_beside_files(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if not pyramid.layout.endswith("files") or pyramid.images[0].factor is not None:
        return None
    first, count = pyramid.images[0], len(pyramid.images)
    ids = [pyramid.images[place].id for place in in_order(pyramid)]
    arrays = {name: np.stack([values * -1] * count) for name, values in first.maps.items()}
    if pyramid.stated != "option":
        arrays["strides"] = np.array([stated(stride) for stride in first.strides.values()], float)
    arrays["image_ids"] = np.array(ids)
    other = job.copy()
    other.pyramid.layout, other.pyramid.storage = "npy", {}
    other.pyramid.stated = "option" if pyramid.stated == "option" else "stride"
    other.pyramid.images = [other.pyramid.images[place] for place in in_order(pyramid)]
    for image in other.pyramid.images:
        image.maps = {name: -values for name, values in first.maps.items()}

    def edit(folder):
        for name, values in arrays.items():
            np.save(folder / "maps" / f"{name}.npy", values)

    job.edits.append(edit)
    return [other]


@breaks("strides as a tensor and as metadata")
def strides_as_both(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout != "safetensors" or job.pyramid.stated != "stride":
        return None
    other = job.copy()
    for image in other.pyramid.images:
        image.strides = {name: (2 * y, 2 * x) for name, (y, x) in image.strides.items()}
    values = np.array([stated(stride) for stride in other.pyramid.images[0].strides.values()], float)
    name = pyramid_name(job.pyramid)

    def edit(folder):
        content = (folder / name).read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
        offsets = [len(tensors), len(tensors) + values.nbytes]
        header["strides"] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": offsets}
        text = json.dumps(header).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + tensors + values.tobytes())

    job.edits.append(edit)
    return [other]


@breaks("one name of two levels")
def level_twice(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout != "json":
        return None
    other, name = job.copy(), pyramid_name(job.pyramid)
    level = rng.choice(job.pyramid.levels)
    for image in other.pyramid.images:
        image.maps[level] = -image.maps[level]

    def edit(folder):
        document = json.loads((folder / name).read_text())
        twin = dict(next(one for one in document["levels"] if one["name"] == level))
        twin["data"] = (-np.array(twin["data"])).tolist()
        document["levels"].insert(rng.choice((0, len(document["levels"]))), twin)
        (folder / name).write_text(json.dumps(document))

    job.edits.append(edit)
    return [other]


@breaks("a key twice in a pyramid of JSON")
def key_twice(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout != "json" or job.pyramid.stated not in ("stride", "scale"):
        return None
    other, name = job.copy(), pyramid_name(job.pyramid)
    for image in other.pyramid.images:
        image.strides = {level: (2 * y, 2 * x) for level, (y, x) in image.strides.items()}
    key = "stride" if job.pyramid.stated == "stride" else "spatial_scale"

    def edit(folder):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace(f'"{key}": ', f'"{key}": 77, "{key}": '))

    job.edits.append(edit)
    return [other]
