"""Damage: bytes of a file changed in the ways that lead parsers astray."""

from __future__ import annotations

import random
import struct

# Lengths, counts and addresses that are off by one, beyond any file, or negative where they are signed.
INTERESTING = (
    0,
    1,
    2,
    7,
    8,
    255,
    256,
    4095,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place = rng.randrange(len(content))
        content[place] ^= 1 << rng.randrange(8)


def _byte(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] = rng.choice((0, 1, 2, 3, 4, 5, 8, 16, 127, 128, 254, 255))


def _number(content: bytearray, rng: random.Random) -> None:
    """A number of 1, 2, 4 or 8 bytes becomes another, or one near to it."""
    size = rng.choice((1, 2, 4, 8, 8))
    if len(content) < size:
        return
    step = rng.choice((1, size))
    place = rng.randrange(0, len(content) - size + 1, step)
    old = int.from_bytes(content[place : place + size], "little")
    new = rng.choice((*INTERESTING, old + 1, old - 1, old * 2, old // 2, len(content), len(content) - 1))
    content[place : place + size] = (new % (1 << 8 * size)).to_bytes(size, "little")


def _other_number(content: bytearray, rng: random.Random) -> None:
    """A number that occurs in the file takes the place of another: addresses become other addresses."""
    if len(content) < 64:
        return
    one, other = (rng.randrange(0, len(content) - 8, 8) for _ in range(2))
    content[one : one + 8] = content[other : other + 8]


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _zeros(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    size = min(rng.choice((4, 16, 64, 512)), len(content) - start)
    content[start : start + size] = bytes(size)


def _copy(content: bytearray, rng: random.Random) -> None:
    """A block lies over another."""
    size = min(rng.choice((4, 16, 64, 256)), len(content))
    one, other = (rng.randrange(len(content) - size + 1) for _ in range(2))
    content[one : one + size] = content[other : other + size]


def _insert(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.randbytes(rng.choice((1, 2, 8, 64)))


def _remove(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content))
    del content[place : place + rng.choice((1, 2, 8, 64))]


def _signature(content: bytearray, rng: random.Random) -> None:
    """The bytes behind one of HDF5's own signatures are changed: there its structures begin."""
    known = [
        mark
        for mark in (b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FADB", b"EAHD", b"BTHD", b"BTLF", b"FAHD", b"GCOL")
        if mark in content
    ]
    if not known:
        return _number(content, rng)
    start = content.index(rng.choice(known))
    place = start + rng.randrange(4, 64)
    if place + 8 <= len(content):
        struct.pack_into("<Q", content, place, rng.choice(INTERESTING))
    return None


WAYS = (_flip, _byte, _number, _number, _number, _other_number, _cut, _zeros, _copy, _insert, _remove, _signature)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to three of the ways of damage done to it."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if damaged:
            rng.choice(WAYS)(damaged, rng)
    return bytes(damaged)
