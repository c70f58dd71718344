"""Do the sizes of levels, their strides and the sizes of images describe one input? Nothing but metadata is read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core.geometry import misfits
from msroi_cli.errors import InputError
from msroi_cli.io.boxes.table import BoxTable
from msroi_cli.io.numbers import Indices
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.geometry import checked_sizes, expected
from msroi_cli.job.join.images import used_images
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.validate.findings import EXAMPLES, Finding

# Pictures may be padded by others of their batch, but hardly to twice their size along both sides.
LARGEST_PADDING = 2.0

SIZES_DIFFER = "image sizes differ"

SIZES_ADVICE = "--strides, or --levels for the levels to use; the boxes of such a level are pooled in the wrong place"
IMAGE_SIZES_ADVICE = (
    "--strides says other strides; image_size is (width, height) in original pixels, scale_factor (x, y) in "
    "input pixels per original pixel"
)

SPACE_ADVICE = (
    "boxes in pixels of these images need a scale_factor of each image and --box-space original; --box-space input "
    "takes boxes in pixels of the input"
)

SHAPE_ADVICE = "are the maps (C, H, W), and are these the boxes of other pictures?"


class InputSizes(NamedTuple):
    """The network's input of each of N images.

    size: (N, 2) float64, width and height, NaN where it is not known. known: (N,) bool, which images were looked at.
    """

    size: NDArray[np.float64]
    known: NDArray[np.bool_]


def level_findings(pyramid: Pyramid) -> list[Finding]:
    """Strides that fall from level to level, or that two levels share."""
    levels = pyramid.levels
    areas = [level.scale[0] * level.scale[1] for level in levels]
    if not np.isfinite(areas).all():
        return []
    pairs = range(len(levels) - 1)
    falling = [f"{levels[i].name} before {levels[i + 1].name}" for i in pairs if areas[i] < areas[i + 1]]
    first: dict[tuple[float, float], str] = {}
    shared = [
        f"{first[level.scale]} and {level.name}"
        for level in levels
        if first.setdefault(level.scale, level.name) != level.name
    ]
    found = []
    if falling:
        advice = "--levels names the levels finest first; --strides says their strides"
        found.append(Finding("levels not finest first", False, len(falling), len(levels), "levels", falling, advice))
    if shared:
        advice = "--levels names the levels to use; --strides says their strides"
        found.append(Finding("levels of one stride", False, len(shared), len(levels), "levels", shared, advice))
    return found


def size_findings(
    pyramid: Pyramid,
    table: BoxTable,
    images: Indices,
    options: BoxOptions,
    most: int | None,
    besides: NDArray[np.int64] | None = None,
) -> tuple[InputSizes, list[Finding]]:
    """The inputs of the images of boxes, `images` (K,), and what contradicts itself in their sizes.

    options: those of the boxes, which say in what space they are.
    most: how many images to look at, the first ones that have boxes; None is all of them. besides: images that are
    looked at, too. Batched images are all alike.
    """
    used = used_images(images, len(pyramid.image_ids))
    if most is not None and pyramid.layout != "batched":
        used = used[:most] if besides is None else np.union1d(used[:most], besides)
    sizes = InputSizes(np.full((len(pyramid.image_ids), 2), np.nan), np.zeros(len(pyramid.image_ids), np.bool_))
    found = _level_sizes(pyramid, used, sizes)
    assumed = not (options.box_space or pyramid.box_space or options.normalized or table.normalized)
    return sizes, [*found, *_image_sizes(pyramid, used, sizes, _sizes_of_boxes(table, images, used), assumed)]


def _level_sizes(pyramid: Pyramid, used: Indices, sizes: InputSizes) -> list[Finding]:
    """Fills `sizes`; what is wrong with the levels of the images `used`."""
    unfit: list[str] = []
    odd: list[str] = []
    if pyramid.layout == "batched" and len(used):
        size = _looked_at(pyramid, int(used[0]), unfit, odd)
        sizes.size[used], sizes.known[used] = size, not unfit
    else:
        for image in expected(pyramid, used.tolist()):
            before = len(unfit)
            sizes.size[image] = _looked_at(pyramid, image, unfit, odd)
            sizes.known[image] = len(unfit) == before
    found = []
    if unfit:
        found.append(Finding("levels unfit", True, len(unfit), len(used), "images", unfit[:EXAMPLES], "--levels"))
    if odd:
        check = "sizes do not follow the strides"
        found.append(Finding(check, False, len(odd), len(used), "images", odd[:EXAMPLES], SIZES_ADVICE))
    return found


def _looked_at(pyramid: Pyramid, image: int, unfit: list[str], odd: list[str]) -> tuple[float, float]:
    """The input of an image, NaN if it is not known; notes what is wrong with its levels."""
    try:
        pyramid.check(image)
        if pyramid.sequential:
            return pyramid.stated_input_size(image) or (np.nan, np.nan)
        shapes = checked_sizes(pyramid, image)
    except InputError as error:
        unfit.append(str(error))
        return np.nan, np.nan
    scales = [level.scale for level in pyramid.levels]
    spans = [(width / x, height / y) for (height, width), (y, x) in zip(shapes, scales, strict=True)]
    if np.isfinite(scales).all():
        for level in misfits(shapes, scales)[:1]:
            odd.append(
                f"{_named(pyramid, image)}: {pyramid.levels[level].name} spans {_size(spans[level])} input pixels, "
                f"{pyramid.levels[0].name} {_size(spans[0])}"
            )
    return spans[0]


def _sizes_of_boxes(table: BoxTable, images: Indices, used: Indices) -> dict[int, tuple[float, float]]:
    """The (width, height) that the box file gives for the images `used`, by image."""
    if table.image_ids is None or not table.image_sizes:
        return {}
    own = np.full(int(images.max(initial=-1)) + 1, -1)
    known = images >= 0
    own[images[known]] = table.image[known]
    names = {image: table.image_ids[own[image]] for image in used.tolist()}
    return {image: table.image_sizes[name] for image, name in names.items() if name in table.image_sizes}


def _image_sizes(
    pyramid: Pyramid,
    used: Indices,
    sizes: InputSizes,
    of_boxes: dict[int, tuple[float, float]],
    assumed: bool,
) -> list[Finding]:
    """Image sizes that the pyramid and the boxes state differently, or that cannot be of the levels.

    assumed: whether nothing but the lack of scale factors says that boxes are in input pixels.
    """
    used = used[sizes.known[used]]
    try:
        stated = pyramid.image_sizes_of(used)
        given = np.full((len(used), 2), np.nan)
        if of_boxes and len(used):
            given[:] = [of_boxes.get(image, (np.nan, np.nan)) for image in used.tolist()]
        found = _different(pyramid, used, stated, given)
        size = np.where(np.isnan(stated), given, stated)
        if not pyramid.has_scale_factors:
            return [*found, *(_of_another_input if assumed else _of_another_shape)(pyramid, used, size, sizes)]
        factors, offsets = pyramid.factors_of(used)
    except InputError as error:
        return [Finding("image size unfit", True, 1, len(used), "images", [str(error)], "")]
    return [*found, *_contradicting(pyramid, used, (size, factors, offsets), sizes)]


def _different(
    pyramid: Pyramid, used: Indices, stated: NDArray[np.float64], given: NDArray[np.float64]
) -> list[Finding]:
    rows = np.flatnonzero((np.abs(stated - given) >= 1).any(axis=1)).tolist()
    lines = [
        f"{_named(pyramid, int(used[row]))}: {_size(given[row])} in the box file, {_size(stated[row])} in the pyramid"
        for row in rows[:EXAMPLES]
    ]
    advice = "are these the boxes of other pictures?"
    return [Finding(SIZES_DIFFER, False, len(rows), len(used), "images", lines, advice)] if rows else []


def _contradicting(
    pyramid: Pyramid, used: Indices, stated: tuple[NDArray[np.float64], ...], sizes: InputSizes
) -> list[Finding]:
    """Images that, scaled, are larger than what the levels span, or much smaller along both sides.

    stated: sizes, factors and offsets, (n, 2) each.
    """
    size, factors, offsets = stated
    scaled, spans = size * factors + offsets, sizes.size[used]
    rows = _unlike(pyramid, used, scaled, spans)
    lines = [
        f"{_named(pyramid, int(used[row]))}: {_size(size[row])} original pixels are {_size(scaled[row])} input pixels "
        f"by scale factor {_size(factors[row])}, {pyramid.levels[0].name} spans {_size(spans[row])}"
        for row in rows[:EXAMPLES]
    ]
    check = "image sizes contradict the levels"
    return [Finding(check, False, len(rows), len(used), "images", lines, IMAGE_SIZES_ADVICE)] if rows else []


def _of_another_input(pyramid: Pyramid, used: Indices, size: NDArray[np.float64], sizes: InputSizes) -> list[Finding]:
    """Images whose sizes (n, 2) are not those of the input, so that boxes may be in pixels of one or of the other."""
    rows = _unlike(pyramid, used, size, sizes.size[used])
    return _beside_spans(pyramid, used, size, sizes, (rows, "images of another size than the input", SPACE_ADVICE))


def _of_another_shape(pyramid: Pyramid, used: Indices, size: NDArray[np.float64], sizes: InputSizes) -> list[Finding]:
    """Images whose sizes (n, 2) need not be those of the input, and that no resizing and padding makes like it."""
    spans = sizes.size[used]
    with np.errstate(divide="ignore", invalid="ignore"):  # an image may be said to have no pixels
        fitted = size * (spans / size).min(axis=1, keepdims=True)
    stride = 1 / np.array(pyramid.levels[0].scale[::-1])
    rows = np.flatnonzero((fitted * LARGEST_PADDING + stride < spans).any(axis=1)).tolist()
    return _beside_spans(pyramid, used, size, sizes, (rows, "images of another shape than the input", SHAPE_ADVICE))


def _beside_spans(
    pyramid: Pyramid,
    used: Indices,
    size: NDArray[np.float64],
    sizes: InputSizes,
    found: tuple[list[int], str, str],
) -> list[Finding]:
    """A finding, if any, of images whose sizes (n, 2) are named beside what their levels span.

    found: the rows of these images, the check and the advice.
    """
    rows, check, advice = found
    lines = [
        f"{_named(pyramid, int(used[row]))}: {_size(size[row])} pixels, "
        f"{pyramid.levels[0].name} spans {_size(sizes.size[used[row]])}"
        for row in rows[:EXAMPLES]
    ]
    return [Finding(check, False, len(rows), len(used), "images", lines, advice)] if rows else []


def _unlike(pyramid: Pyramid, used: Indices, scaled: NDArray[np.float64], spans: NDArray[np.float64]) -> list[int]:
    """The rows where an image, `scaled` to input pixels, is larger than what its levels span, or much smaller.

    Not those whose padding the pyramid states.
    """
    stride = 1 / np.array(pyramid.levels[0].scale[::-1])
    larger = np.flatnonzero((scaled >= spans + stride).any(axis=1)).tolist()
    smaller = np.flatnonzero((scaled * LARGEST_PADDING + stride < spans).all(axis=1)).tolist()
    multiples = {row: np.array(pyramid.padded_to(int(used[row]))) for row in smaller}
    padded = {row: np.ceil(scaled[row] / multiple) * multiple for row, multiple in multiples.items()}
    return sorted({*larger, *(row for row in smaller if (padded[row] + stride < spans[row]).all())})


def _named(pyramid: Pyramid, image: int) -> str:
    return f"image {pyramid.image_ids[image]!r}"


def _size(pair: object) -> str:
    width, height = np.asarray(pair, float).tolist()
    return f"{width:g} x {height:g}"
