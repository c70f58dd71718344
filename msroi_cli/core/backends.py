"""Who does the arithmetic: the backends by name, each with the signature of `pool_into`.

The environment chooses, for those who compare: MSROI_BACKEND names a backend, MSROI_ISA the instruction set of the
native one, MSROI_NUM_THREADS how many threads work where the caller does not say.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core import numpy_pool
from msroi_cli.core.work import Work
from msroi_cli.errors import ArgumentError

try:
    from msroi_cli import _native
except ImportError:  # built without a compiler
    NATIVE = False
else:
    NATIVE = True

Backend = Callable[[NDArray[Any], Work, "int | None", NDArray[np.float64]], None]


def native_pool(out: NDArray[Any], work: Work, threads: int | None, seconds: NDArray[np.float64]) -> None:
    """Writes the crops (K, C, Ho, Wo) of `work` to `out` and adds the time taken to `seconds` (L,)."""
    _choose_isa(os.environ.get("MSROI_ISA", ""))
    spec = work.spec
    rois = (work.batch, work.boxes, work.levels)
    model = (spec.spatial_scales, spec.output_size, spec.sampling_ratio, spec.aligned)
    _native.pool(out, work.maps, rois, model, threads or default_threads(), seconds)


BACKENDS: dict[str, Backend] = {"native": native_pool} if NATIVE else {}
BACKENDS["numpy"] = numpy_pool.pool


def backend_name() -> str:
    """The backend in use."""
    return _backend_named(os.environ.get("MSROI_BACKEND", ""))


def isa_name() -> str | None:
    """The instruction set that the native backend uses: "baseline", "v3" or "v4"; None without that backend."""
    if backend_name() != "native":
        return None
    _choose_isa(os.environ.get("MSROI_ISA", ""))
    return _native.isa()


def default_threads() -> int:
    """How many threads work if the caller does not say: MSROI_NUM_THREADS, or as many as there are processors."""
    return _threads_named(os.environ.get("MSROI_NUM_THREADS", "")) or _native.usable_processors()


def pool_into(
    out: NDArray[Any], work: Work, threads: int | None = None, seconds: NDArray[np.float64] | None = None
) -> None:
    """Writes the crops of `work` to `out` (K, C, Ho, Wo), any float dtype and strides.

    seconds: (L,) float64 to which the time spent on each level is added, summed over threads.
    """
    clock = np.zeros(len(work.maps)) if seconds is None else seconds
    BACKENDS[backend_name()](out, work, threads, clock)


@lru_cache(maxsize=8)
def _backend_named(name: str) -> str:
    if name and name not in BACKENDS:
        hint = "; this installation was built without a compiler" if name == "native" else ""
        raise ArgumentError(f"MSROI_BACKEND: expected one of {', '.join(BACKENDS)}, got {name!r}{hint}")
    return name or next(iter(BACKENDS))


@lru_cache(maxsize=1)
def _choose_isa(name: str) -> None:
    try:
        _native.choose_isa(name)
    except ValueError as error:
        raise ArgumentError(f"MSROI_ISA: {error}") from None


@lru_cache(maxsize=8)
def _threads_named(text: str) -> int:
    """The count that MSROI_NUM_THREADS asks for; 0 if it is not set."""
    if not text:
        return 0
    if not (text.strip().isdecimal() and int(text) > 0):
        raise ArgumentError(f"MSROI_NUM_THREADS: expected a whole number above 0, got {text!r}")
    return int(text)
