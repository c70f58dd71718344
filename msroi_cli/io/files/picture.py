"""Pictures as files: read with Pillow's limits, written whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from msroi_cli.errors import InputError
from msroi_cli.io.files.atomic import failures_named, whole_file
from msroi_cli.io.files.refusal import refusing

# The values of EXIF's orientation that make rows of columns.
TURNED = (5, 6, 7, 8)

# The tag of a TIFF that is 2 where each channel has a plane of its own, and the one that is 2 where values are signed.
PLANES, SAMPLE_FORMAT = ExifTags.Base.PlanarConfiguration, 339

# What Pillow opens with 8 bits a channel or fewer; of colours with 16 it takes the upper 8. The values of other modes
# (I;16, I, F) it cuts at 255 where it makes them RGB, and nothing says which value is white.
EIGHT_BITS = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"),
)


def read_picture(path: Path) -> Image.Image:
    """A picture as RGB, upright as its camera says.

    Raises InputError for what is no picture, for grey values of more than 8 bits, and for more pixels than Pillow warns
    of (about 89 million).
    """
    with _opened(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def check_picture(path: Path) -> None:
    """Raises the InputError that `read_picture` would.

    A JPEG is read whole but decoded to an eighth of its size, in about a fifth of the time.
    """
    with _opened(path) as picture:
        picture.draft("RGB", (1, 1))
        ImageOps.exif_transpose(picture).convert("RGB")


def picture_size(path: Path) -> tuple[int, int]:
    """The (width, height) that `read_picture` would give a picture, from its first bytes; raises InputError."""
    with _opened(path) as picture:
        width, height = _stored_size(picture)
        turned = picture.getexif().get(ExifTags.Base.Orientation) in TURNED
        return (height, width) if turned else (width, height)


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """The (width, height) before a picture is turned; what Pillow says of a TIFF is turned in some of its versions."""
    tags = getattr(picture, "tag_v2", None)
    return (tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]) if tags else picture.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture of which only the first bytes have been read; what is wrong with it in the block is an InputError."""
    with refusing(path), warnings.catch_warnings():
        # What Pillow warns of besides is an error by itself where it matters.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                if found := _misread(picture):
                    raise InputError(f"{path}: expected 8 bits a channel, got {found} (convert it first)")
                yield picture
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            most = f"{Image.MAX_IMAGE_PIXELS:,}"
            raise InputError(f"{path}: expected at most {most} pixels, got more: {error}") from error
        except UnidentifiedImageError as error:
            raise InputError(f"{path}: expected a picture, got something else") from error


def _misread(picture: Image.Image) -> str:
    """What a picture has in place of 8 bits a channel, where Pillow gives other values than its own; else empty."""
    tags = getattr(picture, "tag_v2", None) or {}
    if picture.mode not in EIGHT_BITS:
        return f"mode {picture.mode}"
    if tags.get(PLANES) == 2 and max(tags.get(ExifTags.Base.BitsPerSample, (1,))) > 8:
        return "16 in a plane a channel"
    return "signed values" if 2 in tags.get(SAMPLE_FORMAT, (1,)) else ""


def write_png(path: Path, picture: Image.Image, overwrite: bool) -> None:
    """Writes a PNG that is whole or not there; raises UsageError or RunError."""
    with whole_file(path, overwrite) as partial, failures_named(path):
        picture.save(partial, "PNG", optimize=picture.width * picture.height < 4_000_000)
