"""Runs msroi on a job and judges it: refused, warned, the same as the independent join, or silently wrong."""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tests.builders import run
from tests.fuzz.meaning.breaks import known
from tests.fuzz.meaning.job import Job
from tests.fuzz.meaning.jobs import random_job
from tests.fuzz.meaning.join.crops import JoinedRow, differ, joined
from tests.fuzz.meaning.join.pyramids import ContradictionError
from tests.fuzz.meaning.join.statements import contradiction
from tests.fuzz.meaning.spoilt import spoilt_job
from tests.fuzz.meaning.write.boxes import write_boxes
from tests.fuzz.meaning.write.pyramids import write_pyramid

VERDICTS = ("refused", "warned", "same")
FAST = Path("/dev/shm")
# Of the largest feature: float16 crops, and sums in another order.
TOLERANCE = {"float16": 4e-3, "float32": 2e-5, "float64": 2e-5}


class WrongError(Exception):
    """The generator is wrong: a valid job is refused, warned of, or read in another way."""


@dataclass(frozen=True)
class Case:
    """What became of a job with one break.

    verdict: of VERDICTS, or "silent"; "plausible" where the break contradicts nothing, "none" where the job has no room
    for it. about: msroi's line, or the difference.
    real: whether the break makes a difference: its readings differ, or its statements contradict each other.
    """

    number: int
    name: str
    verdict: str
    about: str
    real: bool


def written(job: Job, folder: Path) -> tuple[Path, Path]:
    """Writes the files of a job; the pyramid and the boxes."""
    folder.mkdir(parents=True)
    paths = write_pyramid(job, folder), write_boxes(job, folder)
    for edit in job.edits:
        edit(folder)
    return paths


def extract(job: Job, folder: Path) -> tuple[int, str]:
    """Runs msroi on the files of a job: exit code and standard error."""
    pyramid, boxes = written(job, folder)
    words = ["--threads", "1", *job.arguments()]
    if job.boxes.format == "COCO results and images":
        words += ["--coco-images", folder / "images.json"]
    out = folder / "out.h5"
    if job.way == "stdin":
        return _run("extract", pyramid, "-", "-o", out, *words, stdin=boxes.read_bytes())
    if job.way == "file":
        return _run("extract", pyramid, boxes, "-o", out, *words)
    said = ""
    for part in (2, 1, 3):
        code, errors = _run("extract", pyramid, boxes, "-o", folder / "parts", *words, "--shard", f"{part}/3")
        said += errors
        if code:
            return code, said
    code, errors = _run("merge", folder / "parts", "-o", out)
    return code, said + errors


def _run(*words: object, stdin: bytes | None = None) -> tuple[int, str]:
    result = run(*words, stdin=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise WrongError(f"{type(result.exception).__name__}: {result.exception}")
    return result.exit_code, result.stderr


def crops(path: Path) -> list[JoinedRow]:
    """The rows of a crops file."""
    with h5py.File(path) as file:
        ids = [key.decode() for key in file["image_ids"][()]]
        columns = [file[name][()] for name in ("box_index", "image_index", "level", "boxes", "crops")]
    return [
        JoinedRow(int(row), ids[image], int(level), box, crop.astype(np.float64))
        for row, image, level, box, crop in zip(*columns, strict=True)
    ]


def same(found: list[JoinedRow], wanted: list[JoinedRow], job: Job) -> str:
    """Where msroi's rows differ from a join's, in words; empty if they do not."""
    dtypes = {job.options.get("--dtype"), str(next(iter(job.pyramid.images[0].maps.values())).dtype)} - {None}
    tolerance = max(TOLERANCE[dtype] for dtype in dtypes)
    rounded = [
        JoinedRow(own.row, own.image, own.level, own.box, other.crop)
        if own.crop.shape == other.crop.shape and np.abs(own.crop - other.crop).max(initial=0) <= tolerance * 5
        else own
        for own, other in zip(wanted, found, strict=False)
    ]
    return differ(found, rounded if len(found) == len(wanted) else wanted)


def check_valid(job: Job, folder: Path, quiet: bool = True) -> list[JoinedRow]:
    """The join of a job that nothing has broken; raises WrongError unless msroi has the same.

    quiet: a warning is wrong, too.
    """
    code, errors = extract(job, folder)
    if code or (quiet and "warning: " in errors):
        raise WrongError(f"a valid job is not taken: {errors[-1500:]}")
    try:
        wanted = joined(job, folder)
    except ContradictionError as error:
        raise WrongError(f"a valid job contradicts itself: {error}") from error
    stated = contradiction(job, folder) if quiet else ""
    if stated:
        raise WrongError(f"a valid job contradicts itself: {stated}")
    difference = same(crops(folder / "out.h5"), wanted, job)
    if difference:
        raise WrongError(f"msroi and the join differ: {difference}")
    return wanted


def judge(number: int, folder: Path, only: str = "") -> Case:
    """Makes the job of a number, breaks it and judges what msroi does; raises WrongError."""
    rng = random.Random(number)
    job = random_job(rng)
    chosen = known.broken(job, rng, only)
    if chosen is None:
        return Case(number, only, "none", "", False)
    one, broken, others = chosen
    readings = [check_valid(job, folder / "valid")]
    code, errors = extract(broken, folder / "broken")
    told = [line for line in errors.splitlines() if line.startswith(("msroi: error: ", "warning: "))]
    stated = contradiction(broken, folder / "broken")
    if not others:
        readings += _join(broken, folder / "broken")
    for place, other in enumerate(others):
        written(other, folder / f"reading{place}")
        readings += _join(other, folder / f"reading{place}")
    unclear = len(readings) < 1 + max(1, len(others))
    apart = next(filter(None, (differ(readings[0], other) for other in readings[1:])), "")
    real = bool(stated or apart or unclear)
    if one.implausible and not stated:
        return Case(number, one.name, "plausible", "", False)
    if code in (2, 3):
        lines = [line for line in told if line.startswith("msroi: error: ")]
        verdict = "refused" if len(lines) == 1 and not (folder / "broken" / "out.h5").exists() else "silent"
        return Case(number, one.name, verdict, told[-1] if told else errors[:200], real)
    if code:
        raise WrongError(f"exit code {code}: {errors[-1500:]}")
    if told:
        return Case(number, one.name, "warned", told[0], real)
    difference = stated or apart or same(crops(folder / "broken" / "out.h5"), readings[-1], broken)
    return Case(number, one.name, "silent" if difference else "same", difference, real)


def _join(job: Job, folder: Path) -> list[list[JoinedRow]]:
    """The join of a job in a list; none if its files do not say."""
    try:
        return [joined(job, folder)]
    except ContradictionError:
        return []


def judged(number: int, only: str = "") -> Case:
    """The same in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None, prefix="msroi-meaning-") as folder:
        return judge(number, Path(folder), only)


def check_spoilt(number: int) -> None:
    """Raises WrongError unless a job with boxes that cannot be pooled gives what its option says.

    There may be warnings: boxes may look like those of another format.
    """
    with tempfile.TemporaryDirectory(dir=FAST if FAST.is_dir() else None, prefix="msroi-meaning-") as folder:
        check_valid(spoilt_job(number), Path(folder) / "spoilt", quiet=False)


def kept(number: int, folder: Path, only: str = "") -> Case:
    """The same in a folder that stays, to look at."""
    shutil.rmtree(folder, ignore_errors=True)
    return judge(number, folder, only)
