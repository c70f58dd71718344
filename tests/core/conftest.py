"""Tests that ask for `backend` run once for each way of doing the arithmetic."""

from __future__ import annotations

import pytest

from msroi_cli.core.backends import dispatch as backends


@pytest.fixture(params=sorted(backends.BACKENDS), scope="module")
def backend(request):
    """Pools with one backend, and gives its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "backend_name", lambda: request.param)
        yield request.param
