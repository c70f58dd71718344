"""The layouts of `export` by name: what is known of each before anything is written, apart from what writes it."""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """written: the kind of file, or what is in the folder if `is_folder`.

    needs_sizes: whether it says how large images are. needs_vectors: whether it has no room for crops.
    """

    written: str
    is_folder: bool = False
    needs_sizes: bool = False
    needs_vectors: bool = False


LAYOUTS = {
    "padded": Layout("HDF5"),
    "groups": Layout("HDF5", needs_sizes=True),
    "ragged": Layout("HDF5"),
    "npz": Layout("a folder of NPZ files", is_folder=True),
    "tsv": Layout("TSV", needs_sizes=True),
    "npy": Layout("a folder of NPY files", is_folder=True),
    "safetensors": Layout("safetensors"),
    "parquet": Layout("Parquet"),
    "webdataset": Layout("a folder of tar files", is_folder=True),
    "bua": Layout("a folder of NPZ files", is_folder=True, needs_sizes=True, needs_vectors=True),
    "ban": Layout("HDF5", needs_sizes=True, needs_vectors=True),
}
