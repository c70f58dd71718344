"""Texts of any kind against the parsers: `python -m tests.fuzz.texts --count N` parses N texts.

Each is refused with an error of msroi, of one line, or is what its parser promises. Texts are good ones, damaged,
and pieces of JSON and of options in any order; `--guided` has atheris make them, led by what they reach.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from pathlib import Path

import click
import numpy as np

from msroi_cli.cli import option_values
from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.boxes import open as box_files
from msroi_cli.io.files.location import Location
from msroi_cli.io.pyramid.arrays.json_file import JsonPyramid
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.job.cluster.environment import shards_from
from tests.fuzz.mutate import mutated

PIECES = [
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "\n",
        "\r",
        "\t",
        '"',
        "\\",
        "\ufeff",
        "\0",
        "\\u0000",
        "\\ud800",
        "null",
        "true",
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "1",
        "-1",
        "1.5",
        "1e9",
        "1e999",
        "-0.0",
        "9" * 30,
        "9" * 400,
        "4",
        "x",
        "/",
        "+",
    ),
    *(
        '"image_id":',
        '"bbox":',
        '"score":',
        '"category_id":',
        '"id":',
        '"annotations":',
        '"images":',
        '"file_name":',
        '"17"',
    ),
    *(
        '"levels":',
        '"data":',
        '"stride":',
        '"name":',
        '"image_ids":',
        '"scale_factors":',
        '"boxes":',
        '"width":',
        '"height":',
    ),
    *(
        "[0, 1, 2, 30, 40]",
        "[1, 2, 3, 4]",
        '{"image_id": 1, "bbox": [1, 2, 3, 4]}',
        "[[[1, 2], [3, 4]]]",
        "auto",
        "gzip",
        "MiB",
    ),
]
GOOD = [
    b"[[0, 1, 2, 30, 40], [1, 2, 3, 4, 5]]",
    b"[0, 1, 2, 30, 40]\n[1, 2, 3, 4, 5]\n",
    b'[{"image_id": 17, "bbox": [1, 2, 3, 4], "score": 0.5, "category_id": 3, "id": 9}]',
    b'{"images": [{"id": 17, "width": 4, "height": 3, "file_name": "a.jpg"}], '
    b'"annotations": [{"image_id": 17, "id": 1, "bbox": [1, 2, 3, 4]}]}',
    b'{"17": [[1, 2, 3, 4]], "4": []}',
    b'image_id,x1,y1,x2,y2,score,id\n17,1,2.5,3e1,4,0.5,7\r\n"a",1,,3,4,1,8\n',
    b'{"levels": [{"name": "p2", "stride": 4, "data": [[[1, 2], [3, 4]]]}], "image_ids": ["a"]}',
    *(b"7x5", b"1.5GiB", b"4,8x8.5,1/16", b"p2,p3", b"gzip:9", b"2,3/40", b"auto+5/9", b"0.5x2"),
]
OPTIONS = [
    *(option_values.size, option_values.byte_count, option_values.compression, option_values.names),
    *(option_values.numbers, option_values.shown, option_values.factor),
]
SLURM = {"SLURM_ARRAY_TASK_ID": "3"}


class FindingError(Exception):
    """Something that must not be."""


class _Bytes(Location):
    """A file that is in memory."""

    def content(self, limit: int = -1) -> bytes:
        """The bytes."""
        return _Bytes.text


def _boxes(text: bytes) -> None:
    table = box_files.parse("text", text)
    count = len(table.boxes)
    images = table.image_ids if table.image_ids is not None else None
    good = table.boxes.shape == (count, 4) and table.image.shape == (count,) and table.boxes.dtype == np.float64
    if not good or (images is not None and count and not 0 <= table.image.min() <= table.image.max() < len(images)):
        raise FindingError("boxes that are none")


def _pyramid(text: bytes) -> None:
    _Bytes.text = text
    pyramid = JsonPyramid(_Bytes(Path("text")), LevelChoice())
    for image in range(len(pyramid.image_ids)):
        for values in pyramid.read(image):
            if values.shape[:2] != (1, pyramid.channels):
                raise FindingError("levels that are none")


def _options(text: bytes) -> None:
    words = text.decode(errors="surrogateescape")
    for parse in OPTIONS:
        try:
            parse(None, None, words)
        except click.BadParameter as error:
            if len(error.message) > len(words) * 4 + 400:
                raise FindingError("an endless message") from error
    shards_from(words, SLURM)


PARSERS = (_boxes, _pyramid, _options)


def parsed(text: bytes) -> str:
    """Parses a text by every parser; raises FindingError."""
    verdict = "refused"
    for parse in PARSERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parse(text)
            verdict = "read"
        except (InputError, UsageError) as error:
            if "\n" in str(error).replace("\\n", "") and b"\n" not in text:
                raise FindingError(f"{parse.__name__}: more than a line: {error}") from error
        except FindingError:
            raise
        except Exception as error:
            raise FindingError(f"{parse.__name__}: {type(error).__name__}: {error}"[:300]) from error
    return verdict


def made(rng: random.Random) -> bytes:
    """A text: a good one that was damaged, or pieces in any order."""
    if rng.random() < 0.6:
        return mutated(rng.choice(GOOD), rng)
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 12))).encode(errors="surrogatepass")


def fuzzed(count: int, first: int = 0, seconds: float = 1e9) -> dict:
    """Parses `count` texts; how many were read and what was found."""
    found: dict[str, str] = {}
    read = done = 0
    started = time.monotonic()
    for number in range(first, first + count):
        if number % 256 == 0 and time.monotonic() - started > seconds:
            break
        text = made(random.Random(number))
        done += 1
        try:
            read += parsed(text) == "read"
        except FindingError as finding:
            found.setdefault(str(finding), text.decode(errors="backslashreplace")[:300])
    return {"texts": done * len(PARSERS), "read": read, "found": found}


def guided(count: int) -> int:
    """Has atheris make the texts, with coverage of the package as its guide; ends the process."""
    import atheris

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-runs={count}", "-max_len=400", "-verbosity=0"], parsed)
    atheris.Fuzz()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="texts; each goes to every parser")
    parser.add_argument("--first", type=int, default=0, help="the number of the first text: others are others")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--guided", action="store_true", help="with atheris")
    given = parser.parse_args()
    if given.guided:
        return guided(given.count)
    report = fuzzed(given.count, given.first, given.seconds)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
