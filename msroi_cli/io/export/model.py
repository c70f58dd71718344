"""What is exported: images one after the other, each with its boxes and, in parts, their features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError

FORMAT, FORMAT_VERSION = "msroi-export", 1


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """One image and its k boxes.

    size: (width, height) in the pixels of the boxes, None where it is not known. boxes: (k, 4) float32, x1 y1 x2 y2.
    columns: arrays (k,) by name. features: gives the features (k, ...) in the order of the boxes, some at a time.
    """

    id: str
    size: tuple[float, float] | None
    boxes: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]
    features: Callable[[], Iterator[NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Export:
    """Everything that is exported.

    counts: (N,) int64, the boxes of each image. shape and dtype: of one box's features. columns: dtypes by name.
    attributes: what the output says of its making, texts. images: N of them, to be gone through once.
    """

    image_ids: list[str]
    counts: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns: Mapping[str, np.dtype[Any]]
    attributes: Mapping[str, str]
    images: Iterable[ExportedImage]

    @property
    def total(self) -> int:
        """How many boxes are exported."""
        return int(self.counts.sum())


def image_size(image: ExportedImage, layout: str) -> tuple[float, float]:
    """The (width, height) of an image, in the pixels of its boxes; raises UsageError where it is not known."""
    if image.size is None:
        raise UsageError(f"--layout {layout}: expected the sizes of the images, got none")
    return image.size


# Writes an export to a path, replacing what is there only if told so.
Writer = Callable[[Path, Export, bool], None]


def safe_names(ids: Iterable[str]) -> list[str]:
    """A name for each id that is no path, and none that some system keeps for itself.

    All of them differ, also to systems that see no difference between small and capital letters.
    """
    taken: set[str] = set()
    # The number that the next name with the same beginning is tried with: counting on, each number is tried once.
    following: dict[str, int] = {}
    names = []
    for text in ids:
        name = safe = _safe(text)
        while name.lower() in taken:
            number = following.get(safe.lower(), 2)
            following[safe.lower()] = number + 1
            name = f"{safe}%{number}"
        taken.add(name.lower())
        names.append(name)
    return names


LONGEST = 150
KEPT_BY_WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def _safe(text: str) -> str:
    """Letters, digits and - _ . as they are, all else as its bytes in UTF-8: %20 and so on; cut if it is too long."""
    name = "".join(
        character
        if character.isascii() and (character.isalnum() or character in "-_.")
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in text
    )
    if not name or name.startswith(".") or name.endswith(".") or name.split(".")[0].lower() in KEPT_BY_WINDOWS:
        name = "%" + name
    return name[:LONGEST]
