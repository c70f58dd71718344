"""Tests of the native kernel; skipped where it was not built, unless MSROI_REQUIRE_NATIVE says that it must be."""

from __future__ import annotations

import os

import pytest

from msroi_cli import extension


def isas():
    """The copies of the kernel that run on this machine."""
    return extension.native.usable_isas() if extension.NATIVE else ["none"]


@pytest.fixture(autouse=True)
def native():
    """The extension module."""
    if not extension.NATIVE:
        if os.environ.get("MSROI_REQUIRE_NATIVE"):
            pytest.fail("msroi_cli._native is missing, and MSROI_REQUIRE_NATIVE is set")
        pytest.skip("msroi was built without a compiler: there is no msroi_cli._native")
    return extension.native


@pytest.fixture(params=isas())
def isa(request, native, monkeypatch):
    """Pools with each copy of the kernel in turn, and gives its name."""
    monkeypatch.setenv("MSROI_ISA", request.param)
    return request.param
