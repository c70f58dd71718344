"""Breaks of levels: their strides, sizes, order, channels and dtype."""

from __future__ import annotations

import random

import numpy as np

from tests.fuzz.meaning.breaks.edits import in_arrays, in_hdf5
from tests.fuzz.meaning.breaks.registry import breaks, late
from tests.fuzz.meaning.job import ARRAY_LAYOUTS, BESIDE, OWN_STATEMENTS, Image, Job, Pair
from tests.fuzz.meaning.write.pyramids import inverse, stated

GIVEN = ("--strides", "--scales")


def _doubled(strides: dict[str, Pair]) -> dict[str, Pair]:
    return {name: (y * 2, x * 2) for name, (y, x) in strides.items()}


def _own_places(job: Job) -> list[Image] | None:
    """The images whose strides a file states; None where the options state them."""
    return None if job.pyramid.stated == "option" else job.pyramid.images


@breaks("a stride and a scale of one level")
def stride_and_scale(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid, other = job.pyramid, job.copy()
    if pyramid.stated != "stride" or pyramid.layout == "json":
        return None
    strides = _doubled(pyramid.images[0].strides)
    if pyramid.layout in ARRAY_LAYOUTS:
        in_arrays(job, "spatial_scales", np.array([inverse(stride) for stride in strides.values()]))
    else:
        image, name = late(job, rng), rng.choice(pyramid.levels)
        in_hdf5(job, image, lambda group: group[name].attrs.update(spatial_scale=inverse(strides[name])))
    for image in other.pyramid.images:
        image.strides = _doubled(image.strides)
    return [other]


@breaks("strides in two places")
def strides_in_two_places(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid, other = job.pyramid, job.copy()
    if pyramid.stated == "option" or pyramid.layout in ARRAY_LAYOUTS:
        return None
    image = late(job, rng)
    on_file = pyramid.stated == "group" or pyramid.layout in BESIDE or rng.random() < 0.5
    if pyramid.stated in ("group", "file") and not on_file:
        return None
    strides = [stated(stride) for stride in _doubled(image.strides).values()]
    if pyramid.stated == "file" or (pyramid.stated == "group" and pyramid.layout in ("one", "files", "batched files")):
        name = rng.choice(pyramid.levels)
        in_hdf5(job, image, lambda group: group[name].attrs.update(stride=stated(_doubled(image.strides)[name])))
    else:
        in_hdf5(job, image, lambda group: (group.file if on_file else group).attrs.update(stride=strides))
    for one in other.pyramid.images:
        one.strides = _doubled(one.strides)
    return [other]


@breaks("another stride of a late image")
def late_stride(job: Job, rng: random.Random) -> list[Job] | None:
    shared = job.pyramid.stated == "option" or (job.pyramid.stated == "file" and job.pyramid.layout != "files")
    if job.pyramid.layout not in OWN_STATEMENTS or shared or len(job.pyramid.images) < 2:
        return None
    image = late(job, rng)
    name = rng.choice(job.pyramid.levels)
    image.strides = (
        {**image.strides, name: _doubled(image.strides)[name]} if rng.random() < 0.5 else _doubled(image.strides)
    )
    return []


@breaks("another stride in the second file")
def stride_of_a_file(job: Job, rng: random.Random) -> list[Job] | None:
    parts = job.pyramid.layout in ("batched files", "grouped files")
    if not parts or job.pyramid.stated == "option" or len(job.pyramid.images) < 2:
        return None
    for image in job.pyramid.images[(len(job.pyramid.images) + 1) // 2 :]:
        image.strides = _doubled(image.strides)
    return []


@breaks("strides coarse first")
def coarse_first(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2:
        return None
    for option in GIVEN:
        if option in job.options:
            job.options[option] = ",".join(reversed(job.options[option].split(",")))
    for image in job.pyramid.images:
        image.strides = dict(zip(image.strides, reversed(image.strides.values()), strict=True))
    return []


@breaks("levels named coarse first")
def named_coarse_first(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2:
        return None
    job.options["--levels"] = ",".join(reversed(job.pyramid.levels))
    return []


@breaks("fewer strides than levels")
def fewer_strides(job: Job, rng: random.Random) -> list[Job] | None:
    option = next((option for option in GIVEN if option in job.options), None)
    if option is not None:
        job.options[option] += rng.choice((",64", ",128"))
    elif job.pyramid.layout in ARRAY_LAYOUTS and job.pyramid.layout != "json" and len(job.pyramid.levels) > 1:
        name = "strides" if job.pyramid.stated == "stride" else "spatial_scales"
        in_arrays(job, name, np.array([8.0] * (len(job.pyramid.levels) + rng.choice((-1, 1)))))
    else:
        return None
    return []


@breaks("two levels of one stride")
def one_stride(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2 or job.pyramid.stated == "option":
        return None
    one, other = job.pyramid.levels[:2]
    for image in job.pyramid.images:
        image.strides[other] = image.strides[one]
    return []


@breaks("sizes that do not follow the strides", implausible=True)
def half_a_level(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2:
        return None
    images = [late(job, rng)] if job.pyramid.layout in OWN_STATEMENTS else job.pyramid.images
    name, along = rng.choice(job.pyramid.levels), rng.choice((1, 2))
    for image in images:
        half = image.maps[name].shape[along] // 2
        image.maps[name] = np.ascontiguousarray(np.split(image.maps[name], [half], axis=along)[rng.choice((0, 0))])
    return []


@breaks("channels of one level")
def channels_of_a_level(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2 or "--assign" in job.options:
        return None
    name = rng.choice(job.pyramid.levels)
    for image in job.pyramid.images:
        image.maps[name] = np.concatenate([image.maps[name], image.maps[name][:1]])
    return []


@breaks("dtype of one level")
def dtype_of_a_level(job: Job, rng: random.Random) -> list[Job] | None:
    if len(job.pyramid.levels) < 2 or job.pyramid.layout == "json":
        return None
    name = rng.choice(job.pyramid.levels)
    for image in job.pyramid.images:
        image.maps[name] = image.maps[name].astype("f4" if image.maps[name].dtype != np.float32 else "f8")
    return []


@breaks("a level that states no stride")
def like_a_level(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if "--levels" in job.options or pyramid.stated in ("group", "file") or pyramid.layout == "json":
        return None
    name, finest = rng.choice(("mask", "q2", "z")), pyramid.levels[0]
    values = np.stack([np.random.default_rng(1).permuted(image.maps[finest][..., ::2]) for image in pyramid.images[:1]])
    if pyramid.layout == "safetensors" or (
        pyramid.layout in BESIDE and pyramid.layout not in ("batched", "npz", "npy")
    ):
        return None
    if pyramid.layout in BESIDE:
        in_arrays(job, name, np.repeat(values, len(pyramid.images), axis=0))
    elif pyramid.layout == "batched files":
        return None
    else:
        for image in pyramid.images:
            in_hdf5(job, image, lambda group: group.update({name: values if pyramid.lead else values[0]}))
    return []


@breaks("axes of the maps", implausible=True)
def channels_last(job: Job, rng: random.Random) -> list[Job] | None:
    for image in job.pyramid.images:
        image.maps = {name: np.ascontiguousarray(values.transpose(1, 2, 0)) for name, values in image.maps.items()}
    return []
