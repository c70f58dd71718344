"""Hypothesis profiles, tests of which the default run takes some cases only, and a date.

Of the profiles, `ci` repeats itself exactly, `dev` looks further with every run, and `thorough` looks at more.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timezone

import pytest
from hypothesis import settings

from msroi_cli.io.crops import header as crops_layout
from msroi_cli.model.session import NO_TELEMETRY

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=20)
settings.register_profile("dev", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Tests that load ONNX Runtime themselves have it write nothing below the user's folder either.
os.environ.setdefault(NO_TELEMETRY, "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a test marked `sampled(n)`, every n-th case stays in the default run; the others are slow."""
    cases = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None:
            test = item.nodeid.partition("[")[0]
            if cases[test] % sampled.args[0]:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1


class _Clock(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone or timezone.utc)


@pytest.fixture
def creation_date(monkeypatch):
    """The date that every crops file says it was made at."""
    monkeypatch.setattr(crops_layout, "datetime", _Clock)
    return "2026-01-02T03:04:05+00:00"
