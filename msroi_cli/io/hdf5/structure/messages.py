"""The messages of data object headers of version 1, from their bytes.

Source: HDF5 File Format Specification, version 3.0, IV.A.1.a (headers), IV.A.2.m and q (attributes, continuations).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

# The version, how many messages there are, how many links lead to the object, and the size of the first block.
PREFIX = struct.Struct("<BxHII4x")
MESSAGE = struct.Struct("<HHB3x")

ATTRIBUTE, ATTRIBUTES_ELSEWHERE, CONTINUATION = 0x0C, 0x15, 0x10
SHARED = 0b10

# The address and the size of another block of messages.
NEXT_BLOCK = struct.Struct("<QQ")


class Message(NamedTuple):
    """A message: its type and flags, and where its body is in the block."""

    kind: int
    flags: int
    first: int
    stop: int


class AttributeParts(NamedTuple):
    """The name of an attribute, and where in the block its name ends, and its values begin."""

    name: bytes
    named: int
    first: int


def messages(block: bytes, start: int = 0) -> Iterator[Message]:
    """The messages of a block from its byte `start` on; raises ValueError for one that does not fit in."""
    while start + MESSAGE.size <= len(block):
        kind, size, flags = MESSAGE.unpack_from(block, start)
        first, start = start + MESSAGE.size, start + MESSAGE.size + size
        if start > len(block):
            raise ValueError("expected a message that its block holds")
        yield Message(kind, flags, first, start)


# By the version of an attribute: the size of what stands before its name, and to multiples of how many bytes its parts
# are filled up.
FORMS = {1: (8, 8), 2: (8, 1), 3: (9, 1)}
SIZES = struct.Struct("<BBHHH")


def attribute_parts(block: bytes, message: Message) -> AttributeParts:
    """The parts of an attribute; raises ValueError for one of another version, or with a part that is elsewhere."""
    if message.flags & SHARED or message.stop - message.first < SIZES.size:
        raise ValueError("expected an attribute with all its parts")
    version, flags, *sizes = SIZES.unpack_from(block, message.first)
    if version not in FORMS or (version > 1 and flags):
        raise ValueError("expected an attribute with all its parts")
    before, multiple = FORMS[version]
    name, kind, space = (-(-size // multiple) * multiple for size in sizes)
    start = message.first + before
    if start + name + kind + space > message.stop:
        raise ValueError("expected an attribute that its message holds")
    return AttributeParts(block[start : start + sizes[0]].rstrip(b"\0"), start + name, start + name + kind + space)
