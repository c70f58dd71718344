"""Where the values of an HDF5 file end: HDF5 reads nothing behind the end that the superblock states.

Source: HDF5 File Format Specification, version 3.0, section II.A: the version is byte 8; then the base address and the
end-of-file address stand at places of their own in each version.
"""

from __future__ import annotations

import struct
from pathlib import Path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
VERSION, LONGEST = 8, 64

# By version: the byte with the size of addresses, and where the base address and the end-of-file address stand.
PLACES = {0: (13, 24, 40), 1: (13, 28, 44), 2: (9, 12, 28), 3: (9, 12, 28)}
ADDRESS = struct.Struct("<Q")


def end_of(path: Path) -> int:
    """The bytes of a file that hold what HDF5 reads; of one with a user block, all. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(LONGEST)
    size = path.stat().st_size
    places = PLACES.get(head[VERSION]) if head.startswith(SIGNATURE) and len(head) == LONGEST else None
    if places is None or head[places[0]] != ADDRESS.size:
        return size
    base, end = (ADDRESS.unpack_from(head, place)[0] for place in places[1:])
    # HDF5 takes a base address that is not that of the superblock, here 0, for a file that was moved by as much.
    return min(size, max(0, int(end) - int(base)))
