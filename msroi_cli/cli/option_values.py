"""Parsers of option values: Click callbacks that return the value or raise BadParameter."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from msroi_cli.core.spec import MAX_OUTPUT_SIDE, MAX_SCALE, MIN_SCALE

if TYPE_CHECKING:
    from msroi_cli.job.shards import Shard


def size(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, int]:
    """`7` or `7x5`: bins of a crop, height x width."""
    match = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text.lower())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < height <= MAX_OUTPUT_SIDE and 0 < width <= MAX_OUTPUT_SIDE):
        raise click.BadParameter(f"expected N or HxW, such as 7 or 7x5, up to {MAX_OUTPUT_SIDE}, got {text[:20]!r}")
    return height, width


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30, "t": 10**12, "ti": 2**40}


def byte_count(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """`512MB`, `1.5GiB`, `1000000`: bytes, at least a mebibyte."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]i?|)b?\s*", text.lower())
    count = float(match[1]) * UNITS[match[2]] if match else 0
    if not 2**20 <= count < 2**60:
        raise click.BadParameter(f"expected a size of at least 1MiB, such as 512MB or 2GiB, got {text!r}")
    return int(count)


def compression(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """`gzip`, `gzip:9` or `lzf`: the name and the level."""
    if text is None:
        return None
    match = re.fullmatch(r"(gzip)(?::([1-9]))?|(lzf)", text)
    if not match:
        raise click.BadParameter(f"expected gzip, gzip:LEVEL with a level from 1 to 9, or lzf, got {text!r}")
    return match[1] or match[3], int(match[2] or 4)


def shards(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[Shard | None, ...]:
    """`3/40`, `3,7/40`, `auto`: the shards to make; one None without any."""
    if text is None:
        return (None,)
    from msroi_cli.job.cluster.environment import shards_from

    return shards_from(text, os.environ)


def names(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`p2,p3,p4`: different names separated by commas."""
    if text is None:
        return None
    found = tuple(name.strip() for name in text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise click.BadParameter(f"expected different names separated by commas, such as p2,p3,p4, got {text!r}")
    return found


def categories(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`1,3` or `person,traffic light`: ids or names separated by commas."""
    if text is None:
        return None
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(found):
        raise click.BadParameter(f"expected ids or names separated by commas, such as 1,3, got {text!r}")
    return found


def image_ids(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`17,4` or `@FILE` with an id a line."""
    if text is None:
        return None
    from msroi_cli.job.join.choice import image_ids_of

    return image_ids_of(text)


DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " ", "pipe": "|"}


def columns(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, str]:
    """`x1=left,score=p,delimiter=semicolon`: names by meaning; an empty name leaves a column out."""
    pairs = [part.partition("=") for part in text.split(",")] if text else []
    found = {key.strip(): name.strip() for key, _, name in pairs}
    if not all(equals for _, equals, _ in pairs) or len(found) < len(pairs):
        raise click.BadParameter(f"expected MEANING=NAME separated by commas, such as x1=left,y1=top, got {text!r}")
    if "delimiter" in found:
        if found["delimiter"] not in DELIMITERS:
            raise click.BadParameter(f"delimiter: expected {', '.join(DELIMITERS)}, got {found['delimiter']!r}")
        found["delimiter"] = DELIMITERS[found["delimiter"]]
    return found


def numbers(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`4,8,16` or, with the y and the x axis apart, `4x4.2,8x8.4`; fractions such as 1/4 too."""
    if text is None:
        return None
    try:
        return tuple(_pair(part) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(
            f"expected numbers above 0 separated by commas, such as 4,8,16, got {text!r}"
        ) from None


def shown(ctx: click.Context, param: click.Parameter, text: str) -> str:
    """`mean`, `pca` or the number of a channel."""
    if text not in ("mean", "pca") and not re.fullmatch(r"[0-9]{1,9}", text):
        raise click.BadParameter(f"expected mean, pca or the number of a channel, got {text!r}")
    return text


LABELS = ("id", "score", "category", "level")


def labels(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    """`category,score`: what is written at a box; nothing if the option is absent."""
    found = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if not set(found) <= set(LABELS) or len(set(found)) < len(found):
        raise click.BadParameter(f"expected {', '.join(LABELS)}, or several separated by commas, got {text!r}")
    return found


def factor(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, float]:
    """`1.6` or `1.6x1.5`: a number above 0 for x and y, or one for each; 1 if the option is absent."""
    try:
        return (1.0, 1.0) if text is None else _pair(text)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"expected a number above 0, or XxY, such as 1.6 or 1.6x1.5, got {text!r}") from None


def _pair(text: str) -> tuple[float, float]:
    pair = [_number(part) for part in text.split("x")]
    if len(pair) > 2:
        raise ValueError(text)
    return pair[0], pair[-1]


def _number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    number = float(numerator) / (float(denominator) if slash else 1)
    if not MIN_SCALE <= number <= MAX_SCALE:
        raise ValueError(text)
    return number
