"""Very many small images: `python -m tests.bench.small_images`.

`msroi extract` beside a loop that opens and reads every dataset with h5py (each_dataset.py) and pools nothing. One
group an image, 4 levels of 8 channels float32, the finest 16 x 16, one box an image; warm cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from msroi_cli.cli.output import table
from tests.bench.whole_jobs import HERE, MSROI, OPTIONS, medians, touch_memory

LOOP = "h5py, every dataset"
CHANNELS, FINEST, LEVELS = 8, 16, 4


def write_pyramid(path: Path, images: int) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for number in range(images):
            group = file.create_group(f"{number:06}")
            for level in range(LEVELS):
                side = FINEST >> level
                values = rng.standard_normal((CHANNELS, side, side), np.float32)
                group.create_dataset(f"p{level + 2}", data=values).attrs["stride"] = 4 << level


def write_boxes(path: Path, images: int) -> None:
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 30, (images, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 30, (images, 2))], axis=1).tolist()
    path.write_text(json.dumps({f"{number:06}": [box] for number, box in enumerate(boxes)}))


def run(folder: Path, images: int, repeat: int) -> dict[str, float]:
    """The median seconds of each contestant."""
    pyramid, boxes, out = folder / "small.h5", folder / "boxes.json", folder / "out.h5"
    write_pyramid(pyramid, images)
    write_boxes(boxes, images)
    commands = {
        MSROI: [sys.executable, "-m", "msroi_cli", "extract", str(pyramid), str(boxes), "-o", str(out), *OPTIONS],
        LOOP: [sys.executable, str(HERE / "peers" / "each_dataset.py"), str(pyramid)],
    }
    return medians(commands, repeat, lambda name: touch_memory(folder, images * CHANNELS * 49 * 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go for a while: about 3 GB by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        seconds = run(Path(folder), given.images, given.repeat)
    shown = [f"{spent:.2f} s ({spent / seconds[MSROI]:.2f}x)" for spent in seconds.values()]
    print(table(["job", *seconds], [[f"{given.images} images", *shown]]))  # noqa: T201


if __name__ == "__main__":
    main()
