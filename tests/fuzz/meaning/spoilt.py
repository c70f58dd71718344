"""Random valid jobs with boxes that cannot be pooled, and the option that says what becomes of them."""

from __future__ import annotations

import random

from tests.fuzz.meaning.job import Job, Row
from tests.fuzz.meaning.jobs import random_job

POLICIES = ("drop", "zero", "nan")


def spoilt_job(number: int) -> Job:
    """The job of a number with one to three boxes more, which end before they begin."""
    rng = random.Random(number)
    job = random_job(rng)
    job.options.pop("--strict", None)
    job.options["--on-bad-box"] = rng.choice(POLICIES)
    for _ in range(rng.randrange(1, 4)):
        good = rng.choice(job.boxes.rows)
        row = Row(
            good.key, _inverted(good.numbers, job.boxes.box_format, rng), good.score / 2, good.category, good.image
        )
        job.boxes.rows.insert(rng.randrange(len(job.boxes.rows) + 1), row)
    return job


def _inverted(numbers: list[float], box_format: str, rng: random.Random) -> list[float]:
    """A box whose right side lies left of its left side, or whose bottom lies above its top."""
    a, b, c, d = numbers
    across = rng.random() < 0.5
    if box_format == "xyxy":
        return [c + 1, b, a, d] if across else [a, d + 1, c, b]
    return [a, b, -c, d] if across else [a, b, c, -d]
