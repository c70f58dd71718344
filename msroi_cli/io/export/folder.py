"""A folder of exported files, known by its index: whole or absent, and replaced only where it is an earlier export."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msroi_cli.errors import UsageError
from msroi_cli.io.export.model import FORMAT
from msroi_cli.io.files.atomic import failures_named, resolved
from msroi_cli.io.files.durability import sync
from msroi_cli.io.files.target import kind_of

INDEX = "index.json"
LARGEST_INDEX = 1 << 30
SUFFIXES = (".npz", ".npy", ".jsonl", ".tar")


@contextmanager
def whole_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which takes the name `path` if the block succeeds.

    A folder that is there is replaced only if told so, and if an earlier export and nothing else is in it.
    Raises UsageError otherwise, and RunError for what the file system refuses.
    """
    old = check_folder(path, overwrite)
    target = resolved(path)
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
    made = False
    try:
        with failures_named(path):
            partial.mkdir()
        made = True
        yield partial
        with failures_named(path):
            for entry in partial.iterdir():
                sync(entry)
            sync(partial)
            _take_place(partial, target, old)
    except BaseException:
        if made:
            shutil.rmtree(partial, ignore_errors=True)
        raise


def check_folder(path: Path, overwrite: bool) -> list[str]:
    """The names of the files of the export at `path`, none where nothing is; raises UsageError if it may not be made.

    Nothing is there, or, with `overwrite`, a folder whose index lists every file in it.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: expected an existing folder to write to, got {path.parent}")
    kind = kind_of(path)
    if kind is None:
        return []
    if not overwrite:
        raise UsageError(f"{path}: exists already; --overwrite replaces it")
    if kind != "a folder":
        raise UsageError(f"{path}: expected the folder of an earlier export to replace, got {kind}")
    names = _listed(path)
    for entry in sorted(path.iterdir()):
        if entry.name not in names:
            raise UsageError(f"{entry}: expected the files of an earlier export to replace, got a file of another kind")
        if kind_of(entry) != "a file":
            raise UsageError(f"{entry}: expected the files of an earlier export to replace, got {kind_of(entry)}")
    return sorted(names)


def _listed(folder: Path) -> set[str]:
    """The files that the index of an export lists, and the index; raises UsageError for a folder without one."""
    index: Any = None
    path = folder / INDEX
    with suppress(OSError, ValueError, RecursionError):
        if kind_of(path) == "a file" and path.stat().st_size <= LARGEST_INDEX:
            index = json.loads(path.read_bytes())
    names = _names(index)
    if names is None:
        raise UsageError(f"{folder}: expected the folder of an earlier export, known by its {INDEX}, got another one")
    return {INDEX, *names}


def _names(index: Any) -> list[str] | None:
    """The files in an index; None for what is no index of an export."""
    if not isinstance(index, dict) or not isinstance(index.get("files"), list):
        return None
    attributes = index.get("attributes")
    # Exports had no format in their index at first.
    maker = attributes.get("generated_by") if isinstance(attributes, dict) else None
    if index.get("format") != FORMAT and not str(maker).startswith("msroi "):
        return None
    names: list[Any] = [entry.get("file") if isinstance(entry, dict) else None for entry in index["files"]]
    good = all(isinstance(name, str) and name.endswith(SUFFIXES) and Path(name).name == name for name in names)
    return names if good else None


def _take_place(partial: Path, target: Path, names: list[str]) -> None:
    """Gives the new folder its name, and removes the files `names` of the old one, and nothing else."""
    old = target.with_name(f"{partial.name}.old")
    if names:
        target.rename(old)
    partial.rename(target)
    sync(target.parent)
    with suppress(OSError):
        for name in names:
            (old / name).unlink(missing_ok=True)
        old.rmdir()
