"""The native extension, if it was built: `native`, which stands where NATIVE is true."""

from __future__ import annotations

__all__ = ["NATIVE", "WHY_ABSENT", "native"]

try:
    from msroi_cli import _native as native
except ImportError as error:
    NATIVE = False
    WHY_ABSENT = "not built" if error.name is None or error.name == "msroi_cli" else str(error)
    native = None  # type: ignore[assignment]
else:
    NATIVE = True
    WHY_ABSENT = ""
