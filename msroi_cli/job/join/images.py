"""Which image of the pyramid each box belongs to; a number or name that could mean two images is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.arrays import run_ends, slices
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.numbers import Indices, index_type
from msroi_cli.io.pyramid.base import Pyramid

UNKNOWN, UNUSABLE = -1, -2
LISTED = 5

Numbers = Indices


def images_of(table: BoxTable, pyramid: Pyramid, image_key: str | None) -> Numbers:
    """The image of each box, (K,) indices into the pyramid's images, -1 where it has none such.

    image_key: "index", "id" or "file_name"; None reads numbers as indices and names as ids. Raises InputError where
    another key would give a box another image, UsageError for a key that the box file lacks.
    """
    if table.image_ids is None:
        return _of_numbers(table, pyramid, image_key)
    by_name = _by_name(table.image_ids, table, pyramid, image_key or "id")
    if image_key is None and table.file_names:
        _refuse_two_names(table, by_name, pyramid)
    if image_key is None and pyramid.numbered:
        _refuse_two_orders(table, by_name, pyramid)
    _refuse_two_images(table, by_name, pyramid, image_key or "id")
    return np.array([*by_name, UNKNOWN], index_type(len(pyramid.image_ids)))[table.image]


def numbered_as(table: BoxTable, images: Numbers, count: int) -> BoxTable:
    """The table with the images (K,) of its boxes, of which there are `count`, in place of its own numbers of them.

    So there is one array of them and not two. As it is where boxes are of no image.
    """
    if len(images) and images.min() < 0:
        return table
    if table.image_ids is None:
        return table._replace(image=images)
    names = [""] * count
    own = np.full(count, -1, images.dtype)
    own[images] = table.image
    for image in np.flatnonzero(own >= 0).tolist():
        names[image] = table.image_ids[own[image]]
    return table._replace(image=images, image_ids=names)


def advice_on_unknown(table: BoxTable, pyramid: Pyramid, images: Numbers, image_key: str | None) -> str:
    """What would know more of the images of the boxes than `images` (K,) does, or which images there are."""
    found = int((images >= 0).sum())
    for key in ("id", "file_name", "index"):
        try:
            count = int((images_of(table, pyramid, key) >= 0).sum())
        except (InputError, UsageError):
            continue
        if key != image_key and count > found:
            return f"--image-key {key} finds the images of {count} of {len(images)} boxes"
    if table.image_ids is not None:
        return f"image ids in the pyramid: {', '.join(pyramid.image_ids[:LISTED])}"
    top = len(pyramid.image_ids) - 1
    from_one = len(table.image) > 0 and table.image.min() >= 1 and table.image.max() == top + 1
    return f"images have the indices 0 to {top}" + ("; these seem to count from 1" if from_one else "")


def _of_numbers(table: BoxTable, pyramid: Pyramid, image_key: str | None) -> Numbers:
    if image_key == "file_name":
        raise UsageError("--image-key file_name: expected boxes with image ids, got numbers of images")
    if image_key == "id":
        return _by_value(table.image, pyramid)
    count = len(pyramid.image_ids)
    all_valid = not len(table.image) or bool(table.image.min() >= 0 and table.image.max() < count)
    valid = np.broadcast_to(all_valid, table.image.shape)
    if not all_valid:
        valid = (table.image >= 0) & (table.image < count)
    if image_key is None:
        _refuse_two_numbers(table, valid, pyramid)
        _refuse_other_ids(table, valid, pyramid)
    images = table.image if all_valid else np.where(valid, table.image, UNKNOWN)
    images = images.astype(index_type(count), copy=False)
    _check_those_before(used_images(images, count), pyramid)
    return images


def _by_value(numbers: Numbers, pyramid: Pyramid) -> Numbers:
    """The images whose ids are these numbers, as text or, where only one has it, by value."""
    known = _index(pyramid)
    values = {value: images[0] for value, images in _values(pyramid).items() if len(images) == 1}

    def image(number: int) -> int:
        return known.get(str(number), values.get(number, UNKNOWN))

    if len(numbers) and numbers.min() >= 0 and numbers.max() < 2 * len(numbers):
        # A table of all numbers takes less memory and time than sorting them.
        found = np.full(int(numbers.max()) + 1, UNKNOWN, index_type(len(known)))
        used = used_images(numbers, len(found))
        found[used] = [image(number) for number in used.tolist()]
        return found[numbers]
    used, position = np.unique(numbers, return_inverse=True)
    return np.array([*map(image, used.tolist()), UNKNOWN], index_type(len(known)))[:-1][position]


def used_images(images: Numbers, count: int) -> Numbers:
    """Which of `count` images are those of boxes, `images` (K,), ascending; negative ones are of no image."""
    used = np.zeros(count, np.bool_)
    for rows in slices(len(images)):
        some = run_ends(images[rows])
        used[some[some >= 0]] = True
    return np.flatnonzero(used)


def _check_those_before(used: Numbers, pyramid: Pyramid) -> None:
    """Raises InputError for what has a number below one that is used and is no image: the numbers count it."""
    found = set(used.tolist())
    if pyramid.numbered or all(pyramid.image_ids[number] == str(number) for number in found):
        return
    for number in range(max(found)):
        if number not in found and not pyramid.is_image(number):
            levels = ", ".join(level.name for level in pyramid.levels)
            raise InputError(
                f"{pyramid.location.at(pyramid.image_ids[number])}: expected an image, as the boxes count it as number "
                f"{number}, got none of the levels {levels} (--image-key id takes the numbers as ids)"
            )


def _refuse_two_numbers(table: BoxTable, valid: NDArray[np.bool_], pyramid: Pyramid) -> None:
    """Raises InputError where a number is the index of one image and the id of another."""
    numbers, ids = table.image, pyramid.image_ids
    if pyramid.numbered or _are_indices(ids):
        return
    values = _values(pyramid)
    for number in used_images(np.where(valid, numbers, UNKNOWN), len(ids)).tolist():
        others = [image for image in values.get(number, ()) if image != number]
        if others and ids[number] != str(number):
            row = table.row(int(np.flatnonzero(numbers == number)[0]))
            raise InputError(
                f"row {row}: expected a number of one image in {pyramid.location}, got {number}: index {number} is "
                f"image {ids[number]!r}, and id {ids[others[0]]!r} is index {others[0]} "
                "(--image-key index or --image-key id)"
            )


def _are_indices(ids: Sequence[str]) -> bool:
    """Whether the value of each id is its index, perhaps with zeros before it."""
    try:
        return list(map(int, ids)) == list(range(len(ids)))
    except ValueError:
        return False


def _refuse_other_ids(table: BoxTable, valid: NDArray[np.bool_], pyramid: Pyramid) -> None:
    """Raises InputError where ids beside indices, of the images or of the boxes, name other images than the pyramid."""
    stated, ids = table.stated_ids, pyramid.image_ids
    if stated is None:
        return
    rows = np.flatnonzero(valid).tolist()
    numbers = table.image.tolist()
    of_images = all(numbers[row] < len(stated) and stated[numbers[row]] == ids[numbers[row]] for row in rows)
    of_boxes = not table.stated_each or all(stated[table.row(row)] == ids[numbers[row]] for row in rows)
    # A list of images has each of them once; as many ids as boxes may be those of the boxes.
    if of_boxes and (of_images or (table.stated_each and len(set(stated)) < len(stated))):
        return
    raise InputError(
        f"image_ids beside indices: expected the ids of {pyramid.location} in its order, {', '.join(ids[:LISTED])}, or "
        f"one a box, got {', '.join(stated[:LISTED])} (--image-key index takes the first column as indices)"
    )


def _values(pyramid: Pyramid) -> dict[int, list[int]]:
    """The images whose ids are whole numbers, by number."""
    found: dict[int, list[int]] = {}
    for image, key in enumerate(pyramid.image_ids):
        if key.isascii() and key.isdecimal() and len(key) < 20:
            found.setdefault(int(key), []).append(image)
    return found


def _index(pyramid: Pyramid) -> dict[str, int]:
    return {key: image for image, key in enumerate(pyramid.image_ids)}


def _by_name(names: list[str], table: BoxTable, pyramid: Pyramid, image_key: str) -> list[int]:
    """The image of each of the box file's images."""
    if image_key == "index":
        return [_at_index(name, len(pyramid.image_ids)) for name in names]
    known = _index(pyramid)
    if image_key == "id":
        return [known.get(name, UNKNOWN) for name in names]
    return [_of_file(table.file_names.get(name, name), known, pyramid) for name in names]


