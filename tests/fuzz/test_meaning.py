"""Jobs with one broken statement are refused or warned of, and valid ones are pooled as their files read."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from msroi_cli.io.boxes import hdf5, json_file
from msroi_cli.io.pyramid.hdf5 import alike, levels, per_image
from msroi_cli.job.join import images
from msroi_cli.job.validate import sizes
from tests.fuzz.meaning import __main__ as command
from tests.fuzz.meaning.breaks.known import BREAKS, broken
from tests.fuzz.meaning.job import HDF5_LAYOUTS, LAYOUTS
from tests.fuzz.meaning.jobs import random_job
from tests.fuzz.meaning.judge import WrongError, check_spoilt, judged
from tests.fuzz.meaning.write.boxes import FORMATS

MOST = 4000
GOOD = {"refused", "warned", "same", "plausible"}


def with_room(name, first=0):
    """The numbers of the jobs that have room for a break."""
    for number in range(first, first + MOST):
        rng = random.Random(number)
        if broken(random_job(rng), rng, name) is not None:
            yield number


def wrong(cases):
    return [(case.number, case.name, case.verdict, case.about) for case in cases if case.verdict not in GOOD]


@pytest.mark.parametrize("first", range(5_000_000, 5_000_040, 10))
@pytest.mark.sampled(4)
def test_cases(first):
    cases = list(command.cases(10, first))
    assert wrong(cases) == []
    assert {"refused", "warned"} <= {case.verdict for case in cases}


@pytest.mark.slow
def test_many_cases():
    assert wrong(command.cases(2000, 6_000_000)) == []


@pytest.mark.parametrize("first", range(0, 400, 8))
@pytest.mark.sampled(50)
def test_boxes_that_cannot_be_pooled(first):
    for number in range(first, first + 8):
        check_spoilt(number)


def test_every_layout_and_format_is_made():
    jobs = [random_job(random.Random(number)) for number in range(400)]
    assert {job.pyramid.layout for job in jobs} == set(LAYOUTS)
    assert {job.boxes.format for job in jobs} == set(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BREAKS))
def test_every_break_is_one_and_is_found(name):
    cases, found = [], False
    for number in islice(with_room(name), 8 if BREAKS[name].implausible else 20):
        cases.append(judged(number, name))
        found = found or (cases[-1].real and cases[-1].verdict in ("refused", "warned"))
        if found and len(cases) > 1:
            break
    assert wrong(cases) == []
    assert found, [(case.number, case.verdict) for case in cases]


# A check that is missing, and the break that it is there for.
FAULTS = {
    "indices that are ids": (images, "_refuse_two_numbers", "ids that are also positions of other images"),
    "file names": (images, "_refuse_two_names", "an id and a file name of two images"),
    "ids beside rois": (images, "_refuse_other_ids", "ids of images beside rois"),
    "groups of boxes": (hdf5, "_refuse_groups", "groups of images beside boxes of all"),
    "strides of images": (alike.ImageReader, "_compare", "another stride of a late image"),
    "levels of images": (alike.ImageReader, "_check_names", "a level that one image has alone"),
    "scale factors": (per_image.PerImageHdf5Pyramid, "_check_factor", "a scale factor of some images"),
}
VALUES = {
    "sizes of levels": (sizes, "misfits", lambda *given: [], "sizes that do not follow the strides"),
    "keys": (json_file, "different_keys", lambda name, pairs: dict(pairs), "a key twice in a document of boxes"),
}


FAST = ("indices that are ids", "file names", "keys")


@pytest.mark.parametrize(
    "fault", [fault if fault in FAST else pytest.param(fault, marks=pytest.mark.slow) for fault in (*FAULTS, *VALUES)]
)
def test_a_missing_check_is_found(monkeypatch, fault):
    if fault in FAULTS:
        owner, check, name = FAULTS[fault]
        monkeypatch.setattr(owner, check, lambda *given: None)
    else:
        owner, check, value, name = VALUES[fault]
        monkeypatch.setattr(owner, check, value)
    verdicts = (judged(number, name).verdict for number in islice(with_room(name), 40))
    assert "silent" in verdicts


def test_images_in_another_order_are_found(monkeypatch):
    monkeypatch.setattr(per_image, "natural_order", lambda names: sorted(names, reverse=True))
    numbers = (number for number in range(MOST) if is_ordered(random_job(random.Random(number))))
    with pytest.raises(WrongError, match=r"msroi and the join differ|a valid job is not taken"):
        judged(next(numbers))


def test_a_layout_that_is_ignored_is_found(monkeypatch):
    monkeypatch.setattr(levels, "layout_from", lambda value, where: "chw")
    pyramids = ((number, random_job(random.Random(number)).pyramid) for number in range(MOST))
    numbers = (number for number, one in pyramids if one.layout in HDF5_LAYOUTS and one.last == "all")
    for number in islice(numbers, 3):
        with pytest.raises(WrongError, match=r"msroi and the join differ|a valid job is not taken"):
            judged(number)


def is_ordered(job):
    """Whether boxes name groups by their place in the order of ids."""
    ids = {image.id for image in job.pyramid.images}
    return job.pyramid.layout == "grouped" and job.boxes.key == "index" and ids >= {"img_2", "img_5"}


def test_the_command_counts(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["meaning", "--cases", "3", "--first", "5000000"])
    assert command.main() == 0
    table, errors = capsys.readouterr()
    assert table.splitlines()[-1].endswith("all 3 cases")
    assert errors == ""
