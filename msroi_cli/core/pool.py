"""Multi-scale RoI Align: the two public calls and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msroi_cli.core.arrays import view_array
from msroi_cli.core.backends.call import PoolCall
from msroi_cli.core.backends.dispatch import pool_into
from msroi_cli.core.backends.results import empty_result
from msroi_cli.core.boxes import check_boxes
from msroi_cli.core.geometry import check_geometry
from msroi_cli.core.levels import check_levels, levels_of
from msroi_cli.core.spec import MAX_THREADS, PRESETS, Compat, PoolSpec, ScaleLike, SizeLike, check_integer
from msroi_cli.errors import ArgumentError

Features: TypeAlias = Sequence[ArrayLike] | Mapping[Any, ArrayLike]
# An array or a tensor to write into, which is returned.
Out = TypeVar("Out")
FLOATS = "efd"  # NumPy's codes of float16, float32 and float64


@overload
def multi_scale_roi_align(
    features: Features,
    rois: ArrayLike,
    spatial_scales: Sequence[ScaleLike],
    output_size: SizeLike,
    sampling_ratio: SupportsIndex | None = None,
    *,
    compat: Compat = "lucid",
    canonical_level: SupportsIndex | None = None,
    canonical_scale: SupportsFloat | None = None,
    aligned: bool | None = None,
    levels: ArrayLike | None = None,
    threads: SupportsIndex | None = None,
    out: None = None,
) -> NDArray[Any]: ...
@overload
def multi_scale_roi_align(
    features: Features,
    rois: ArrayLike,
    spatial_scales: Sequence[ScaleLike],
    output_size: SizeLike,
    sampling_ratio: SupportsIndex | None = None,
    *,
    compat: Compat = "lucid",
    canonical_level: SupportsIndex | None = None,
    canonical_scale: SupportsFloat | None = None,
    aligned: bool | None = None,
    levels: ArrayLike | None = None,
    threads: SupportsIndex | None = None,
    out: Out,
) -> Out: ...
def multi_scale_roi_align(
    features: Features,
    rois: ArrayLike,
    spatial_scales: Sequence[ScaleLike],
    output_size: SizeLike,
    sampling_ratio: SupportsIndex | None = None,
    *,
    compat: Compat = "lucid",
    canonical_level: SupportsIndex | None = None,
    canonical_scale: SupportsFloat | None = None,
    aligned: bool | None = None,
    levels: ArrayLike | None = None,
    threads: SupportsIndex | None = None,
    out: Any = None,
) -> Any:
    """Cuts a crop of fixed size for each box out of the pyramid level that fits it.

    features: L levels (N, C, H_l, W_l), finest first, all float16, float32 or float64; anything NumPy can view,
        tensors with gradients and bfloat16 too, which is read as float32. A dict's values are the levels, in its order.
    rois: (K, 5) = (batch index, x1, y1, x2, y2) in pixels of the network's input; rounded to float32.
    spatial_scales: feature pixels per input pixel of each level, a number or a (y, x) pair.
    output_size: bins of a crop, one integer or (height, width).
    sampling_ratio: samples per bin and axis; -1 or 0: ceil(box side / bins).
    compat: "lucid", "torchvision", "detectron2" or "mmdet"; an argument that is None takes this preset's value.
    canonical_level, canonical_scale: the level, as the preset counts, of a box of sqrt(w * h) = canonical_scale pixels.
    aligned: shift boxes by half a cell, as Mask R-CNN's later implementations do.
    levels: (K,) integers, the level of each box, instead of the rule.
    threads: how many threads may work; None: as many as this process has processors.
    out: an array (K, C, Ho, Wo) of any float dtype to write into, and to return; or a tensor in memory.

    Returns (K, C, Ho, Wo) in the order of the RoIs, in the dtype of the features.
    How far each number may be from the exact average: docs/semantics.md, "Numerical guarantees".
    Raises ValueError that names the argument, what was expected and the value given.
    Source: He et al., "Mask R-CNN" (2017), section 3, and Lin et al., "Feature Pyramid Networks" (2017), equation 1.
    """
    spec = PoolSpec.resolve(
        spatial_scales,
        output_size,
        sampling_ratio,
        compat=compat,
        aligned=aligned,
        canonical_level=canonical_level,
        canonical_scale=canonical_scale,
    )
    maps = _check_features(features, len(spec.spatial_scales))
    check_geometry("spatial_scales", [array.shape[2:] for array in maps], spec.spatial_scales)
    batch, boxes = _check_rois(rois, len(maps[0]))
    chosen = levels_of(boxes, spec) if levels is None else check_levels(levels, len(boxes), len(maps))
    shape = (len(boxes), maps[0].shape[1], *spec.output_size)
    crops = empty_result(shape, maps[0].dtype.newbyteorder("=")) if out is None else _view_out(out)
    if out is not None:
        _check_out(crops, shape, {"rois": boxes, **{f"features[{level}]": array for level, array in enumerate(maps)}})
    pool_into(crops, PoolCall(maps, batch, boxes, chosen, spec), _check_threads(threads))
    return crops if out is None else out


class MultiScaleROIAlign:
    """Lucid's layer of that name: `MultiScaleROIAlign(7)(features, rois, spatial_scales)`, NumPy in, NumPy out.

    output_size: bins of a crop, one integer or (height, width).
    canonical_level, canonical_scale, compat, aligned, threads: as in `multi_scale_roi_align`.
    canocical_scale: the same as canonical_scale, spelled as some code that is ported spells it.
    Raises ValueError as `multi_scale_roi_align` does.
    """

    def __init__(
        self,
        output_size: SizeLike,
        canonical_level: int | None = None,
        canonical_scale: float | None = None,
        *,
        canocical_scale: float | None = None,
        compat: Compat = "lucid",
        aligned: bool | None = None,
        threads: int | None = None,
    ) -> None:
        if None not in (canonical_scale, canocical_scale) and canonical_scale != canocical_scale:
            raise ArgumentError(
                f"canocical_scale: expected without canonical_scale, or the same number, got {canocical_scale!r} "
                f"and {canonical_scale!r}"
            )
        spec = PoolSpec.resolve(
            [1],
            output_size,
            compat=compat,
            aligned=aligned,
            canonical_level=canonical_level,
            canonical_scale=canonical_scale if canocical_scale is None else canocical_scale,
        )
        self.output_size = spec.output_size
        self.canonical_level = spec.canonical_level
        self.canonical_scale = spec.canonical_scale
        self.compat: Compat = compat
        self.aligned = spec.aligned
        self.threads = _check_threads(threads)

    def forward(
        self,
        features: Features,
        rois: ArrayLike,
        spatial_scales: Sequence[ScaleLike],
        sampling_ratio: int | None = None,
    ) -> NDArray[Any]:
        """The crops (K, C, Ho, Wo) of `rois` (K, 5); see `multi_scale_roi_align`."""
        return multi_scale_roi_align(
            features,
            rois,
            spatial_scales,
            self.output_size,
            sampling_ratio,
            compat=self.compat,
            canonical_level=self.canonical_level,
            canonical_scale=self.canonical_scale,
            aligned=self.aligned,
            threads=self.threads,
        )

    def __call__(
        self,
        features: Features,
        rois: ArrayLike,
        spatial_scales: Sequence[ScaleLike],
        sampling_ratio: int | None = None,
    ) -> NDArray[Any]:
        """Calls `forward`."""
        return self.forward(features, rois, spatial_scales, sampling_ratio)

    def __repr__(self) -> str:
        preset = PRESETS[self.compat]
        more = "" if self.compat == "lucid" else f", compat={self.compat!r}"
        more += "" if self.aligned == preset.aligned else f", aligned={self.aligned}"
        more += "" if self.threads is None else f", threads={self.threads}"
        return (
            f"MultiScaleROIAlign(output_size={self.output_size}, canonical_level={self.canonical_level}, "
            f"canonical_scale={self.canonical_scale:g}{more})"
        )


def _check_features(features: Features, count: int) -> list[NDArray[Any]]:
    if isinstance(features, Mapping):
        features = list(features.values())
    if isinstance(features, str) or not hasattr(features, "__len__") or hasattr(features, "ndim"):
        raise ArgumentError(f"features: expected a sequence of levels (N, C, H, W), got {type(features).__name__}")
    if len(features) != count:
        raise ArgumentError(f"features: expected {count} levels like spatial_scales, got {len(features)}")
    maps = [view_array(f"features[{level}]", feature) for level, feature in enumerate(features)]
    first = maps[0]
    for level, array in enumerate(maps):
        name = f"features[{level}]"
        if array.ndim != 4 or array.dtype.char not in FLOATS:
            raise ArgumentError(
                f"{name}: expected (N, C, H, W) float16, float32 or float64, got {array.shape} {array.dtype}"
            )
        if array.shape[:2] != first.shape[:2] or array.dtype.char != first.dtype.char:
            n, c = first.shape[:2]
            raise ArgumentError(
                f"{name}: expected ({n}, {c}, H, W) {first.dtype} like features[0], got {array.shape} {array.dtype}"
            )
        if not (array.shape[2] and array.shape[3]):
            raise ArgumentError(f"{name}: expected a map of at least 1 x 1 cells, got {array.shape}")
    return maps


def _check_rois(rois: ArrayLike, images: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    array = view_array("rois", rois)
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 5)
    if array.ndim != 2 or array.shape[1] != 5 or array.dtype.kind not in "fiu":
        raise ArgumentError(f"rois: expected (K, 5) numbers, got {array.shape} {array.dtype}")
    index = array[:, 0]
    bad = np.flatnonzero(~((index >= 0) & (index < images) & (index == np.floor(index))))
    if bad.size:
        wanted = f"from 0 to {images - 1}" if images else "of an image, but features has none"
        raise ArgumentError(f"rois[{bad[0]}]: expected a batch index {wanted}, got {index[bad[0]]:g}")
    return index.astype(np.int64), check_boxes("rois", array[:, 1:])


def _view_out(out: Any) -> Any:
    """A tensor as an array of the same memory; raises ArgumentError where it has gradients or is on a device."""
    if not hasattr(out, "detach"):
        return out
    if getattr(out, "requires_grad", False):
        raise ArgumentError(
            "out: expected a tensor without gradients, which are not computed, got one that requires them"
        )
    try:
        return out.numpy()
    except (TypeError, RuntimeError) as error:
        raise ArgumentError(f"out: expected a tensor that NumPy can view, got one that it cannot ({error})") from error


def _check_out(out: NDArray[Any], shape: tuple[int, ...], inputs: Mapping[str, NDArray[Any]]) -> None:
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype.char not in FLOATS:
        actual = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ArgumentError(f"out: expected an array {shape} float16, float32 or float64, got {actual}")
    if not out.flags.writeable:
        raise ArgumentError("out: expected a writable array, got a read-only one")
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ArgumentError(f"out: expected memory of its own, got an array that overlaps {name}")


def _check_threads(threads: SupportsIndex | None) -> int | None:
    if threads is None:
        return None
    count = check_integer("threads", threads)
    if not 1 <= count <= MAX_THREADS:
        raise ArgumentError(f"threads: expected 1 to {MAX_THREADS}, got {count}")
    return count
