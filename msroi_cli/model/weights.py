"""The files of weights that an ONNX model refers to, found in its bytes without the package onnx."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

# Message to field number to the message that the field holds, of onnx.proto: what can hold a tensor.
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
}
KEY, VALUE = 1, 2
LOCATION = b"location"

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Bytes = bytes | mmap.mmap
Field = tuple[int, int, int]
"""A field's number, and where its bytes begin and end."""


class _DamagedError(Exception):
    """The bytes are no message."""


def files_of_weights(path: Path) -> list[Path]:
    """The regular files that tensors of a model lie in, each once, by name; of what is no model, none.

    Raises OSError if the model cannot be read.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            names = locations(content)
    found = (path.parent / name for name in names if "\x00" not in name)
    return [file for file in found if file.is_file()]


def locations(content: Bytes) -> list[str]:
    """The names of the files, below the model's folder, that the tensors of a ModelProto lie in, sorted."""
    if content.find(LOCATION) < 0:
        return []
    try:
        return sorted({name.decode() for name in _locations(content)})
    except (_DamagedError, UnicodeDecodeError):
        return []


def _locations(content: Bytes) -> Iterator[bytes]:
    waiting = [("ModelProto", 0, len(content))]
    while waiting:
        message, start, end = waiting.pop()
        fields = _fields(content, start, end)
        if message == "StringStringEntryProto":
            entry = {number: content[first:last] for number, first, last in fields}
            if entry.get(KEY) == LOCATION:
                yield entry.get(VALUE, b"")
        else:
            inner = MESSAGES[message]
            waiting += [(inner[number], first, last) for number, first, last in fields if number in inner]


def _fields(content: Bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a message that hold bytes; the others are skipped."""
    at = start
    while at < end:
        tag, at = _varint(content, at, end)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(content, at, end)
        elif kind == FIXED64:
            at += 8
        elif kind == FIXED32:
            at += 4
        elif kind == BYTES:
            length, at = _varint(content, at, end)
            if length > end - at:
                raise _DamagedError
            yield tag >> 3, at, at + length
            at += length
        else:
            raise _DamagedError


def _varint(content: Bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _DamagedError
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _DamagedError
