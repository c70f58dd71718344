"""Principal components of feature vectors as colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.preview.drawing.heat import MISSING_PIXEL, Pixels, range_of

SHOWN = 3
# Vectors that are made float64 at a time.
BLOCK = 1 << 14


def component_colours(crops: NDArray[Any]) -> tuple[list[Pixels], tuple[float, ...]]:
    """The first three principal components of the crops' bins (vectors of C channels) as red, green and blue.

    crops: (K, C, H, W). Returns pixels (H, W, 3) of each, and the share of the variance that each component has.

    The components are of all these crops together, each with the sign that makes its largest weight positive, so that
    the same crops have the same colours everywhere. Fewer channels give fewer colours. Bins that are not finite are
    red.
    """
    count, channels, height, width = crops.shape
    vectors = crops.transpose(0, 2, 3, 1).reshape(-1, channels)
    good = np.isfinite(vectors).all(axis=1)
    colours = np.full((len(vectors), 3), 128, np.uint8)
    shares: tuple[float, ...] = ()
    if good.any():
        known = np.flatnonzero(good)
        axes, shares = _axes(vectors, known)
        along = np.concatenate([block @ axes for block in _blocks(vectors, known, _scale(vectors, known))])
        for index in range(axes.shape[1]):
            low, high = range_of(along[:, index])
            if high > low:
                part = np.clip((along[:, index] - low) / (high - low), 0, 1)
                colours[known, index] = np.round(part * 255)
    colours[~good] = MISSING_PIXEL
    return list(colours.reshape(count, height, width, 3)), shares


def _axes(vectors: NDArray[Any], known: NDArray[np.int64]) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """The axes (C, n) of the components, and their shares of the variance; none without any variance."""
    scale = _scale(vectors, known)
    mean = sum(block.sum(axis=0) for block in _blocks(vectors, known, scale)) / len(known)
    square = sum((block - mean).T @ (block - mean) for block in _blocks(vectors, known, scale))
    variances, axes = np.linalg.eigh(square)
    first = axes[:, ::-1][:, :SHOWN]
    signs = np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
    total = float(variances.clip(0).sum())
    shares = tuple(float(value) / total for value in variances[::-1][:SHOWN].clip(0)) if total else ()
    return first * signs, shares


def _scale(vectors: NDArray[Any], known: NDArray[np.int64]) -> float:
    """What vectors are divided by: squares of very large or small numbers are beyond float64, colours have no scale."""
    largest = max(float(np.abs(vectors[known[at : at + BLOCK]]).max()) for at in range(0, len(known), BLOCK))
    return max(largest, float(np.finfo(np.float64).tiny))


def _blocks(vectors: NDArray[Any], known: NDArray[np.int64], scale: float) -> Iterator[NDArray[np.float64]]:
    """The vectors `known`, (n, C) at a time, divided by `scale`."""
    for start in range(0, len(known), BLOCK):
        yield vectors[known[start : start + BLOCK]].astype(np.float64) / scale
