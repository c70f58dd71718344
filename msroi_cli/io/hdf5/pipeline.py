"""The filters of HDF5 chunks: which ones may be read, and how many bytes a chunk can have after them.

Filters that HDF5 would load as plug-ins are refused by name. Sizes that no filter can give are a damaged index: HDF5
would read past a buffer, or fill memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from msroi_cli.errors import InputError

DEFLATE, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALEOFFSET, LZF = 1, 2, 3, 4, 5, 6, 32000

FILTER_NAMES = {
    DEFLATE: "gzip",
    SHUFFLE: "shuffle",
    FLETCHER32: "fletcher32",
    SZIP: "szip",
    NBIT: "nbit",
    SCALEOFFSET: "scaleoffset",
    LZF: "lzf",
}

# A filter makes of n bytes at least n / ratio. Deflate: zlib's technical notes, 1032:1. LZF: 264 bytes of 3.
# The others have no bound of their own: a chunk of more than SMALL bytes has to have stored some.
LARGEST_RATIO = {DEFLATE: 1032, LZF: 88, SZIP: 1 << 12, NBIT: 1 << 12, SCALEOFFSET: 1 << 12}
CHECKSUM_BYTES = 4

# Chunks that cannot become larger than this are not inflated to see how large they become.
SMALL = 16 << 20


def filter_codes(plist: Any, where: object) -> tuple[int, ...]:
    """The codes of a dataset's filters, in the order in which they were applied; raises InputError for others."""
    codes: list[int] = []
    for index in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(index)
        if code not in FILTER_NAMES:
            text = name.decode(errors="replace").strip("\0") or "unnamed"
            raise InputError(
                f"{where}: expected one of the filters {', '.join(FILTER_NAMES.values())}, got filter {code}, {text}"
            )
        if code in codes:
            raise InputError(f"{where}: expected each filter once, got {FILTER_NAMES[code]} twice")
        codes.append(code)
    return tuple(codes)


def is_bounded(content: bytes, filters: Sequence[int], whole: int) -> bool:
    """Whether a chunk that went through `filters`, in this order, does not inflate to more than it can have had.

    HDF5 inflates whatever there is. What comes of the other filters is bounded by `possible_sizes`.
    """
    if DEFLATE not in filters or len(content) * LARGEST_RATIO[DEFLATE] <= max(2 * whole, SMALL):
        return True
    at = list(filters).index(DEFLATE)
    if any(code != FLETCHER32 for code in filters[at + 1 :]):
        return False
    limit = possible_sizes(filters[:at], whole)[1]
    stream = zlib.decompressobj()
    try:
        return len(stream.decompress(content, limit + 1)) <= limit
    except zlib.error:
        return False


def possible_sizes(filters: Sequence[int], whole: int) -> tuple[int, int]:
    """The fewest and the most bytes that `filters`, in this order, can make of `whole` bytes."""
    low = high = whole
    for code in filters:
        if code == FLETCHER32:
            low, high = low + CHECKSUM_BYTES, high + CHECKSUM_BYTES
        elif code != SHUFFLE:
            unbounded = code in (SZIP, NBIT, SCALEOFFSET) and whole <= SMALL
            low, high = 1 if unbounded else max(1, low // LARGEST_RATIO[code]), 2 * high + 1024
    return low, high
