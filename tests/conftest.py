"""Hypothesis profiles, of which `ci` repeats itself exactly and `dev` looks further with every run; and a date."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest
from hypothesis import settings

from msroi_cli.io.crops import header as crops_layout

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


class _Clock(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone or timezone.utc)


@pytest.fixture
def creation_date(monkeypatch):
    """The date that every crops file says it was made at."""
    monkeypatch.setattr(crops_layout, "datetime", _Clock)
    return "2026-01-02T03:04:05+00:00"
