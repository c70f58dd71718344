"""What the user says of a model and its pictures, as typed and not yet looked up in any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BAD_PICTURE_POLICIES = ("error", "skip")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How pictures become levels.

    pictures: a folder, a pattern or `@FILE`, see `pictures.find_pictures`. outputs: tensors by level name, finest
    first; None: the user has to be told which there are. layout: of outputs of rank 4, "chw" or "hwc". patch and
    prefix_tokens: of outputs that are tokens. preprocessor: a `preprocessor_config.json`. changes: fields of
    `Preprocessing` that stand in place of those of the file. providers: of ONNX Runtime, None for its processor.
    on_bad_picture: "error" or "skip".
    """

    pictures: str
    outputs: Mapping[str, str] | None = None
    layout: str = "chw"
    patch: int | None = None
    prefix_tokens: int | None = None
    preprocessor: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    providers: Sequence[str] | None = None
    on_bad_picture: str = "error"
