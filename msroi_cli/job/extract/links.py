"""The files behind links that a job reads: found before the first crop is made, as `sources` lists them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msroi_cli.io.crops.output import recorded_sources
from msroi_cli.io.crops.schema import is_linked, linked_role
from msroi_cli.io.files.location import Source
from msroi_cli.io.pyramid.base import Pyramid
from msroi_cli.job.join.boxes import JoinedBoxes
from msroi_cli.job.join.geometry import expected

PYRAMID, BOXES = "pyramid", "boxes"


def linked_sources(pyramid: Pyramid, images: Sequence[int], search: bool) -> dict[str, Source]:
    """The files that `images` of the pyramid are read from besides its own, by role.

    All images are opened for it if a link has been met, or if `search` says so; else there are none, which holds until
    one is met. Raises InputError for images that cannot be read.
    """
    links = pyramid.links
    if links is None or not (links or search):
        return {}
    links.close_list(False)
    for image in expected(pyramid, images):
        pyramid.check(image)
    folder = Path(os.path.commonpath([path.absolute().parent for path in pyramid.files()]))
    return {linked_role(PYRAMID, name): source for name, source in links.sources(folder).items()}


def linked_sources_of_boxes(joined: JoinedBoxes) -> dict[str, Source]:
    """The files that the box file leads to, by role."""
    return {linked_role(BOXES, name): source for name, source in joined.linked.items()}


def were_met(out: Path) -> bool:
    """Whether an earlier run for this output, finished or not, has met links."""
    return any(map(is_linked, recorded_sources(out)))
