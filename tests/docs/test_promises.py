"""docs/promises.md is true: the tests that it names exist, and its figures are those of the last recorded runs."""

from __future__ import annotations

import json
import re

from tests.docs.pages import README, ROOT
from tests.docs.promises import NAMED, PAGE, with_figures
from tests.fuzz.record import RECORD

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_promise_names_tests_that_exist() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == 8
    for row in rows:
        named = NAMED.findall(row)
        assert named, row
        for path, test in named:
            assert (ROOT / path).exists(), path
            assert not test or re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), (path, test)


def test_figures_are_those_of_the_record() -> None:
    assert with_figures(TEXT) == TEXT, "run python -m tests.docs.promises"


def test_the_record_found_nothing_wrong_in_work_files_and_texts() -> None:
    record = json.loads(RECORD.read_text())
    assert record["texts"]["found"] == {}
    assert record["soak"]["wrong"] == []
    assert [found for found in record["files"]["found"] if found[0] == "work"] == []


def test_it_is_linked() -> None:
    assert "docs/promises.md" in README.read_text(encoding="utf-8")
    assert "docs/promises.md" in (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")
