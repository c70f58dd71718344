"""From pictures to crops, beside the model alone: `python -m tests.bench.pictures`.

`msroi extract MODEL --pictures` beside a process that opens the same model with ONNX Runtime, reads and resizes the
same pictures one after another, runs the model and throws its outputs away (model_alone.py), and beside the same
process on zeros of the same sizes, without reading pictures. These two have ONNX Runtime's own options, but as many
threads. JPEG pictures of different sizes, boxes in their pixels; three levels of 256 channels. Whole processes, in
turns, every other one backwards: wall and processor seconds, and the peak memory of each. Then msroi again with a
quarter of the pictures, for its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msroi_cli.cli.output import table
from tests.onnx_models import save_fpn

HERE = Path(__file__).parent
OUTPUTS = "p2=p2,p3=p3,p4=p4"
SHORTEST, LONGEST = 800, 1333
FUSED, FEWER = "msroi, pictures to crops", "msroi, a quarter of the pictures"
ALONE, BLANK = "model alone, over pictures", "model alone, over zeros"


def write_pictures(folder: Path, count: int) -> dict[str, tuple[int, int]]:
    """Smooth pictures of different sizes, as JPEG; their (width, height) by id."""
    rng = np.random.default_rng(0)
    sizes = {}
    folder.mkdir()
    for number in range(count):
        size = (int(rng.integers(400, 640)), int(rng.integers(400, 640)))
        small = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:04}.jpg", quality=90)
        sizes[f"{number:04}"] = size
    return sizes


def write_boxes(path: Path, sizes: dict[str, tuple[int, int]], per_image: int) -> None:
    """Boxes {id: [[x1, y1, x2, y2]]} of many sizes."""
    rng = np.random.default_rng(1)
    boxes = {}
    for key, size in sizes.items():
        sides = np.exp(rng.uniform(np.log(8), np.log(300), (per_image, 2)))
        corners = rng.uniform(0, 0.8, (per_image, 2)) * size
        boxes[key] = np.concatenate([corners, corners + sides], axis=1).tolist()
    path.write_text(json.dumps(boxes))


def timed(command: list[str], threads: int) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and peak bytes of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, "MSROI_NUM_THREADS": str(threads)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    spent = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return spent, usage.ru_utime + usage.ru_stime, peak(usage)


def peak(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(folder: Path, pictures: int, boxes: int, repeat: int, threads: int) -> dict[str, Any]:
    """Medians of wall seconds, processor seconds and peak bytes by contestant; the wall time of msroi by that of the
    model alone in each turn; and what was written."""
    save_fpn(folder / "model.onnx", channels=256, widths=(64, 128, 256, 512))
    sizes = write_pictures(folder / "pictures", pictures)
    write_boxes(folder / "boxes.json", sizes, boxes)
    write_boxes(folder / "fewer.json", dict(list(sizes.items())[: max(1, pictures // 4)]), boxes)
    before = set(folder.rglob("*"))
    model, shown = str(folder / "model.onnx"), str(folder / "pictures")
    alone = [
        sys.executable,
        str(HERE / "peers" / "model_alone.py"),
        model,
        shown,
        *map(str, (SHORTEST, LONGEST, threads)),
    ]
    commands = {
        FUSED: fused(folder, "boxes.json"),
        ALONE: alone,
        BLANK: [*alone, "blank"],
    }
    taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
    for turn in range(repeat):
        for name in sorted(commands, reverse=turn % 2 > 0):
            taken[name].append(timed(commands[name], threads))
    taken[FEWER] = [timed(fused(folder, "fewer.json"), threads)]
    written = set(folder.rglob("*")) - before
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in taken.items()}
    walls = [rows[0] / alone[0] for rows, alone in zip(taken[FUSED], taken[ALONE], strict=True)]
    return {"medians": medians, "walls": walls, "written": sorted(path.name for path in written)}


def fused(folder: Path, boxes: str) -> list[str]:
    """The command from pictures to crops."""
    command = [sys.executable, "-m", "msroi_cli", "extract", str(folder / "model.onnx"), str(folder / boxes)]
    command += ["--pictures", str(folder / "pictures"), "--outputs", OUTPUTS]
    return [
        *command,
        "--resize",
        f"shortest={SHORTEST},longest={LONGEST}",
        "-q",
        "--overwrite",
        "-o",
        str(folder / "out.h5"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--boxes", type=int, default=50, help="of a picture")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), given.pictures, given.boxes, given.repeat, given.threads)
    base = result["medians"][ALONE]
    rows = [
        [
            name,
            f"{wall:.1f} s",
            f"{wall / base[0]:.3f}x",
            f"{cpu:.1f} s",
            f"{cpu / base[1]:.3f}x",
            f"{size / 1e6:.0f} MB",
        ]
        for name, (wall, cpu, size) in result["medians"].items()
    ]
    text = f"{given.pictures} pictures, {given.boxes} boxes each, {given.threads} threads; medians of {given.repeat}\n"
    text += table(("", "wall", "ratio", "processors", "ratio", "peak memory"), rows)
    walls = ", ".join(f"{ratio:.3f}" for ratio in result["walls"])
    text += (
        f"\nmsroi by the model alone, wall time in each turn: {walls}; median {statistics.median(result['walls']):.3f}"
    )
    sys.stdout.write(f"{text}\nwritten: {', '.join(result['written'])}\n")


if __name__ == "__main__":
    main()
