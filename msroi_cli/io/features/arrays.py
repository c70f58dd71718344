"""Whatever array a model gives, as a NumPy array of float16, float32 or float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import InputError

FLOAT_CODES = "efd"


def as_array(value: Any, where: str) -> NDArray[Any]:
    """`value` as a NumPy array, without a copy where that can be; bfloat16 becomes float32, exactly.

    Tensors are detached from their graph and fetched from their device. Raises InputError, with `where` in it.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    try:
        by_dlpack = not hasattr(value, "__array__") and hasattr(value, "__dlpack__")
        array = np.from_dlpack(value) if by_dlpack else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise InputError(
            f"{where}: expected an array that NumPy can view, got {type(value).__name__} ({error})"
        ) from error
    if array.dtype.name == "bfloat16":
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if array.dtype.char not in FLOAT_CODES:
        raise InputError(f"{where}: expected float16, float32, float64 or bfloat16, got {array.dtype}")
    return array
