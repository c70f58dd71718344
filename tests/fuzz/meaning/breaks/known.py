"""All breaks, and one of them done to a job."""

from __future__ import annotations

import random

from tests.fuzz.meaning.breaks import boxes, images, joins, levels, places
from tests.fuzz.meaning.breaks.registry import BREAKS, Break
from tests.fuzz.meaning.job import Job

MODULES = (levels, images, places, boxes, joins)


def broken(job: Job, rng: random.Random, only: str = "") -> tuple[Break, Job, list[Job]] | None:
    """A break that a job has room for, the broken job and its other readings; None if there is none."""
    names = [only] if only else rng.sample(sorted(BREAKS), len(BREAKS))
    for name in names:
        copy = job.copy()
        others = BREAKS[name].make(copy, rng)
        if others is not None:
            for other in others:
                # A reading is what the files mean, in files of its own.
                other.edits.clear()
            return BREAKS[name], copy, others
    return None
