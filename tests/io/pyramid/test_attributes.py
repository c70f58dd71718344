"""Attributes that are not what they should be are refused: where, what was expected, what came, on one line."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import batch_maps, write_batched, write_npz, write_per_image

TEXTS = h5py.string_dtype()

WRONG = {
    "text": ("4", "'4'"),
    "text of fixed length": (np.bytes_("4"), "'4'"),
    "texts": (np.array(["4", "8", "16"], TEXTS), "'4'"),
    "texts of fixed length": (np.array([b"4", b"8", b"16"]), "'4'"),
    "no value": (h5py.Empty("f4"), "[]"),
    "no values": (np.zeros(0), "[]"),
    "NaN": (np.nan, "nan"),
    "NaN among numbers": ([np.nan, 8, 16], "nan"),
    "negative": (-4, "-4"),
    "zero": ([4, 0, 16], "0"),
    "endless": (np.inf, "inf"),
    "bool": (True, "True"),
    "too many": ([4, 8, 16, 32], "[4, 8, 16, 32]"),
    "rows of three": (np.ones((3, 3), int), "[1, 1, 1]"),
    "three axes": (np.ones((3, 1, 1), int), "[[[1]], [[1]], [[1]]]"),
    "many": (np.ones((9, 9)), "values of shape (9, 9) and type float64"),
    "no UTF-8": (np.bytes_(b"\xff"), "'\N{REPLACEMENT CHARACTER}', which is no UTF-8"),
    "complex": (4j, "16 bytes of another type"),
    "record": (np.array((4,), [("stride", "i4")]), "4 bytes of another type"),
}

# Where a scale may stand: the file's layout, the place, and how it is called in messages.
PLACES = {
    "file": (write_batched, "/", r"p\.h5: "),
    "level": (write_batched, "p3", r"p\.h5:/p3: "),
    "file of groups": (write_per_image, "/", r"p\.h5: "),
    "group of an image": (write_per_image, "230", r"p\.h5:/230: "),
    "level of an image": (write_per_image, "230/p3", r"p\.h5:/230/p3: "),
}


def refused(path, where, got):
    """Opening the pyramid, or all of its images, fails with one line that says this."""

    def opened():
        with open_pyramid(str(path), LevelChoice(scales_needed=False)) as pyramid:
            for image in range(len(pyramid.image_ids)):
                pyramid.check(image)

    with pytest.raises(InputError, match=f"{where}.*, got ") as caught:
        opened()
    text = str(caught.value)
    assert text.endswith(f"got {got}")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("key", ["stride", "spatial_scale"])
@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.sampled(4)
def test_a_wrong_scale(tmp_path, place, value, key):
    write, item, where = PLACES[place]
    path = write(tmp_path / "p.h5", strides=None)
    wrong, got = WRONG[value]
    on_level = item.endswith("p3")
    if on_level and np.shape(wrong) and not got.startswith("values of"):
        got = str([one.decode() if isinstance(one, bytes) else one for one in np.asarray(wrong).tolist()])
    with h5py.File(path, "a") as file:
        file[item].attrs[key] = wrong
    refused(path, f"{where}.*{key}: expected", got)


@pytest.mark.parametrize("name", ["scale_factor", "image_size", "offset"])
@pytest.mark.parametrize("value", ["text", "texts", "no value", "NaN", "many", "three axes", "no UTF-8", "record"])
@pytest.mark.sampled(4)
def test_a_wrong_geometry(tmp_path, name, value):
    path = write_per_image(tmp_path / "p.h5")
    wrong, got = WRONG[value]
    got = "['4', '8', '16']" if value == "texts" else got
    with h5py.File(path, "a") as file:
        file["230"].attrs[name] = wrong
    with (
        open_pyramid(str(path)) as pyramid,
        pytest.raises(InputError, match=rf"p\.h5:/230: {name}: expected") as caught,
    ):
        getattr(pyramid, name)(pyramid.image_ids.index("230"))
    assert str(caught.value).endswith(f"got {got}")


def test_only_one_image_states_strides(tmp_path):
    path = write_per_image(tmp_path / "p.h5", strides=None)
    with h5py.File(path, "a") as file:
        file["230"].attrs["stride"] = [4, 8, 16]
    refused(path, r"p\.h5:/230/p2: expected no stride as on other images", "4 x 4")


def test_strides_of_an_archive(tmp_path):
    path = write_npz(tmp_path / "p.npz", batch_maps(), strides=[4, np.nan, 16])
    refused(path, r"p\.npz: p3: stride: expected", "nan")
