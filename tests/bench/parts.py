"""Folders of parts as `extract --shard` makes them, without the pooling: for measurements of `merge`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from msroi_cli.core.spec import PoolSpec
from msroi_cli.core.stats import CropStats
from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.contiguous import PlainWriter
from msroi_cli.io.crops.parts import Part, part_name
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.schema import Compression, CropsHeader, Results
from msroi_cli.io.crops.writer import Output
from msroi_cli.io.files.checksum import row_checksums
from msroi_cli.io.files.journal import Journal
from msroi_cli.io.files.location import Source
from msroi_cli.job.recipe import Recipe
from msroi_cli.job.request import BoxOptions
from msroi_cli.job.summary import Summary, moments_records, summarize

NAMES, STRIDES = ("p2", "p3", "p4", "p5"), (4, 8, 16, 32)


class NoJournal:
    """Records nothing."""

    def begin(self, identity: object) -> None:
        """Does nothing."""

    def add(self, records: object) -> None:
        """Does nothing."""


def write_parts(
    folder: Path, rows: list[int], row_shape: tuple[int, ...], order: str = "image", gzip: int | None = None
) -> None:
    """Makes the parts of a job: `rows` of each, of one image a row, in image order or dealt out like cards.

    gzip: the level of compression, None for none.
    """
    folder.mkdir()
    rng, total, first = np.random.default_rng(0), sum(rows), 0
    scales = [(1 / stride, 1 / stride) for stride in STRIDES]
    box = BoxOptions(box_format="xyxy", box_space="input", image_key="id")
    parameters = Recipe(PoolSpec.resolve(scales, (7, 7), -1, compat="lucid"), NAMES, box, order=order).as_dict()
    sources = {role: Source(f"{role}.h5", 1 << 30, "sha256:" + "0" * 64, 1) for role in ("pyramid", "boxes")}
    places = np.arange(total) if order == "image" else rng.permutation(total)
    for index, count in enumerate(rows, start=1):
        own = places[first : first + count] if order == "image" else np.sort(places[first : first + count])
        level = rng.integers(0, len(NAMES), count)
        columns: dict[str, Any] = {
            "boxes": rng.uniform((0, 0, 50, 50), (50, 50, 100, 100), (count, 4)).astype(np.float32),
            "image_index": np.arange(count),
            "level": level,
            "status": np.zeros(count),
            "box_index": own,
            "score": rng.random(count),
            "category_id": np.ones(count),
        }
        crops = rng.standard_normal((count, *row_shape), np.float32)
        stats = CropStats.of(crops, level, len(NAMES))
        levels, whole = summarize(columns["boxes"], level, stats, np.full(len(NAMES), math.nan))
        records = Summary(NAMES, scales, levels, whole, {}, math.nan).records()
        shape = (count, *row_shape)
        header = CropsHeader(
            shape,
            np.dtype(np.float32),
            columns,
            [f"{number:08}" for number in range(first, first + count)],
            len(NAMES),
            parameters,
            sources,
            None if gzip is None else Compression.of("gzip", gzip, shape, 4 * math.prod(row_shape), order == "image"),
            part=Part(index, len(rows), first, count, total),
        )
        output = Output(folder / part_name(index, len(rows)), header, {})
        writer = (PlainWriter if header.compression is None else SpoolWriter)(output, cast("Journal", NoJournal()))
        writer.begin(False)
        if count:
            written = writer.write(np.arange(count), crops, row_checksums(crops))
            writer.records = [BatchRecord(0, count, [], written)]
        writer.finish(Results(records, moments_records(stats)))
        writer.close()
        first += count
