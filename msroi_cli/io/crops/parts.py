"""A folder of parts: whole crops files of the shards of one job, which together are read as one crops file.

Part I of N is `part-0000I-of-0000N.h5`, both numbers of at least five digits. It has the rows of a range of images, and
the ids of these images only. Its attribute `part`, JSON, says which shard of which job it is.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from msroi_cli.errors import InputError
from msroi_cli.io.files.durability import is_there
from msroi_cli.io.messages import value_text

LISTED = 5
NAME = re.compile(r"part-(\d{1,9})-of-(\d{1,9})\.h5", re.ASCII)
# Of the text of the attribute: enough for numbers of 64 bits.
TEXT_LENGTH = 160
UNFINISHED = re.compile(r"\.(part-\d{1,9}-of-\d{1,9}\.h5)\.(?:partial|spool|journal|lock|lock\.breaking)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a job a crops file is: shard `index` of `count`, counted from 1.

    first_image: the number of its first image in the pyramid. images: how many it has. rows: how many rows the whole
    job has.
    """

    index: int
    count: int
    first_image: int
    images: int
    rows: int

    def as_json(self) -> str:
        """The text of the attribute: JSON and spaces, of one length, so that the parts of a job are laid out alike."""
        return json.dumps(asdict(self)).ljust(TEXT_LENGTH)

    @classmethod
    def parse(cls, where: object, text: object) -> Part:
        """What `as_json` gave; raises InputError."""
        if stated := STATED.fullmatch(str(text)):
            return cls(*map(int, stated.groups()))
        try:
            values = json.loads(str(text))
            numbers = [values[name] for name in cls.__dataclass_fields__]
        except (ValueError, KeyError, TypeError, RecursionError):
            numbers = [None]
        if {*map(type, numbers)} != {int} or min(numbers) < 0:
            raise InputError(f"{where}: attribute part: expected the part of a job, got {value_text(text)}")
        return cls(*numbers)


# What `as_json` gives, which takes a third of the time of any other JSON to read.
STATED = re.compile(
    r"\{" + ", ".join(rf'"{name}": (0|[1-9]\d{{0,17}})' for name in Part.__dataclass_fields__) + r"\} *", re.ASCII
)


def part_name(index: int, count: int) -> str:
    """The file name of a part."""
    return f"part-{index:05d}-of-{count:05d}.h5"


def part_paths(folder: Path) -> list[Path]:
    """The parts of a folder, by number; raises InputError unless it has each part of one job once."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 a path each takes longer than all the rest
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    found = {name: (int(match[1]), int(match[2])) for name in names if (match := NAME.fullmatch(name))}
    if not found:
        raise InputError(f"{folder}: expected a crops file, or a folder of {part_name(1, 2)} and so on, got none")
    _check_count(folder, found)
    by_index: dict[int, str] = {}
    for name, (index, count) in found.items():
        if index in by_index:
            raise InputError(f"{folder}: expected each part once, got {by_index[index]} and {name}")
        if not 1 <= index <= count:
            raise InputError(f"{folder / name}: expected a part from 1 to {count}, got {index}")
        by_index[index] = name
    count = next(iter(found.values()))[1]
    for index in range(1, count + 1):
        # Network file systems list names late.
        if index not in by_index and is_there(folder / part_name(index, count)):
            by_index[index] = part_name(index, count)
    _check_complete(folder, names, by_index, count)
    return [folder / by_index[index] for index in sorted(by_index)]


def _check_count(folder: Path, found: dict[str, tuple[int, int]]) -> None:
    """Raises InputError for parts of jobs with different numbers of shards."""
    first = next(iter(found))
    for name, (_, count) in found.items():
        if count != found[first][1]:
            raise InputError(f"{folder}: expected parts of one job, got {first} and {name}")


def _check_complete(folder: Path, names: list[str], by_index: dict[int, str], count: int) -> None:
    """Raises InputError that names the parts that are missing or unfinished."""
    missing = [index for index in range(1, count + 1) if index not in by_index]
    if not missing:
        return
    unfinished = {match[1] for name in names if (match := UNFINISHED.fullmatch(name))}
    texts = [
        part_name(index, count) + (" (interrupted)" if part_name(index, count) in unfinished else "")
        for index in missing[:LISTED]
    ]
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    raise InputError(f"{folder}: expected {count} parts, got {count - len(missing)}: missing {', '.join(texts)}{more}")
