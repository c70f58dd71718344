"""Whether the commands refuse a hostile file as they should."""

from __future__ import annotations

import hashlib

from tests.hostile.commands import BY_KIND
from tests.hostile.limits import SECONDS, limited_runs

LONGEST_LINE = 5000


def wrong_with(case, good, folder):
    """What is wrong with how each command ends on a case, in words; empty where it is refused as it should be."""
    inputs, out = folder / "in", folder / "out"
    inputs.mkdir()
    out.mkdir()
    file = case.make(inputs)
    before = _contents(inputs)
    names = [name for name in BY_KIND[case.kind] if not case.only or name in case.only]
    assert names, case.only
    outs = {name: out / name.replace(" ", "-") for name in names}
    for each in outs.values():
        each.mkdir()
    endings = limited_runs([BY_KIND[case.kind][name](file, good, outs[name]) for name in names])
    assert _contents(inputs) == before
    return {
        name: _wrong(ending) or ("expected nothing left behind" if any(outs[name].iterdir()) else "")
        for name, ending in zip(names, endings, strict=True)
    }


def _contents(folder):
    """What is in a folder, links as links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        special = path.is_symlink() or not path.is_file()
        found[str(path)] = None if special else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _wrong(ending):
    """What is wrong with how a run ended; nothing if it refused its input as it should."""
    if ending.code != 3:
        return f"expected exit code 3, got {ending.code}: {ending.stderr[-600:] or ending.stdout[-300:]}"
    lines = ending.stderr.splitlines()
    # `validate` and `verify` list what is wrong on standard output.
    if len(lines) != 1 and not (ending.stdout and not lines):
        return f"expected one line on standard error, got {len(lines)}: {ending.stderr[:600]}"
    if lines and not lines[0].startswith("msroi: error: "):
        return f"expected an error, got {lines[0][:300]}"
    if max(map(len, lines + ending.stdout.splitlines()), default=0) > LONGEST_LINE:
        return "expected lines that can be read, got endless ones"
    if ending.seconds > SECONDS:
        return f"expected at most {SECONDS} s, got {ending.seconds:.1f}"
    return ""
