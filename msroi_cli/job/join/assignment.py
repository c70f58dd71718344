"""Which levels a box is pooled from: that of the canonical rule, one for all boxes, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msroi_cli.errors import UsageError
from msroi_cli.io.pyramid.base import Pyramid

CANONICAL, ALL = "canonical", "all"


class LevelPass(NamedTuple):
    """Boxes are pooled from `level` into the channels from `start` to `stop` of a crop; None: each from its own."""

    level: int | None
    start: int
    stop: int


class Assignment(NamedTuple):
    """The passes that make a crop, one after another along the channels. level: that of all boxes, if it is one."""

    passes: tuple[LevelPass, ...]
    level: int | None = None

    @classmethod
    def of(cls, name: str, pyramid: Pyramid) -> Assignment:
        """What `--assign NAME` means for a pyramid: "canonical", "all" or a level's name; raises UsageError."""
        channels, names = pyramid.level_channels, [level.name for level in pyramid.levels]
        if name == CANONICAL:
            return cls((LevelPass(None, 0, pyramid.channels),))
        if name == ALL:
            ends = np.cumsum([0, *channels]).tolist()
            return cls(tuple(LevelPass(level, ends[level], ends[level + 1]) for level in range(len(channels))))
        if name not in names:
            raise UsageError(f"--assign: expected canonical, all or one of {', '.join(names)}, got {name}")
        level = names.index(name)
        return cls((LevelPass(None, 0, channels[level]),), level)

    @property
    def channels(self) -> int:
        """The channels of a crop."""
        return self.passes[-1].stop

    def used(self, levels: Sequence[int]) -> list[int]:
        """The levels that are read of an image whose boxes have `levels`, ascending."""
        return sorted({level for one in self.passes for level in ((one.level,) if one.level is not None else levels)})

    def of_boxes(self, levels: NDArray[np.int8]) -> NDArray[np.int8]:
        """The levels (K,) of boxes, whose rule says `levels`, negative where a box is not pooled."""
        return levels if self.level is None else np.where(levels < 0, levels, np.int8(self.level))
