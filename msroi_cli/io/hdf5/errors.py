"""What h5py raises, as errors of msroi."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msroi_cli.errors import InputError, MsroiError
from msroi_cli.io.files.refusal import reason

# h5py raises these, and more, for files that are damaged or hold what it does not support.
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError, IndexError)


@contextmanager
def guarded(where: object, doing: str = "cannot be read") -> Iterator[None]:
    """Raises InputError about `where` for what h5py raises in the block; errors of msroi, ValueErrors too, pass."""
    try:
        yield
    except MsroiError:
        raise
    except H5PY_ERRORS as error:
        raise InputError(f"{where}: {doing}: {reason(error)}") from error
