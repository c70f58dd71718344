"""Opens and reads every dataset of every group: `python each_dataset.py PYRAMID`."""

from __future__ import annotations

import sys

import h5py


def main(pyramid: str) -> None:
    with h5py.File(pyramid) as file:
        for image in file.values():
            for level in image.values():
                level[()]


if __name__ == "__main__":
    main(sys.argv[1])
