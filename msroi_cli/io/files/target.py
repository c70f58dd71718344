"""Whether a command may write where it is told to: one check for all of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from msroi_cli.errors import RunError, UsageError

KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# The ends of names by the format that is written under them.
SUFFIXES = {
    "HDF5": (".h5", ".hdf5", ".hdf", ".he5"),
    "JSON": (".json", ".txt"),
    "PNG": (".png",),
    "Parquet": (".parquet", ".pq"),
    "TSV": (".tsv", ".txt"),
    "a folder of NPY files": (".npy",),
    "a folder of NPZ files": (".npz",),
    "a folder of tar files": (".tar",),
    "safetensors": (".safetensors",),
}
# Formats that are read or written here, or that people have beside them.
FOREIGN = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {
    *(".pt", ".pth", ".pkl", ".onnx", ".mat", ".zarr", ".lmdb", ".arrow", ".feather"),
    *(".jsonl", ".csv", ".xml", ".yaml", ".yml", ".md", ".html", ".zip", ".tar", ".gz", ".zst"),
    *(".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".pdf"),
}


def check_target(
    path: Path, overwrite: bool, hint: str = "--overwrite replaces it", inputs: Iterable[str | Path] = ()
) -> None:
    """Raises UsageError unless `path` is a new file in an existing folder, or a file that may be replaced.

    With `overwrite` a regular file is replaced, but none of the `inputs`: files, and folders with all that is in them.
    Symbolic links, folders, FIFOs and devices never are.
    """
    check_apart(path, inputs)
    other = kind_of(path)
    if other not in (None, "a file"):
        to = f" to {os.path.realpath(path)}" if other == KINDS[stat.S_IFLNK] else ""
        raise UsageError(f"{path}: expected the name of a file to write, got {other}{to}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: expected an existing folder to write to, got {path.parent}")
    if not overwrite and other:
        raise UsageError(f"{path}: exists already; {hint}")
    _check_name(path)


def _check_name(path: Path) -> None:
    """Raises RunError for a name that is longer than the file system allows."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def check_suffix(path: Path, written: str) -> None:
    """Raises UsageError where the end of a name says another format than `written`, one of SUFFIXES.

    A name without an end, or with one that is no format's, says nothing.
    """
    suffix = path.suffix.lower()
    if suffix in FOREIGN and suffix not in SUFFIXES[written]:
        raise UsageError(f"{path}: expected a name for {written} ({', '.join(SUFFIXES[written])}), got {suffix}")


def kind_of(path: Path) -> str | None:
    """What is at `path`, links not followed: "a file", "a folder", "a symbolic link" ...; None if nothing is."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        # Nothing, or a name that cannot be, about which whoever opens it says so.
        return None
    return "a file" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "something else")


def check_apart(path: Path, inputs: Iterable[str | Path]) -> None:
    """Raises UsageError if `path` is one of the `inputs` under any name, or a file in a folder of them."""
    there = os.path.lexists(path)
    for source in inputs:
        # What is not there yet is none of the files that are.
        if (there or not os.path.exists(source)) and is_input(path, Path(source)):  # noqa: PTH110
            raise UsageError(f"{path}: expected an output apart from the inputs, got the input {source}")


def check_folder_apart(folder: Path, inputs: Iterable[str | Path]) -> None:
    """Raises UsageError if one of the `inputs` is in the folder that is to be replaced, or is the folder."""
    for source in map(Path, inputs):
        below = Path(os.path.realpath(source)).is_relative_to(os.path.realpath(folder))
        if below or is_input(source, folder):
            raise UsageError(
                f"{folder}: expected an output apart from the inputs, got the folder of the input {source}"
            )


def is_input(path: Path, source: Path) -> bool:
    """Whether `path` is the file `source`, or one of those in the folder `source`, through whatever links."""
    if not os.path.lexists(path) or not source.is_dir():
        return same_file(path, source)
    return any(same_file(path, Path(folder, name)) for folder, _, names in os.walk(source) for name in names)


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are, or would be, of one file."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
