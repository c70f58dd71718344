"""The list of breaks, which the modules beside it fill."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.meaning.job import Image, Job

FILTERS = {"--images", "--min-score", "--categories", "--top", "--min-size"}
"""Options that may leave the broken row out, or all images but the broken one."""

# Changes a copy of a valid job. Returns the jobs that its files may also be read as, besides the valid one; without any
# the broken job itself is that other reading. None where the break has nothing to act on.
Make = Callable[[Job, random.Random], "list[Job] | None"]


@dataclass(frozen=True)
class Break:
    """implausible: whether it is one only where its statements contradict each other, or are hardly true."""

    name: str
    make: Make
    implausible: bool


BREAKS: dict[str, Break] = {}


def breaks(name: str, *, implausible: bool = False) -> Callable[[Make], Make]:
    """Adds a break of that name."""

    def add(make: Make) -> Make:
        BREAKS[name] = Break(name, make, implausible)
        return make

    return add


def late(job: Job, rng: random.Random) -> Image:
    """An image that has boxes, the first only if no other has."""
    images = [job.pyramid.images[place] for place in job.used()]
    others = [image for image in images if image is not job.pyramid.images[0]]
    return rng.choice(others or images)
