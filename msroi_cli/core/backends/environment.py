"""The native extension, if it was built, and what the environment says of it; importing this costs next to nothing.

The environment chooses, for those who compare: MSROI_BACKEND names a backend, MSROI_ISA the instruction set of the
native one, MSROI_NUM_THREADS how many threads work where the caller does not say.
"""

from __future__ import annotations

import os
from functools import lru_cache

from msroi_cli.core.spec import MAX_THREADS
from msroi_cli.errors import ArgumentError
from msroi_cli.extension import NATIVE, WHY_ABSENT, native

# What OpenBLAS takes the number of its threads from.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_DEFAULT_NUM_THREADS")


def backend_name() -> str:
    """The backend in use: "native" or "numpy"."""
    return _backend_named(os.environ.get("MSROI_BACKEND", ""))


def backend_text() -> str:
    """The backend in use, with its instruction set, or with the reason why it is not the native one."""
    if backend_name() == "native":
        return f"native backend ({isa_name()})"
    return f"numpy backend ({f'native extension: {WHY_ABSENT}' if not NATIVE else 'MSROI_BACKEND=numpy'})"


def isa_name() -> str | None:
    """The instruction set that the native backend uses: "baseline", "v3" or "v4"; None without that backend."""
    if backend_name() != "native":
        return None
    choose_isa()
    return native.isa()


def choose_isa() -> None:
    """Has the native backend use the instruction set that the environment says; raises ArgumentError."""
    _choose_isa(os.environ.get("MSROI_ISA", ""))


def default_threads() -> int:
    """How many threads work if the caller does not say: MSROI_NUM_THREADS, or as many as there are processors."""
    return _threads_named(os.environ.get("MSROI_NUM_THREADS", "")) or _usable_processors()


def keep_freed_memory() -> None:
    """Has this process keep the memory that it frees, to get it again faster; for programs, not for libraries."""
    if NATIVE:
        native.keep_freed_memory()


def give_back_freed_memory() -> None:
    """Ends `keep_freed_memory`, for a process that goes on with other work."""
    if NATIVE:
        native.give_back_freed_memory()


def spare_blas_threads() -> None:
    """Has NumPy's OpenBLAS start no threads, which spin and which the native backend does not use; for programs.

    Call it before NumPy is imported. What the environment says of those threads stands.
    """
    if NATIVE and os.environ.get("MSROI_BACKEND", "native") == "native" and not any(map(os.environ.get, BLAS_THREADS)):
        os.environ[BLAS_THREADS[0]] = "1"


def leave_at_second_signal(number: int) -> None:
    """Has the second signal end this process at once, even within a C library; without the extension, soon after."""
    if NATIVE:
        native.leave_at_second_signal(number)


def _usable_processors() -> int:
    if NATIVE:
        return native.usable_processors()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=8)
def _backend_named(name: str) -> str:
    known = ("native", "numpy") if NATIVE else ("numpy",)
    if name and name not in known:
        hint = "; this installation was built without a compiler" if name == "native" else ""
        raise ArgumentError(f"MSROI_BACKEND: expected one of {', '.join(known)}, got {name!r}{hint}")
    return name or known[0]


@lru_cache(maxsize=1)
def _choose_isa(name: str) -> None:
    try:
        native.choose_isa(name)
    except ValueError as error:
        raise ArgumentError(f"MSROI_ISA: {error}") from None


@lru_cache(maxsize=8)
def _threads_named(text: str) -> int:
    """The count that MSROI_NUM_THREADS asks for; 0 if it is not set."""
    if not text:
        return 0
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and 0 < int(digits) <= MAX_THREADS):
        raise ArgumentError(f"MSROI_NUM_THREADS: expected a whole number from 1 to {MAX_THREADS}, got {text[:40]!r}")
    return int(digits)
