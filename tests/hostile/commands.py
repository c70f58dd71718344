"""Every command that reads a kind of file, by name: the command line, given the hostile file and good ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders import IDS, extracted, random_rows, run, write_batched, write_json

IMAGE_COUNT = len(IDS)


@dataclass(frozen=True)
class Good:
    """Good files of each kind, for what a command needs besides the hostile one."""

    pyramid: Path
    boxes: Path
    crops: Path
    picture: Path


def good_files(folder: Path) -> Good:
    """Makes them, and has each command run once: what it imports, no child of a fork need import again."""
    pyramid = write_batched(folder / "good-maps.h5", ids=IDS)
    boxes = write_json(folder / "good-boxes.json", random_rows(8, IMAGE_COUNT).tolist())
    extracted(folder / "good-crops.h5", pyramid, boxes, "-q", "--output-size", "2")
    picture = folder / "good.png"
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(picture)
    good = Good(pyramid, boxes, folder / "good-crops.h5", picture)
    warm = folder / "warm"
    for kind, file in (("pyramid", pyramid), ("boxes", boxes), ("crops", good.crops), ("picture", picture)):
        for name, line in BY_KIND[kind].items():
            (warm / kind / name).mkdir(parents=True)
            run(*line(file, good, warm / kind / name))
    return good


Line = Callable[[object, Good, Path], list[object]]

PYRAMID: dict[str, Line] = {
    "extract": lambda file, good, out: ["extract", file, good.boxes, "-o", out / "o.h5", "--output-size", "2", "-q"],
    "inspect": lambda file, good, out: ["inspect", file],
    "validate": lambda file, good, out: ["validate", file, good.boxes, "-q"],
    "preview boxes": lambda file, good, out: ["preview", "boxes", file, good.boxes, "-o", out / "o.png"],
    "preview pyramid": lambda file, good, out: ["preview", "pyramid", file, "-o", out / "o.png"],
    "verify --against": lambda file, good, out: ["verify", good.crops, "--recompute", "9", "--against", file, "-q"],
    "export --pyramid": lambda file, good, out: [
        *("export", good.crops, out / "o.tsv", "--layout", "tsv", "--pyramid", file, "-q")
    ],
}
BOXES: dict[str, Line] = {
    "extract": lambda file, good, out: ["extract", good.pyramid, file, "-o", out / "o.h5", "--output-size", "2", "-q"],
    "inspect": lambda file, good, out: ["inspect", file],
    "validate": lambda file, good, out: ["validate", good.pyramid, file, "-q"],
    "assign": lambda file, good, out: ["assign", file, "--strides", "4,8,16", "-q"],
    "preview boxes": lambda file, good, out: ["preview", "boxes", good.pyramid, file, "-o", out / "o.png"],
}
CROPS: dict[str, Line] = {
    "inspect": lambda file, good, out: ["inspect", file],
    "stats": lambda file, good, out: ["stats", file, "-q"],
    "verify": lambda file, good, out: ["verify", file, "-q"],
    "verify --recompute": lambda file, good, out: [
        *("verify", file, "--recompute", "9", "--against", good.pyramid, "-q")
    ],
    "export padded": lambda file, good, out: ["export", file, out / "o.h5", "--layout", "padded", "-q"],
    "export npz": lambda file, good, out: ["export", file, out / "o", "--layout", "npz", "-q"],
    "export tsv": lambda file, good, out: [
        *("export", file, out / "o.tsv", "--layout", "tsv", "--pyramid", good.pyramid, "-q")
    ],
    "preview crops": lambda file, good, out: ["preview", "crops", file, "-o", out / "o.png"],
}
PICTURE: dict[str, Line] = {
    "preview boxes": lambda file, good, out: [
        *("preview", "boxes", good.pyramid, good.boxes, "--picture", file, "-o", out / "o.png")
    ],
    "preview crops": lambda file, good, out: [
        *("preview", "crops", good.crops, "--picture", file, "--pyramid", good.pyramid, "-o", out / "o.png")
    ],
    "preview pyramid": lambda file, good, out: [
        *("preview", "pyramid", good.pyramid, "--picture", file, "-o", out / "o.png")
    ],
}
BY_KIND = {"pyramid": PYRAMID, "boxes": BOXES, "crops": CROPS, "picture": PICTURE}
