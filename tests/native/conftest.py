"""Tests of the native kernel; skipped where it was not built, unless MSROI_REQUIRE_NATIVE says that it must be."""

from __future__ import annotations

import os

import pytest

from msroi_cli.core.backends import dispatch as backends


def isas():
    """The copies of the kernel that run on this machine."""
    return backends._native.usable_isas() if backends.NATIVE else ["none"]


@pytest.fixture(autouse=True)
def native():
    """The extension module."""
    if not backends.NATIVE:
        if os.environ.get("MSROI_REQUIRE_NATIVE"):
            pytest.fail("msroi_cli._native is missing, and MSROI_REQUIRE_NATIVE is set")
        pytest.skip("msroi was built without a compiler: there is no msroi_cli._native")
    return backends._native


@pytest.fixture(params=isas())
def isa(request, native, monkeypatch):
    """Pools with each copy of the kernel in turn, and gives its name."""
    monkeypatch.setenv("MSROI_ISA", request.param)
    return request.param
