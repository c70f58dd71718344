"""Hostile inputs: a corpus of small files that lie, and the rule that each of them breaks."""

from __future__ import annotations


def every_case():
    """All cases, whatever module registers them."""
    from tests.hostile.corpus import boxes, crops, npz, pictures, pyramids  # noqa: F401 they register their cases
    from tests.hostile.corpus.case import CASES

    return CASES
