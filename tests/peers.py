"""torchvision, where it is installed, for tests that compare with it and else with the definition."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any


def torchvision_ops() -> Any:
    """torchvision's operators; None where it is not installed or does not load.

    A build of its own is loaded by a module of the name torchvision_cpu, where there is one.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("torchvision_cpu")
    try:
        return importlib.import_module("torchvision.ops")
    except (ImportError, OSError, RuntimeError):
        return None
