"""Pictures as files: read with Pillow's limits, written whole."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from msroi_cli.errors import InputError
from msroi_cli.io.files.atomic import failures_named, whole_file


def read_picture(path: Path) -> Image.Image:
    """A picture as RGB, upright as its camera says.

    Raises InputError for what is no picture, or has more pixels than Pillow warns of (about 89 million).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return ImageOps.exif_transpose(picture).convert("RGB")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: expected at most {Image.MAX_IMAGE_PIXELS:,} pixels, got more: {error}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: expected a picture, got something else") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def write_png(path: Path, picture: Image.Image, overwrite: bool) -> None:
    """Writes a PNG that is whole or not there; raises UsageError or RunError."""
    with whole_file(path, overwrite) as partial, failures_named(path):
        picture.save(partial, "PNG", optimize=picture.width * picture.height < 4_000_000)