def _at_index(name: str, count: int) -> int:
    if not (name.isascii() and name.isdecimal() and len(name) < 20):
        raise UsageError(f"--image-key index: expected whole numbers as images, got {name!r}")
    return int(name) if int(name) < count else UNKNOWN


def _of_file(name: str, known: Mapping[str, int], pyramid: Pyramid) -> int:
    """The image with a file's name, with or without folders and suffix; raises InputError if these are two."""
    path = PurePosixPath(name.replace("\\", "/"))
    names = (name,) if name in known else (path.name, path.stem)
    images = {known[key] for key in names if key in known}
    if len(images) > 1:
        ids = " and ".join(repr(pyramid.image_ids[image]) for image in sorted(images))
        raise InputError(f"--image-key file_name: expected one image in {pyramid.location} for {name!r}, got {ids}")
    return images.pop() if images else UNKNOWN


def _refuse_two_names(table: BoxTable, by_id: list[int], pyramid: Pyramid) -> None:
    """Raises InputError where an image's id and its file name are two images of the pyramid."""
    by_file = _by_name(list(table.file_names), table, pyramid, "file_name")
    files = dict(zip(table.file_names, by_file, strict=True))
    for name, image in zip(table.image_ids or (), by_id, strict=True):
        other = files.get(name, UNKNOWN)
        if UNKNOWN not in (image, other) and image != other:
            raise InputError(
                f"image {name!r}: expected one image in {pyramid.location}, got {pyramid.image_ids[image]!r} by its id "
                f"and {pyramid.image_ids[other]!r} by its file name {table.file_names[name]!r} "
                "(--image-key id or --image-key file_name)"
            )


