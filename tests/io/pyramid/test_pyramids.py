"""Pyramid files: every layout and storage gives the same arrays, and what a file says of its levels is believed."""

from __future__ import annotations

import json
import tracemalloc

import h5py
import numpy as np
import pytest

from msroi_cli.errors import InputError, UsageError
from msroi_cli.io.files.access import Access
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.io.pyramid.open import open_pyramid
from tests.builders import (
    CHANNELS,
    IDS,
    STRIDES,
    batch_maps,
    differing_maps,
    image_maps,
    write_batched,
    write_json_pyramid,
    write_npz,
    write_per_image,
)

SCALES = [(1 / stride, 1 / stride) for stride in STRIDES.values()]
GZIP = {"chunks": True, "compression": "gzip"}
STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": GZIP,
    "gzip and shuffle": {**GZIP, "shuffle": True},
    "lzf": {"chunks": True, "compression": "lzf"},
    "checked": {"chunks": True, "fletcher32": True},
    "resizable": {"chunks": True, "maxshape": "any"},
}


def read_all(path, choice=None):
    """Everything a job sees of a pyramid: ids, level names, scales, dtype and each image's maps."""
    with open_pyramid(str(path), choice) as pyramid:
        images = [pyramid.read(image) for image in range(len(pyramid.image_ids))]
        shapes = [pyramid.shapes(image) for image in range(len(pyramid.image_ids))]
        assert [[map_.shape[-2:] for map_ in maps] for maps in images] == shapes
        assert all(map_.shape[:2] == (1, pyramid.channels) for maps in images for map_ in maps)
        return (
            list(pyramid.image_ids),
            [level.name for level in pyramid.levels],
            [level.scale for level in pyramid.levels],
            pyramid.dtype,
            images,
        )


def assert_batch(path, maps=None, ids=("0", "1", "2"), choice=None):
    """Asserts that a file reads as the batch `maps`."""
    maps = batch_maps() if maps is None else maps
    got_ids, names, scales, dtype, images = read_all(path, choice)
    assert got_ids == list(ids)
    assert names == list(maps)
    assert scales == [(1 / STRIDES[name], 1 / STRIDES[name]) for name in maps]
    assert dtype == next(iter(maps.values())).dtype
    for number, image in enumerate(images):
        for got, name in zip(image, names, strict=True):
            np.testing.assert_array_equal(got[0], maps[name][number])


def shapes_of_all(path):
    """What a job asks of every image before it starts."""
    with open_pyramid(str(path)) as pyramid:
        return [pyramid.shapes(image) for image in range(len(pyramid.image_ids))]


