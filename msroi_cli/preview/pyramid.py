"""`msroi preview pyramid`: the levels of one image side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from msroi_cli.errors import UsageError
from msroi_cli.io.features.reading import read_map
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from msroi_cli.preview.drawing.panels import Panel, panels_picture
from msroi_cli.preview.image import image_number, picture_of
from msroi_cli.preview.showing import ShownFeatures, check_show, shown_features

MOST_LEVELS = 64


@dataclass(frozen=True, slots=True)
class PyramidRequest:
    """One `msroi preview pyramid`. image: an id, None for the first. show: "mean", "pca" or the number of a channel."""

    pyramid: str
    image: str | None = None
    picture: Path | None = None
    show: str = "mean"
    levels: LevelChoice = field(default_factory=LevelChoice)


def preview_pyramid(request: PyramidRequest) -> Image.Image:
    """The levels of an image beside its picture; raises InputError or UsageError."""
    with open_pyramid(request.pyramid, request.levels) as pyramid:
        image = 0 if request.image is None else image_number(pyramid.image_ids, request.image)
        if len(pyramid.levels) > MOST_LEVELS:
            raise UsageError(f"--levels: expected at most {MOST_LEVELS} to show, got {len(pyramid.levels)}")
        check_show(request.show, min(pyramid.level_channels))
        width, height = pyramid.input_size(image)
        panels = [] if request.picture is None else [_picture_panel(request.picture, pyramid, image)]
        what = ""
        for level in range(len(pyramid.levels)):
            shown = shown_features(read_map(pyramid.source(image, level))[None], request.show)
            panels.append(_level_panel(pyramid, image, level, shown))
            what = shown.what
        title = f"{pyramid.image_ids[image]}: input of {width:g} x {height:g} pixels; {what}, level by level"
        return panels_picture(panels, (width, height), title)


def _picture_panel(path: Path, pyramid: Pyramid, image: int) -> Panel:
    """The picture where it lies in the input: the whole of it where the pyramid states no scale factor."""
    picture = picture_of(path, pyramid, image)
    factor = pyramid.scale_factor(image)
    span = (0.0, 0.0, 1.0, 1.0)
    if factor is not None:
        width, height = pyramid.input_size(image)
        left, top = pyramid.offset(image)
        wide, high = pyramid.image_size(image) or picture.size
        right, bottom = left + factor[0] * wide, top + factor[1] * high
        span = (left / width, top / height, right / width, bottom / height)
    lines = (path.name, f"{picture.width} x {picture.height} pixels")
    return Panel(picture, span, Image.Resampling.LANCZOS, lines)


def _level_panel(pyramid: Pyramid, image: int, level: int, shown: ShownFeatures) -> Panel:
    channels, height, width = pyramid.source(image, level).shape
    name, (scale_y, scale_x) = pyramid.levels[level].name, pyramid.levels[level].scale
    whole_width, whole_height = pyramid.input_size(image)
    span = (0.0, 0.0, width / scale_x / whole_width, height / scale_y / whole_height)
    stride = "x".join(dict.fromkeys(f"{1 / scale:g}" for scale in (scale_y, scale_x)))
    second = f"{channels} x {height} x {width}" + (f", {shown.detail}" if shown.detail else "")
    picture = Image.fromarray(shown.pixels[0])
    return Panel(picture, span, Image.Resampling.NEAREST, (f"{name}, stride {stride}", second), shown.range)
