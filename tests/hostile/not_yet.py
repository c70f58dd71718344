"""Hostile files that some command does not refuse yet, by the rule they break; each has to go when it is refused."""

from __future__ import annotations

BY_RULE: dict[str, list[str]] = {
    "a chunk that LZF does not make smaller is stored as it is, and any bytes are values": [
        "pyramid: an LZF chunk of garbage",
    ],
    "HDF5 itself takes chunks without filters to be whole, whatever size the index says": [
        "pyramid: a plain chunk that is too short",
        "pyramid: a plain chunk that is too long",
    ],
    "boxes that cannot be pooled are refused": [
        "boxes: rows of 400 digits as boxes by image",
    ],
    "the header of an array is what NumPy writes": [
        "pyramid: NPZ with a negative shape",
        "pyramid: NPZ with a shape of 2^62",
        "pyramid: NPZ with a shape of 2^200",
        "pyramid: NPZ with declared strides of 2^40",
        "pyramid: NPZ with declared ids of 10^9",
    ],
    "an array is as long as its header says": [
        "pyramid: NPZ with a level of 2 GB that is not there",
    ],
    "an archive cannot ask for more than it has": [
        "pyramid: NPZ with strides of 2 GB",
        "pyramid: NPZ with an array twice",
    ],
    "a stride is one or two numbers above 0, of a size that can be": [
        "pyramid: stride 1e-4",
    ],
}
NOT_YET = {name: f"not yet: {rule}" for rule, names in BY_RULE.items() for name in names}
