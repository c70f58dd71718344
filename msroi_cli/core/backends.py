"""Who does the arithmetic: the backends by name, each with the signature of `pool_into`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.core import numpy_pool
from msroi_cli.core.work import Work

Backend = Callable[[NDArray[Any], Work, "int | None", NDArray[np.float64]], None]

BACKENDS: dict[str, Backend] = {"numpy": numpy_pool.pool}


def backend_name() -> str:
    """The backend in use."""
    return next(iter(BACKENDS))


def default_threads() -> int:
    """How many threads work if the caller does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_into(
    out: NDArray[Any], work: Work, threads: int | None = None, seconds: NDArray[np.float64] | None = None
) -> None:
    """Writes the crops of `work` to `out` (K, C, Ho, Wo), any float dtype and strides.

    seconds: (L,) float64 to which the time spent on each level is added.
    """
    clock = np.zeros(len(work.maps)) if seconds is None else seconds
    BACKENDS[backend_name()](out, work, threads, clock)
