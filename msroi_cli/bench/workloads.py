"""The workloads, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

QUICK_CHANNELS = 20
QUICK_BOXES = 6
QUICK_SHRINK = 8
QUICK_BINS = 14


@dataclass(frozen=True, slots=True)
class Workload:
    """Boxes to pool from a pyramid of random numbers.

    input_size: (height, width) of an image in pixels. boxes: how many an image.
    box_sides: (least, most) sqrt(w * h) in input pixels, log-uniform; None: every box is the whole image.
    sampling_ratio: samples per bin and axis; 0: adaptive.
    module: also measured against torchvision's MultiScaleRoIAlign, as the module that people call.
    """

    name: str
    output_size: int = 7
    sampling_ratio: int = 2
    images: int = 2
    channels: int = 256
    input_size: tuple[int, int] = (800, 1344)
    strides: tuple[int, ...] = (4, 8, 16, 32)
    boxes: int = 1000
    box_sides: tuple[float, float] | None = (16, 600)
    dtype: str = "float32"
    module: bool = False

    def level_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each level in cells."""
        height, width = self.input_size
        return [(-(-height // stride), -(-width // stride)) for stride in self.strides]

    def about(self) -> str:
        """The workload in a line."""
        maps = ", ".join(f"{height}x{width}" for height, width in self.level_sizes())
        boxes = f"{self.boxes} whole-image boxes" if self.box_sides is None else f"{self.boxes} boxes"
        ratio = f"ratio {self.sampling_ratio}" if self.sampling_ratio else "adaptive"
        return (
            f"{self.images} x {boxes}, {self.channels} channels {self.dtype} of {maps}, "
            f"{self.output_size}x{self.output_size} bins, {ratio}"
        )

    def quick(self) -> Workload:
        """A small version of this workload."""
        height, width = self.input_size
        return replace(
            self,
            channels=min(self.channels, QUICK_CHANNELS),
            boxes=min(self.boxes, QUICK_BOXES),
            input_size=(height // QUICK_SHRINK, width // QUICK_SHRINK),
            output_size=min(self.output_size, QUICK_BINS),
        )


_ALL = (
    Workload("7x7"),
    Workload("7x7-adaptive", sampling_ratio=0),
    Workload("14x14", output_size=14),
    Workload("14x14-adaptive", output_size=14, sampling_ratio=0),
    Workload("1-box", images=1, input_size=(256, 256), boxes=1, box_sides=(100, 200), module=True),
    Workload("36-boxes", boxes=36),
    Workload("10000-boxes", boxes=5000),
    Workload("1-channel", channels=1),
    Workload("2048-channels", images=1, channels=2048, strides=(32,), input_size=(800, 1088), boxes=300),
    Workload("p3-p7", strides=(8, 16, 32, 64, 128)),
    Workload("float16", dtype="float16"),
    Workload("56x56", output_size=56, boxes=50),
    Workload("whole-image", strides=(4,), boxes=8, box_sides=None),
    Workload("whole-image-adaptive", strides=(4,), boxes=8, box_sides=None, sampling_ratio=0),
)
WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _ALL}
