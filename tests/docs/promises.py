"""The table of promises and the figures of the last recorded runs: `python -m tests.docs.promises` writes both."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.docs.pages import ROOT
from tests.fuzz.record import RECORD

PAGE = ROOT / "docs" / "promises.md"
BEGIN, END = "<!-- figures: made by python -m tests.docs.promises -->\n", "<!-- end of figures -->\n"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def figures() -> str:
    """The figures of tests/fuzz/record.json as a table."""
    record = json.loads(Path(RECORD).read_text())
    rows = ["| run | on | Python, HDF5 | how much | outcome |", "|---|---|---|---|---|"]
    for name, words in (("files", _files), ("texts", _texts), ("native", _native), ("soak", _soak)):
        if name in record:
            part = record[name]
            much, outcome = words(part)
            where = f"{part['python']}, {part['hdf5']}"
            rows.append(f"| {name} | {part['date']}, {part['seconds']} s | {where} | {much} | {outcome} |")
    return "\n".join(rows) + "\n"


def _files(part: dict) -> tuple[str, str]:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in part["by_kind"].items())
    verdicts = ", ".join(f"{verdict} {count:,}" for verdict, count in part["verdicts"].items())
    return f"{part['files']:,} damaged files: {kinds}", f"{verdicts}; findings: {_found(part['found'])}"


def _texts(part: dict) -> tuple[str, str]:
    return f"{part['executions']:,} parses", f"findings: {_found(part['found'])}"


def _native(part: dict) -> tuple[str, str]:
    return f"filters {part['filters']:,}, weights {part['weights']:,} runs", "findings: none"


def _soak(part: dict) -> tuple[str, str]:
    kinds = ", ".join(f"{name} {count:,}" for name, count in part["disturbances"].items())
    much = f"{part['minutes']:g} minutes, {part['jobs']:,} jobs disturbed: {kinds}"
    return much, f"jobs that ended with another output or none: {len(part['wrong'])}"


def _found(found: list | dict) -> str:
    return str(len(found)) if found else "none"


def with_figures(text: str) -> str:
    """The page with the figures of the record."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + figures() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
