"""Every hostile file is refused by every command that reads its kind: in time, in little memory, in one line."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.builders import run
from tests.hostile import every_case
from tests.hostile.commands import BY_KIND, good_files
from tests.hostile.verdict import wrong_with

CASES = every_case()
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs in the child of a fork")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_files(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=str,
)
@pytest.mark.sampled(25)
def test_refused(case, good, tmp_path):
    assert {name: text for name, text in wrong_with(case, good, tmp_path).items() if text} == {}


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_same_commands_take_good_files(kind, good, tmp_path):
    file = {"pyramid": good.pyramid, "boxes": good.boxes, "crops": good.crops, "picture": good.picture}[kind]
    for name, line in BY_KIND[kind].items():
        out = tmp_path / name.replace(" ", "-")
        out.mkdir()
        result = run(*line(file, good, out))
        assert (result.exit_code, name) == (0, name), result.stderr


def test_there_are_enough_of_them():
    assert len(CASES) >= 100
    assert [name for name, count in Counter(map(str, CASES)).items() if count > 1] == []
