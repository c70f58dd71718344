"""How large the jobs are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msroi_cli.bench.workloads import WORKLOADS, Workload

QUICK_IMAGES, QUICK_SMALL_IMAGES = 2, 5
SMALL_CHANNELS, SMALL_SIDES = 8, (16, 8, 4, 2)
# Of a small image in its file, beside the numbers themselves: its group and its datasets.
SMALL_OVERHEAD = 4096


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured.

    images: of 800 x 1344 pixels. boxes: how many an image, a job each. small_images: of the job of small images, or 0.
    gzip: how levels are compressed: "image", chunks of 32 channels of an image, "auto", as h5py chooses them, or None.
    cold: whether levels come from the disk, not from the cache of the system.
    quick: whether images are an eighth as high and wide, with few channels.
    """

    images: int = 20
    boxes: tuple[int, ...] = (36, 100, 1000)
    small_images: int = 50_000
    gzip: str | None = None
    cold: bool = False
    quick: bool = False

    def workload(self) -> Workload:
        """The images."""
        work = WORKLOADS["7x7"].quick() if self.quick else WORKLOADS["7x7"]
        return replace(work, images=self.images)

    def small(self) -> Sizes:
        """Small and few images, for a check that all of it runs."""
        images, small_images = min(self.images, QUICK_IMAGES), min(self.small_images, QUICK_SMALL_IMAGES)
        return replace(self, images=images, small_images=small_images, quick=True)
