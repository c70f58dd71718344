"""msroi: fixed-size crops of feature pyramids, by multi-scale RoI Align."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msroi_cli.core.levels import assign_levels as assign_levels
    from msroi_cli.core.pool import MultiScaleROIAlign as MultiScaleROIAlign
    from msroi_cli.core.pool import multi_scale_roi_align as multi_scale_roi_align
    from msroi_cli.errors import InputError as InputError
    from msroi_cli.errors import MissingFileError as MissingFileError
    from msroi_cli.errors import MsroiError as MsroiError
    from msroi_cli.errors import RunError as RunError
    from msroi_cli.errors import StoppedError as StoppedError
    from msroi_cli.errors import UsageError as UsageError
    from msroi_cli.io.crops.reader import Crops as Crops
    from msroi_cli.io.pyramid.geometry import Geometry as Geometry
    from msroi_cli.io.pyramid.writer import PyramidWriter as PyramidWriter
    from msroi_cli.io.stream.protocol import Pyramid as Pyramid
    from msroi_cli.io.stream.protocol import PyramidLevel as PyramidLevel
    from msroi_cli.job.api.function import extract as extract
    from msroi_cli.job.api.options import ExtractOptions as ExtractOptions
    from msroi_cli.job.crops import open_crops as open_crops

__version__ = "0.1.0"
__all__ = [
    "Crops",
    "ExtractOptions",
    "Geometry",
    "InputError",
    "MissingFileError",
    "MsroiError",
    "MultiScaleROIAlign",
    "Pyramid",
    "PyramidLevel",
    "PyramidWriter",
    "RunError",
    "StoppedError",
    "UsageError",
    "__version__",
    "assign_levels",
    "extract",
    "multi_scale_roi_align",
    "open_crops",
]

_HOMES = {
    "MultiScaleROIAlign": "msroi_cli.core.pool",
    "multi_scale_roi_align": "msroi_cli.core.pool",
    "assign_levels": "msroi_cli.core.levels",
    "open_crops": "msroi_cli.job.crops",
    "Geometry": "msroi_cli.io.pyramid.geometry",
    "PyramidWriter": "msroi_cli.io.pyramid.writer",
    "Pyramid": "msroi_cli.io.stream.protocol",
    "PyramidLevel": "msroi_cli.io.stream.protocol",
    "extract": "msroi_cli.job.api.function",
    "ExtractOptions": "msroi_cli.job.api.options",
    "Crops": "msroi_cli.io.crops.reader",
    **dict.fromkeys(
        ("InputError", "MissingFileError", "MsroiError", "RunError", "StoppedError", "UsageError"), "msroi_cli.errors"
    ),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `msroi --help` need not wait for NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
