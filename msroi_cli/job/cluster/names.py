"""Names of files for workers whose current folder is another one."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from pathlib import Path

from msroi_cli.io.files.location import Location
from msroi_cli.job.request import ExtractRequest


def absolute(request: ExtractRequest) -> ExtractRequest:
    """The same request, its names of files from the root on."""
    box, model = request.box, request.model
    if model is not None:
        preprocessor = None if model.preprocessor is None else Path.cwd() / model.preprocessor
        model = replace(model, pictures=absolute_name(model.pictures), preprocessor=preprocessor)
    if box.coco_images is not None:
        box = box._replace(coco_images=absolute_name(box.coco_images))
    pyramid, boxes = (
        absolute_name(name) if isinstance(name, str) else name for name in (request.pyramid, request.boxes)
    )
    return request._replace(pyramid=pyramid, boxes=boxes, out=Path.cwd() / request.out, box=box, model=model)


def absolute_name(text: str) -> str:
    """A file, FILE::/group, a pattern or @FILE from the root on; `..` stays, which may follow a link."""
    list_mark, name = ("@", text[1:]) if text.startswith("@") else ("", text)
    folder = str(Path.cwd())
    if not list_mark and not Location.parse(name).path.exists() and glob.has_magic(name):
        folder = glob.escape(folder)
    return list_mark + os.path.join(folder, name)  # noqa: PTH118 keeps FILE::/group as it is
