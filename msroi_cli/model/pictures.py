"""Pictures by id: where they are, how large they are, and reading them ahead of a model, in threads."""

from __future__ import annotations

import glob
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from msroi_cli.errors import InputError, UsageError, unreadable
from msroi_cli.io.files.natural import natural_key
from msroi_cli.io.files.picture import check_picture

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".jp2"))
LISTED = 3

# By how much readers are nicer than the threads of the model.
READER_NICE = 5

T = TypeVar("T")
S = TypeVar("S")


def find_pictures(text: str) -> Mapping[str, Path]:
    """Pictures by id, in natural order: the stem of each file's name.

    text: a folder, a picture, a pattern such as `photos/*.jpg`, or `@FILE` with a path a line (relative to FILE).
    Raises UsageError where there is nothing of that name, InputError where two pictures have one stem.
    """
    paths = _paths(text)
    if not paths:
        kinds = " ".join(sorted(SUFFIXES))
        raise InputError(f"{text}: expected pictures ({kinds}), got none")
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: natural_key(path.stem)):
        if found.setdefault(path.stem, path) != path:
            raise InputError(f"{text}: expected pictures of different stems, got {found[path.stem]} and {path}")
    return found


def _paths(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return [entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
    if path.is_file():
        return [path]
    if text.startswith("@"):
        return _listed(Path(text[1:]))
    if glob.has_magic(text):
        return [Path(name) for name in glob.glob(text, recursive=True) if not Path(name).is_dir()]  # noqa: PTH207
    raise UsageError(f"{text}: expected a folder of pictures, a quoted pattern or @FILE, got nothing of that name")


def _listed(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8 text with a path a line, got {error.object[:20]!r}") from error
    return [file.parent / line.strip() for line in lines if line.strip()]


def ahead(
    function: Callable[[T], S], items: Iterable[T], threads: int, held: int | None = None
) -> Iterator[tuple[T, S]]:
    """Each item and what `function` makes of it, in order; threads work on the next ones meanwhile.

    At most `held` items wait, None: twice as many as there are threads. What `function`
    raises is raised where its item would come.
    """
    rest = iter(items)
    with ThreadPoolExecutor(threads, "msroi-pictures", _give_way) as executor:
        waiting: deque[tuple[T, Future[S]]] = deque()
        try:
            waiting.extend((item, executor.submit(function, item)) for item in islice(rest, held or 2 * threads))
            while waiting:
                item, future = waiting.popleft()
                made = future.result()
                waiting.extend((item, executor.submit(function, item)) for item in islice(rest, 1))
                yield item, made
        finally:
            for _, future in waiting:
                future.cancel()


def _give_way() -> None:
    """Has the other threads go first: a model whose threads wait for each other takes longer by all that one waits."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        number = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, number, os.getpriority(os.PRIO_PROCESS, number) + READER_NICE)


def broken_pictures(paths: Mapping[str, Path], threads: int) -> dict[str, str]:
    """What is wrong with those of some pictures, by id, that cannot be read: each is read whole."""
    return {key: text for key, text in ahead(lambda key: _broken(paths[key]), paths, threads) if text}


def _broken(path: Path) -> str:
    try:
        check_picture(path)
    except InputError as error:
        return str(error)
    return ""


def first_failures(failures: Mapping[str, str]) -> str:
    """What is wrong with the first few of some pictures, on one line."""
    listed = "; ".join(list(failures.values())[:LISTED])
    return listed + (f"; and {len(failures) - LISTED} more" if len(failures) > LISTED else "")
