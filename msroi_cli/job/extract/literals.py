"""The texts that options of `extract` take, as types."""

from __future__ import annotations

from typing import Literal, TypeAlias

BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]
BoxSpace: TypeAlias = Literal["original", "input"]
ImageKey: TypeAlias = Literal["index", "id", "file_name"]
OnBadBox: TypeAlias = Literal["error", "drop", "zero", "nan"]
OnNonfinite: TypeAlias = Literal["warn", "error"]
OnUnknownImage: TypeAlias = Literal["error", "skip"]
Dtype: TypeAlias = Literal["float16", "float32", "float64"]
Reduce: TypeAlias = Literal["mean", "max"]
Order: TypeAlias = Literal["input", "image"]
CompressionName: TypeAlias = Literal["gzip", "lzf"]