def storage_of(name, shape):
    """The options of a storage; a resizable dataset may grow along every axis."""
    options = dict(STORAGE[name])
    return {**options, "maxshape": (None,) * len(shape)} if "maxshape" in options else options


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.sampled(5)
def test_batched_hdf5_reads_alike_in_every_storage(tmp_path, storage, dtype):
    maps = batch_maps(dtype=dtype)
    path = write_batched(tmp_path / "p.h5", maps, storage=storage_of(storage, (3, 3, 1, 1)))
    assert_batch(path, maps)


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("lead", [False, True], ids=["(C, H, W)", "(1, C, H, W)"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.sampled(5)
def test_per_image_hdf5_reads_alike_in_every_storage(tmp_path, storage, lead, dtype):
    images = differing_maps(dtype)
    options = storage_of(storage, (3, 1, 1) if not lead else (1, 3, 1, 1))
    path = write_per_image(tmp_path / "p.h5", images, lead=lead, storage=options)
    ids, names, scales, got_dtype, read = read_all(path)
    assert sorted(ids) == sorted(IDS)
    assert (names, scales, got_dtype) == (list(STRIDES), SCALES, np.dtype(dtype))
    for key, maps in zip(ids, read, strict=True):
        for got, name in zip(maps, names, strict=True):
            np.testing.assert_array_equal(got[0], images[key][name])


def test_per_image_datasets_may_be_of_both_ranks_and_storages(tmp_path):
    images = differing_maps()
    path = write_per_image(tmp_path / "p.h5", images)
    with h5py.File(path, "a") as file:
        del file["4/p3"]
        file["4"].create_dataset("p3", data=images["4"]["p3"][None], **GZIP)
    ids, _, _, _, read = read_all(path)
    np.testing.assert_array_equal(read[ids.index("4")][1][0], images["4"]["p3"])


@pytest.mark.parametrize("libver", ["earliest", "latest", "v110"])
def test_hdf5_versions(tmp_path, libver):
    assert_batch(write_batched(tmp_path / "p.h5", driver={"libver": libver}))


@pytest.mark.parametrize("size", [512, 4096])
def test_hdf5_behind_a_user_block(tmp_path, size):
    path = write_batched(tmp_path / "p.h5", driver={"userblock_size": size})
    assert_batch(path)
    with path.open("r+b") as file:
        file.write(b'{"a user block": "may look like JSON"}')
    assert_batch(path)


def test_never_written_chunks_are_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file.create_dataset("p2", (2, 1, 8, 8), "f4", chunks=(1, 1, 4, 4), fillvalue=7).attrs["stride"] = 4
    with pytest.raises(InputError, match=r"p2: expected 8 chunks, got 0: values were never written; --allow-fill"):
        read_all(tmp_path / "p.h5")
    with open_pyramid(str(tmp_path / "p.h5"), LevelChoice(access=Access(fill=True))) as pyramid:
        assert (pyramid.read(1)[0] == 7).all()


@pytest.mark.parametrize("inside", ["/maps", "/a/b/c"])
@pytest.mark.parametrize("written", ["::{}", "::{}/", "::/{}"])
def test_group_inside_a_file(tmp_path, inside, written):
    path = write_batched(tmp_path / "p.h5", inside=inside)
    assert_batch(f"{path}{written.format(inside)}")


def test_whole_file_named_as_a_group(tmp_path):
    path = write_batched(tmp_path / "p.h5")
    assert_batch(f"{path}::/")


def test_per_image_group_inside_a_file(tmp_path):
    path = write_per_image(tmp_path / "p.h5", inside="/train")
    ids, names, *_ = read_all(f"{path}::train")
    assert (sorted(ids), names) == (sorted(IDS), list(STRIDES))


def test_file_whose_name_holds_colons(tmp_path):
    path = write_batched(tmp_path / "a::b.h5", inside="/x")
    assert_batch(f"{path}::/x")
    write_batched(tmp_path / "a::c")
    assert_batch(tmp_path / "a::c")


@pytest.mark.parametrize("kind", ["soft", "hard", "external"])
def test_levels_may_be_links(tmp_path, kind):
    source = write_batched(tmp_path / "source.h5", inside="/deep")
    if kind == "external":
        path = tmp_path / "p.h5"
        with h5py.File(path, "w") as file:
            for name in STRIDES:
                file[name] = h5py.ExternalLink("source.h5", f"/deep/{name}")
    else:
        path = source
        with h5py.File(path, "a") as file:
            for name in STRIDES:
                file[name] = h5py.SoftLink(f"/deep/{name}") if kind == "soft" else file[f"deep/{name}"]
    assert_batch(path)


def test_images_may_be_links(tmp_path):
    write_per_image(tmp_path / "source.h5")
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for key in IDS:
            file[key] = h5py.ExternalLink("source.h5", f"/{key}")
    *_, images = read_all(tmp_path / "p.h5")
    expected = differing_maps()["4"]["p2"]
    np.testing.assert_array_equal(images[0][0][0], expected)


@pytest.mark.parametrize("target", [h5py.SoftLink("/nowhere"), h5py.ExternalLink("missing.h5", "/p4")])
def test_level_whose_link_is_broken_is_not_passed_over(tmp_path, target):
    """Left out in silence, its boxes would be pooled from another level."""
    path = write_batched(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        del file["p4"]
        file["p4"] = target
    with pytest.raises(InputError, match=r"p\.h5:/p4: "):
        open_pyramid(str(path))


def test_image_whose_link_is_broken_is_said_to_be(tmp_path):
    path = write_per_image(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        del file["4"]
        file["4"] = h5py.ExternalLink("missing.h5", "/4")
    with pytest.raises(InputError, match=r"p\.h5:/4: .*got a link to something that is not there"):
        open_pyramid(str(path))


def test_json(tmp_path):
    assert_batch(write_json_pyramid(tmp_path / "p.json"))


def test_json_of_one_image_without_its_axis(tmp_path):
    maps = {name: array[0] for name, array in batch_maps(1).items()}
    assert_batch(write_json_pyramid(tmp_path / "p.json", maps), batch_maps(1), ids=["p"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"\n" * 100 + text.encode(),
        lambda text: text.encode("utf-16"),
    ],
    ids=["byte order mark", "blank lines first", "UTF-16"],
)
def test_json_as_other_programs_write_it(tmp_path, wrap):
    path = write_json_pyramid(tmp_path / "p.json")
    path.write_bytes(wrap(path.read_text()))
    assert_batch(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_npz(tmp_path, compressed, dtype):
    maps = batch_maps(dtype=dtype)
    assert_batch(write_npz(tmp_path / "p.npz", maps, compressed=compressed), maps)


def test_npz_of_one_image_without_its_axis(tmp_path):
    maps = {name: array[0] for name, array in batch_maps(1).items()}
    assert_batch(write_npz(tmp_path / "p.npz", maps), batch_maps(1), ids=["p"])


def test_npz_images_in_any_order(tmp_path):
    maps = batch_maps(5)
    with open_pyramid(str(write_npz(tmp_path / "p.npz", maps, compressed=True))) as pyramid:
        for image in (4, 0, 2, 2, 1, 3):
            np.testing.assert_array_equal(pyramid.read(image)[1][0], maps["p3"][image])


@pytest.mark.parametrize(
    "beside",
    [
        {"strides": np.array(["4", "8", "x"])},
        {"strides": [4, 8]},
        {"p5": np.zeros((3, 3, 0, 4), "f4"), "strides": [4, 8, 16, 32]},
        {"image_ids": ["a"]},
        {"strides": [0, 8, 16]},
    ],
    ids=["words", "too few", "empty map", "ids", "zero"],
)
def test_refused_npz_is_closed(tmp_path, beside):
    """A file left open is a ResourceWarning, which these tests take for an error."""
    with pytest.raises(InputError, match=r"p\.npz"):
        open_pyramid(str(write_npz(tmp_path / "p.npz", **beside)))


WRITERS = {"hdf5": write_batched, "json": write_json_pyramid, "npz": write_npz}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("names", [("p3",), ("p2", "p4"), ("p3", "p4"), ("p2", "p3", "p4")], ids=",".join)
def test_named_levels_keep_their_own_strides(tmp_path, form, names):
    path = WRITERS[form](tmp_path / f"p.{form}")
    maps = batch_maps()
    assert_batch(path, {name: maps[name] for name in names}, choice=LevelChoice(names))


@pytest.mark.parametrize("layout", ["batched", "per image", "one image"])
def test_levels_are_found_however_many_there_are(tmp_path, layout):
    maps = {f"l{number:02}": np.full((CHANNELS, 4, 6), number, "f4") for number in range(40)}
    path, strides = tmp_path / "maps.h5", dict.fromkeys(maps, 4)
    if layout == "per image":
        write_per_image(path, {"17": maps, "4": maps}, strides=strides)
    else:
        lead = (None,) if layout == "batched" else ()
        write_batched(path, {name: array[lead] for name, array in maps.items()}, strides=strides)
    with open_pyramid(str(path)) as pyramid:
        assert [level.name for level in pyramid.levels] == list(maps)
        assert [int(array.max()) for array in pyramid.read(0)] == list(range(40))


@pytest.mark.parametrize("form", WRITERS)
def test_named_levels_in_another_order_keep_their_own_strides(tmp_path, form):
    with open_pyramid(str(WRITERS[form](tmp_path / f"p.{form}")), LevelChoice(("p4", "p3", "p2"))) as pyramid:
        assert {level.name: 1 / level.scale[0] for level in pyramid.levels} == STRIDES


@pytest.mark.parametrize("layout", ["batched", "per image"])
@pytest.mark.parametrize("names", [("p3",), ("p2", "p4")], ids=",".join)
def test_named_levels_in_both_hdf5_layouts(tmp_path, layout, names):
    path = (write_batched if layout == "batched" else write_per_image)(tmp_path / "p.h5")
    _, got, scales, _, images = read_all(path, LevelChoice(names))
    assert tuple(got) == names
    assert scales == [(1 / STRIDES[name], 1 / STRIDES[name]) for name in names]
    assert {len(maps) for maps in images} == {len(names)}


def test_levels_are_sorted_by_size_not_by_name(tmp_path):
    maps = dict(zip(("z", "m", "a"), batch_maps().values(), strict=True))
    path = write_batched(tmp_path / "p.h5", maps, strides={"z": 4, "m": 8, "a": 16})
    assert read_all(path)[1] == ["z", "m", "a"]


def test_levels_of_one_size_are_sorted_as_people_count(tmp_path):
    one = batch_maps()["p4"]
    names = [f"p{number}" for number in (10, 9, 2, 11)]
    path = write_batched(tmp_path / "p.h5", dict.fromkeys(names, one), strides=dict.fromkeys(names, 4))
    assert read_all(path)[1] == ["p2", "p9", "p10", "p11"]


def test_what_is_no_level_is_passed_over(tmp_path):
    path = write_batched(tmp_path / "p.h5", mask=np.ones((3, 3, 4, 4), np.uint8), note="drawn by hand", mean=[0.5, 0.5])
    assert_batch(path)


@pytest.mark.parametrize("missing", ["17", "4", "230"])
def test_level_that_one_image_lacks(tmp_path, missing):
    """Whichever image it is, the first that is looked at too."""
    path = write_per_image(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        del file[f"{missing}/p3"]
    with pytest.raises(InputError, match="p3"):
        shapes_of_all(path)


def test_stride_that_one_image_contradicts(tmp_path):
    path = write_per_image(tmp_path / "p.h5")
    with h5py.File(path, "a") as file:
        file["230/p3"].attrs["stride"] = 99
    with open_pyramid(str(path)) as pyramid, pytest.raises(InputError, match=r"/230/p3.*99"):
        pyramid.check(pyramid.image_ids.index("230"))


ATTRIBUTES = {
    "stride": ({"stride": 8}, (0.125, 0.125)),
    "stride, float": ({"stride": 8.0}, (0.125, 0.125)),
    "stride, array of one": ({"stride": [8]}, (0.125, 0.125)),
    "stride (y, x)": ({"stride": [8, 4]}, (0.125, 0.25)),
    "spatial_scale": ({"spatial_scale": 0.125}, (0.125, 0.125)),
    "spatial_scale (y, x)": ({"spatial_scale": [0.125, 0.25]}, (0.125, 0.25)),
    "both": ({"stride": 8, "spatial_scale": 0.125}, (0.125, 0.125)),
    "both, one of them a pair": ({"stride": [8, 8], "spatial_scale": 0.125}, (0.125, 0.125)),
    "both, rounded": ({"stride": 3, "spatial_scale": np.float32(1 / 3)}, (1 / 3, 1 / 3)),
}


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_scale_from_attributes(tmp_path, attributes):
    given, expected = ATTRIBUTES[attributes]
    path = write_batched(tmp_path / "p.h5", {"p3": batch_maps()["p3"]}, strides=None)
    with h5py.File(path, "a") as file:
        file["p3"].attrs.update(given)
    assert read_all(path)[2] == [pytest.approx(expected)]


@pytest.mark.parametrize("given", [{"stride": 8, "spatial_scale": 0.25}, {"stride": [8, 4], "spatial_scale": 0.125}])
def test_attributes_that_contradict_each_other(tmp_path, given):
    path = write_batched(tmp_path / "p.h5", {"p3": batch_maps()["p3"]}, strides=None)
    with h5py.File(path, "a") as file:
        file["p3"].attrs.update(given)
    with pytest.raises(InputError, match=r"p\.h5:/p3: expected stride and spatial_scale to agree, got"):
        open_pyramid(str(path))


@pytest.mark.parametrize("form", WRITERS)
def test_options_override_the_file(tmp_path, form):
    path = str(WRITERS[form](tmp_path / f"p.{form}"))
    with open_pyramid(path, LevelChoice(strides=((5, 5), (10, 20), (20, 40)))) as pyramid:
        assert [level.scale for level in pyramid.levels] == [(0.2, 0.2), (0.1, 0.05), (0.05, 0.025)]
    with open_pyramid(path, LevelChoice(scales=((0.3, 0.3), (0.2, 0.2), (0.1, 0.1)))) as pyramid:
        assert [level.scale for level in pyramid.levels] == [(0.3, 0.3), (0.2, 0.2), (0.1, 0.1)]


@pytest.mark.parametrize(
    ("write", "name"), [(write_batched, "/p2"), (write_per_image, "/4/p2")], ids=["batched", "per image"]
)
def test_no_stride_anywhere_names_the_dataset(tmp_path, write, name):
    path = write(tmp_path / "p.h5", strides=None)
    with pytest.raises(UsageError, match=rf"p\.h5:{name}: expected a stride .*--strides"):
        open_pyramid(str(path))


def test_no_stride_of_one_level_names_that_one(tmp_path):
    path = write_batched(tmp_path / "p.h5", strides={"p2": 4, "p4": 16})
    with pytest.raises(UsageError, match=r"p\.h5:/p3: "):
        open_pyramid(str(path))


@pytest.mark.parametrize(
    "ids", [["17", "4", "230"], [17, 4, 230], np.array([17, 4, 230], "u2"), np.array([b"17", b"4", b"230"])]
)
def test_image_ids_of_any_type_are_strings(tmp_path, ids):
    assert_batch(write_batched(tmp_path / "p.h5", ids=ids), ids=IDS)
    assert_batch(write_npz(tmp_path / "p.npz", image_ids=ids), ids=IDS)


@pytest.mark.parametrize("ids", [IDS, [17, 4, 230]])
def test_image_ids_in_json(tmp_path, ids):
    assert_batch(write_json_pyramid(tmp_path / "p.json", image_ids=ids), ids=IDS)


@pytest.mark.parametrize("ids", [[None, 1, 2], [[1], [2], [3]], [1.5, 2, 3], "abc", [1, 2]])
def test_image_ids_in_json_that_are_none(tmp_path, ids):
    with pytest.raises(InputError, match="image_ids"):
        open_pyramid(str(write_json_pyramid(tmp_path / "p.json", image_ids=ids)))


def test_image_ids_in_unicode(tmp_path):
    ids = ["日本", "a b", "ü/ü"]
    assert_batch(write_batched(tmp_path / "p.h5", ids=ids), ids=ids)


def test_scale_factors_and_image_sizes(tmp_path):
    factors, sizes = [[1.5, 2], [1, 1], [0.5, 3]], [[64, 32], [96, 64], [192, 21]]
    batched = write_batched(tmp_path / "b.h5", scale_factors=factors, image_sizes=sizes)
    in_json = write_json_pyramid(tmp_path / "p.json", scale_factors=factors, image_sizes=sizes)
    in_npz = write_npz(tmp_path / "p.npz", scale_factors=factors, image_sizes=sizes)
    for path in (batched, in_json, in_npz):
        with open_pyramid(str(path)) as pyramid:
            assert [pyramid.scale_factor(image) for image in range(3)] == [tuple(pair) for pair in factors]
            assert [pyramid.image_size(image) for image in range(3)] == [tuple(pair) for pair in sizes]


def test_scale_factors_of_groups(tmp_path):
    factors, sizes = {"17": [1.5, 2], "4": 3, "230": [0.5, 0.5]}, dict.fromkeys(IDS, (10, 20))
    path = write_per_image(tmp_path / "p.h5", factors=factors, sizes=sizes)
    with open_pyramid(str(path)) as pyramid:
        found = {key: pyramid.scale_factor(image) for image, key in enumerate(pyramid.image_ids)}
        assert found == {"17": (1.5, 2), "4": (3, 3), "230": (0.5, 0.5)}
        assert pyramid.image_size(0) == (10, 20)


def test_one_image_of_a_batch_is_read_alone(tmp_path):
    maps = {"p2": np.zeros((200, 4, 64, 64), "f4")}
    path = write_batched(tmp_path / "p.h5", maps)
    image_bytes, level_bytes = maps["p2"][0].nbytes, maps["p2"].nbytes
    del maps
    with open_pyramid(str(path)) as pyramid:
        tracemalloc.start()
        try:
            pyramid.read(150)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert image_bytes <= peak < level_bytes / 20


def test_level_of_an_npz_is_never_in_memory_as_a_whole(tmp_path):
    maps = {"p2": np.zeros((160, 4, 160, 160), "f4")}
    path = write_npz(tmp_path / "p.npz", maps, compressed=True, strides=[4])
    level_bytes = maps["p2"].nbytes
    del maps
    tracemalloc.start()
    try:
        with open_pyramid(str(path)) as pyramid:
            pyramid.read(150)
            pyramid.read(3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.7 * level_bytes


def test_pyramid_of_many_images_opens_without_looking_into_each(tmp_path, monkeypatch):
    maps = image_maps()
    path = write_per_image(tmp_path / "p.h5", {f"{number:04}": maps for number in range(300)})
    opened = []
    get = h5py.Group.get
    monkeypatch.setattr(h5py.Group, "get", lambda self, name, *a, **k: opened.append(name) or get(self, name, *a, **k))
    with open_pyramid(str(path)) as pyramid:
        assert len(pyramid.image_ids) == 300
    assert len(opened) < 100


def test_group_in_a_file_that_has_none_is_refused(tmp_path):
    for path in (write_json_pyramid(tmp_path / "p.json"), write_npz(tmp_path / "p.npz")):
        with pytest.raises((InputError, UsageError), match="HDF5"):
            open_pyramid(f"{path}::/group")


def test_json_numbers_beyond_float32_are_refused(tmp_path):
    level = {"name": "p2", "stride": 4, "data": [[[[1e39]]]]}
    (tmp_path / "p.json").write_text(json.dumps({"levels": [level]}))
    with pytest.raises(InputError, match=r"levels\[0\]"):
        open_pyramid(str(tmp_path / "p.json"))


def test_channels_are_those_of_the_levels(tmp_path):
    with open_pyramid(str(write_batched(tmp_path / "p.h5"))) as pyramid:
        assert pyramid.channels == CHANNELS