def _refuse_two_orders(table: BoxTable, by_id: list[int], pyramid: Pyramid) -> None:
    """Raises InputError where ids of a data set would be indices, and its list of as many images has another order."""
    if len(table.listed_ids) != len(pyramid.image_ids):
        return
    places = {key: place for place, key in enumerate(table.listed_ids)}
    for name, image in zip(table.image_ids or (), by_id, strict=True):
        place = places.get(name, image)
        if UNKNOWN != image != place < len(pyramid.image_ids):
            raise InputError(
                f"image {name!r}: expected image_ids in {pyramid.location}, or ids that are indices, got index {image} "
                f"by its id and {place} by its place in the list of the data set (--image-key id takes ids as indices)"
            )


def _refuse_two_images(table: BoxTable, by_name: list[int], pyramid: Pyramid, image_key: str) -> None:
    """Raises InputError where two images of the box file would be one of the pyramid's."""
    first: dict[int, str] = {}
    for name, image in zip(table.image_ids or (), by_name, strict=True):
        if image >= 0 and first.setdefault(image, name) != name:
            names = " and ".join(repr(table.file_names.get(key, key)) for key in (first[image], name))
            raise InputError(
                f"--image-key {image_key}: expected one image for {pyramid.image_ids[image]!r} of "
                f"{pyramid.location}, got {names}"
            )
