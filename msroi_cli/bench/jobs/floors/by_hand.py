"""The job as one writes it by hand, with h5py and torchvision: `python by_hand.py PYRAMID BOXES OUT`.

PYRAMID holds p2 to p5, each (N, C, H, W) with its stride; BOXES is JSON, [[image, x1, y1, x2, y2], ...], by image.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys

import h5py
import numpy as np
import torch

if importlib.util.find_spec("torchvision_cpu"):  # loads torchvision where torch was built for the CPU only
    import torchvision_cpu  # noqa: F401
from torchvision.ops import MultiScaleRoIAlign

LEVELS = ("p2", "p3", "p4", "p5")


def main(pyramid: str, boxes: str, out: str) -> None:
    with open(boxes) as file:  # noqa: PTH123
        rows = np.array(json.load(file), np.float32)
    align = MultiScaleRoIAlign(LEVELS, output_size=7, sampling_ratio=2)
    with h5py.File(pyramid) as features, h5py.File(out, "w") as result:
        channels, height, width = features["p2"].shape[1:]
        stride = int(features["p2"].attrs["stride"])
        crops = result.create_dataset("crops", (len(rows), channels, 7, 7), "f4")
        result["boxes"] = rows[:, 1:]
        result["image_index"] = rows[:, 0].astype(np.int64)
        done = 0
        for image in range(len(features["p2"])):
            maps = {name: torch.from_numpy(features[name][image : image + 1]) for name in LEVELS}
            mine = torch.from_numpy(rows[rows[:, 0] == image, 1:])
            pooled = align(maps, [mine], [(height * stride, width * stride)])
            crops[done : done + len(mine)] = pooled.numpy()
            done += len(mine)
    descriptor = os.open(out, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
