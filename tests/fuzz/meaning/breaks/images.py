"""Breaks of images: ids, what only some of them have, and what is stated of their sizes."""

from __future__ import annotations

import random

import numpy as np

from tests.fuzz.meaning.breaks.edits import in_arrays
from tests.fuzz.meaning.breaks.registry import FILTERS, breaks, late
from tests.fuzz.meaning.job import BESIDE, OWN_STATEMENTS, Job


@breaks("one id of two images")
def id_twice(job: Job, rng: random.Random) -> list[Job] | None:
    images, layout = job.pyramid.images, job.pyramid.layout
    if len(images) < 2 or not job.pyramid.ids or layout in ("grouped", "nested", "files", "one"):
        return None
    one, other = (images[0], images[-1]) if layout.endswith("files") else rng.sample(images, 2)
    for row in job.boxes.rows:
        if job.boxes.key == "id" and images[row.image] is other:
            row.key = one.id
    other.id = one.id
    return []


@breaks("one id in two files")
def id_in_two_files(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout != "files":
        return None
    name = f"{late(job, rng).id}.h5"

    def edit(folder):
        other = next((path for path in sorted((folder / "maps").glob("*.h5")) if path.name != name), None)
        (folder / "maps" / "more").mkdir()
        ((folder / "maps" / "more") / name).write_bytes((other or folder / "maps" / name).read_bytes())

    job.edits.append(edit)
    return []


@breaks("channels of one image")
def channels_of_an_image(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout not in OWN_STATEMENTS or len(job.pyramid.images) < 2:
        return None
    image = late(job, rng)
    for name, values in image.maps.items():
        image.maps[name] = np.concatenate([values, values[:1]])
    return []


@breaks("dtype of one image")
def dtype_of_an_image(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout not in OWN_STATEMENTS or len(job.used()) < 2 or FILTERS & job.options.keys():
        return None
    image = late(job, rng)
    for name, values in image.maps.items():
        image.maps[name] = values.astype("f4" if values.dtype != np.float32 else "f2")
    return []


@breaks("a scale factor of some images")
def some_factors(job: Job, rng: random.Random) -> list[Job] | None:
    images = job.pyramid.images
    if job.pyramid.layout not in OWN_STATEMENTS or len(images) < 2:
        return None
    image = late(job, rng)
    if image.factor is None and "--box-space" not in job.options:
        image.factor = (1.25, 1.5)
    elif job.options.get("--box-space") == "original":
        image.factor = image.offset = None
    else:
        # In input pixels boxes are the same with and without a factor: --box-space input settles it.
        return None
    return []


@breaks("scale factors in one of two files")
def factors_of_a_file(job: Job, rng: random.Random) -> list[Job] | None:
    images, middle = job.pyramid.images, (len(job.pyramid.images) + 1) // 2
    if job.pyramid.layout not in ("batched files", "grouped files") or len(images) < 2:
        return None
    if images[0].factor is None and "--box-space" not in job.options:
        for image in images[middle:]:
            image.factor = (0.8, 0.8)
    elif job.options.get("--box-space") == "original":
        for image in images[middle:]:
            image.factor = image.offset = None
    else:
        return None
    return []


@breaks("a level that one image lacks")
def level_lacking(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.layout not in OWN_STATEMENTS or len(job.pyramid.images) < 2 or len(job.pyramid.levels) < 2:
        return None
    image = late(job, rng)
    name = rng.choice(list(image.maps))
    del image.maps[name], image.strides[name]
    return []


@breaks("a level that one image has alone")
def level_alone(job: Job, rng: random.Random) -> list[Job] | None:
    levels = job.pyramid.levels
    if job.pyramid.layout not in OWN_STATEMENTS or len(job.pyramid.images) < 2 or "--levels" in job.options:
        return None
    if job.pyramid.stated == "file" and job.pyramid.layout != "files":
        return None
    image = late(job, rng)
    coarsest = image.maps[levels[-1]]
    image.maps["p7"] = np.ascontiguousarray(coarsest[:, ::2, ::2])
    y, x = image.strides[levels[-1]]
    image.strides["p7"] = (2 * y, 2 * x)
    return []


@breaks("counts of what stands beside levels")
def counts(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if pyramid.layout not in BESIDE:
        return None
    ids = [image.id for image in pyramid.images]
    factors = np.full((len(ids) + rng.choice((-1, 1)), 2), 1.25)
    name, value = rng.choice((("image_ids", np.array([*ids, "one more"])), ("scale_factors", factors)))
    if name == "scale_factors" and pyramid.images[0].factor is None:
        name = "image_sizes"
    in_arrays(job, name, value)
    return []


@breaks("levels of other numbers of images")
def fewer_images(job: Job, rng: random.Random) -> list[Job] | None:
    pyramid = job.pyramid
    if pyramid.layout not in ("batched", "npz", "npy") or len(pyramid.levels) < 2 or len(pyramid.images) < 2:
        return None
    name = rng.choice(pyramid.levels)
    in_arrays(job, name, np.stack([image.maps[name] for image in pyramid.images[:-1]]))
    return []


def _sized(job: Job) -> bool:
    return None not in (job.pyramid.images[0].factor, job.pyramid.images[0].size)


@breaks("an image size that the levels contradict")
def other_size(job: Job, rng: random.Random) -> list[Job] | None:
    if not _sized(job):
        return None
    image, times = late(job, rng), rng.choice((3, 1.6, 0.2))
    image.size = (image.size[0] * times, image.size[1] * times)
    return []


@breaks("an image size of height and width", implausible=True)
def turned_size(job: Job, rng: random.Random) -> list[Job] | None:
    if not _sized(job):
        return None
    image = late(job, rng)
    image.size = image.size[::-1]
    return []


@breaks("a scale factor that the levels contradict")
def other_factor(job: Job, rng: random.Random) -> list[Job] | None:
    if not _sized(job):
        return None
    image, times = late(job, rng), rng.choice((3, 1.6, 0.2))
    image.factor = (image.factor[0] * times, image.factor[1] * times)
    return []


@breaks("an offset without a scale factor")
def offset_alone(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.images[0].factor is not None:
        return None
    other = job.copy()
    for one in (job, other):
        images = one.pyramid.images
        for image in [images[place] for place in one.used()] if one.pyramid.layout in OWN_STATEMENTS else images:
            image.offset = (5.0, 3.0)
    for image in other.pyramid.images:
        image.factor, image.offset = (1.0, 1.0), (5.0, 3.0)
    other.options["--box-space"] = "original"
    if "--normalized" in other.options or other.boxes.format == "YOLO":
        return None
    return [other]


@breaks("image sizes of other pictures than the input")
def original_sizes(job: Job, rng: random.Random) -> list[Job] | None:
    if job.pyramid.images[0].factor is not None or job.options.keys() & {"--normalized"}:
        return None
    if job.boxes.format == "YOLO" or job.boxes.sizes:
        return None
    other, times = job.copy(), rng.choice((0.25, 2.0))
    for one in (job, other):
        for image in one.pyramid.images:
            width, height = image.input_size()
            image.size = (width * times, height * times)
    for image in other.pyramid.images:
        image.factor = (1 / times, 1 / times)
    other.options["--box-space"] = "original"
    return [other]


@breaks("boxes in original pixels without scale factors")
def no_factors(job: Job, rng: random.Random) -> list[Job] | None:
    if job.options.get("--box-space") != "original":
        return None
    for image in job.pyramid.images:
        image.factor = image.offset = None
    return []


@breaks("no space of boxes beside scale factors")
def no_space(job: Job, rng: random.Random) -> list[Job] | None:
    if "--box-space" not in job.options:
        return None
    del job.options["--box-space"]
    return []
