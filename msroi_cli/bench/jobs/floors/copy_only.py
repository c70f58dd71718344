"""The job without its arithmetic: `python copy_only.py PYRAMID ROWS OUT` reads all levels and writes as many crops.

PYRAMID holds p2 to p5, each (N, C, H, W). With `by image` or `by level` in place of ROWS OUT, levels are read in such
pieces and nothing is written.
"""

from __future__ import annotations

import os
import sys

import h5py
import numpy as np

LEVELS = ("p2", "p3", "p4", "p5")


def read_by_image(pyramid: str) -> None:
    with h5py.File(pyramid) as features:
        for image in range(len(features["p2"])):
            for name in LEVELS:
                features[name][image]


def read_by_level(pyramid: str) -> None:
    with h5py.File(pyramid) as features:
        for name in LEVELS:
            features[name][:]


def copy(pyramid: str, rows: str, out: str) -> None:
    with h5py.File(pyramid) as features, h5py.File(out, "w") as result:
        images, channels = features["p2"].shape[:2]
        crops = result.create_dataset("crops", (int(rows), channels, 7, 7), "f4")
        each = int(rows) // images
        pooled = np.ones((each, channels, 7, 7), "f4")
        for image in range(images):
            for name in LEVELS:
                features[name][image]
            crops[image * each : (image + 1) * each] = pooled
    descriptor = os.open(out, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    if sys.argv[2] == "by":
        {"image": read_by_image, "level": read_by_level}[sys.argv[3]](sys.argv[1])
    else:
        copy(*sys.argv[1:])
