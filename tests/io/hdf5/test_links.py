"""What an HDF5 pyramid may lead to: files below its folder; others, and values that are missing, only when allowed."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError
from msroi_cli.io.files.access import Access
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid

MAPS = np.arange(2 * 3 * 8 * 8, dtype="f4").reshape(2, 3, 8, 8)


def write(path, data=MAPS):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("p2", data=data).attrs["stride"] = 4
    return path


def link_to(path, name):
    with h5py.File(path, "w") as file:
        file["p2"] = h5py.ExternalLink(name, "/p2")
    return path


def virtual(path, parts, rows=2):
    """A level (rows, 3, 8, 8) made of {row: (file, shape of the source)}."""
    layout = h5py.VirtualLayout((rows, 3, 8, 8), "f4")
    for row, (name, count) in parts.items():
        layout[row : row + 1] = h5py.VirtualSource(name, "p2", (count, 3, 8, 8))[:1]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("p2", layout, fillvalue=-5).attrs["stride"] = 4
    return path


def first(path, **allowed):
    with open_pyramid(str(path), LevelChoice(access=Access(**allowed))) as pyramid:
        return pyramid.read(0)[0][0]


@pytest.mark.parametrize("name", ["below/t.h5", "./below/t.h5"])
def test_links_below_the_folder_are_followed(tmp_path, name):
    write(tmp_path / "below" / "t.h5")
    np.testing.assert_array_equal(first(link_to(tmp_path / "m.h5", name)), MAPS[0])


def test_soft_links_and_chains_of_links(tmp_path):
    write(tmp_path / "t.h5")
    link_to(tmp_path / "n.h5", "t.h5")
    with h5py.File(link_to(tmp_path / "m.h5", "n.h5"), "a") as file:
        file["other"] = file.get("p2", getlink=True)
        del file["p2"]
        file["p2"] = h5py.SoftLink("/other")
    np.testing.assert_array_equal(first(tmp_path / "m.h5"), MAPS[0])


def test_links_elsewhere_need_to_be_allowed(tmp_path):
    write(tmp_path / "up.h5")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "s.h5").symlink_to("../up.h5")
    for name in ("../up.h5", str(tmp_path / "up.h5"), "s.h5"):
        path = link_to(tmp_path / "in" / "m.h5", name)
        with pytest.raises(InputError, match=r"m\.h5:/p2: expected links to files below .*--allow-external"):
            first(path)
        np.testing.assert_array_equal(first(path, external=True), MAPS[0])


def test_links_in_a_circle(tmp_path):
    link_to(tmp_path / "a.h5", "b.h5")
    link_to(tmp_path / "b.h5", "a.h5")
    with pytest.raises(InputError, match="more than 16 links"):
        first(tmp_path / "a.h5")


def test_virtual_levels_with_all_their_sources(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name)
    path = virtual(tmp_path / "m.h5", {0: ("a.h5", 2), 1: ("b.h5", 2)})
    np.testing.assert_array_equal(first(path), MAPS[0])


def whole(path, *places, source="a.h5", shape=MAPS.shape):
    """A level whose places are each the whole of a source that is said to have that shape."""
    layout = h5py.VirtualLayout(MAPS.shape, "f4")
    for place in places:
        layout[place] = h5py.VirtualSource(source, "p2", shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("p2", layout).attrs["stride"] = 4
    return path


def test_virtual_levels_of_whole_sources(tmp_path):
    write(tmp_path / "a.h5")
    np.testing.assert_array_equal(first(whole(tmp_path / "m.h5", slice(None))), MAPS[0])
    write(tmp_path / "a.h5", MAPS[1])
    path = whole(tmp_path / "n.h5", 0, 1, shape=MAPS.shape[1:])
    with open_pyramid(str(path)) as pyramid:
        for image in range(2):
            np.testing.assert_array_equal(pyramid.read(image)[0][0], MAPS[1])


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 7), (2, 3, 64)])
def test_whole_sources_of_another_shape(tmp_path, shape):
    """HDF5 would read the first values of a larger one."""
    write(tmp_path / "a.h5", np.ones(shape, "f4"))
    with pytest.raises(InputError, match=r"a\.h5:p2: expected \(2, 3, 8, 8\) values, got "):
        first(whole(tmp_path / "m.h5", slice(None)))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({0: ("a.h5", 2)}, "expected sources of every value"),
        ({0: ("a.h5", 2), 1: ("gone.h5", 2)}, "something that is not there, gone.h5"),
    ],
)
def test_virtual_levels_with_gaps(tmp_path, parts, message):
    write(tmp_path / "a.h5")
    path = virtual(tmp_path / "m.h5", parts)
    with pytest.raises(InputError, match=message):
        first(path)
    with open_pyramid(str(path), LevelChoice(access=Access(fill=True))) as pyramid:
        assert (pyramid.read(1)[0] == -5).all()


def test_raw_files(tmp_path):
    (tmp_path / "raw").write_bytes(MAPS.tobytes())
    with h5py.File(tmp_path / "m.h5", "w") as file:
        raw = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("p2", MAPS.shape, "f4", external=raw).attrs["stride"] = 4
    (tmp_path / "raw").write_bytes(MAPS.tobytes())
    with pytest.raises(InputError, match=r"expected values in the file itself, got some in .*--allow-external"):
        first(tmp_path / "m.h5")
    np.testing.assert_array_equal(first(tmp_path / "m.h5", external=True), MAPS[0])
    (tmp_path / "raw").write_bytes(MAPS.tobytes()[:-1])
    with pytest.raises(InputError, match="never written"):
        first(tmp_path / "m.h5", external=True)


def test_filters_of_plugins_are_refused_by_name(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 3, 8, 8))
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(MAPS.shape)
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"p2", h5py.h5t.IEEE_F32LE, space, plist))
        dataset.attrs["stride"] = 4
    with pytest.raises(InputError, match=r"expected one of the filters gzip, .* got filter 32001"):
        first(tmp_path / "m.h5")
