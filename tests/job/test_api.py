"""`extract` as a function: files, arrays, tables, and objects that make pyramids; the same crops as the command."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest

from msroi_cli import (
    ExtractOptions,
    Geometry,
    Pyramid,
    PyramidLevel,
    PyramidWriter,
    extract,
    multi_scale_roi_align,
    open_crops,
)
from msroi_cli.cli import main
from msroi_cli.errors import ArgumentError, InputError, StoppedError, UsageError
from tests.builders import (
    SPREAD_CALL,
    STRIDES,
    differing_maps,
    image_maps,
    random_boxes,
    run,
    write_json,
    write_per_image,
)

LEVELS = [PyramidLevel(name, stride, 3) for name, stride in STRIDES.items()]
MAPS = differing_maps()


class Maker:
    """A pyramid of maps in memory that counts how often each is made."""

    fingerprint = "of the test"
    levels = LEVELS

    def __init__(self, maps=None, **members):
        self.by_id = MAPS if maps is None else maps
        self.image_ids = list(self.by_id)
        self.made = []
        for name, value in members.items():
            setattr(self, name, value)

    def maps(self, ids):
        for image_id in ids:
            self.made.append(image_id)
            yield self.by_id[image_id]


def boxes_by_id(count=9):
    return {key: random_boxes(count, seed) for seed, key in enumerate(MAPS)}


def expected(boxes, maps=None, **options):
    """The crops of each image by the call for arrays."""
    parts = []
    for key, some in boxes.items():
        rois = np.concatenate([np.zeros((len(some), 1)), some], axis=1)
        levels = [array[None] for array in (maps or MAPS)[key].values()]
        parts.append(
            multi_scale_roi_align(levels, rois, [1 / s for s in STRIDES.values()], 7, **SPREAD_CALL, **options)
        )
    return np.concatenate(parts)


def crops_of(path):
    with open_crops(path) as crops:
        return crops[:]


@pytest.mark.parametrize(
    "members",
    [{}, {"batch_size": 1}, {"batch_size": 2, "workers": 2}, {"batch_size": 1, "workers": 3}, {"workers": None}],
    ids=str,
)
def test_an_object_gives_the_crops_of_its_maps(tmp_path, members):
    maker = Maker(**members)
    assert isinstance(maker, Pyramid)
    boxes = boxes_by_id()
    summary = extract(maker, boxes, tmp_path / "crops.h5", **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes))
    assert summary.total.boxes == 27
    assert sorted(maker.made) == sorted(MAPS)


def test_an_object_a_file_and_the_command_give_the_same_bytes(tmp_path, creation_date):
    boxes = boxes_by_id()
    write_per_image(tmp_path / "maps.h5")
    listed = write_json(tmp_path / "boxes.json", {key: some.tolist() for key, some in boxes.items()})
    extract(Maker(), boxes, tmp_path / "made.h5", **SPREAD_CALL)
    extract(tmp_path / "maps.h5", listed, tmp_path / "file.h5", **SPREAD_CALL)
    options = ["--canonical-scale", "16", "--canonical-level", "1"]
    assert run("extract", tmp_path / "maps.h5", listed, "-o", tmp_path / "command.h5", *options).exit_code == 0
    assert (tmp_path / "file.h5").read_bytes() == (tmp_path / "command.h5").read_bytes()
    assert np.array_equal(crops_of(tmp_path / "made.h5"), crops_of(tmp_path / "file.h5"))


def test_only_images_with_boxes_are_made_in_order_and_once(tmp_path):
    maps = {str(number): image_maps(number) for number in range(40)}
    maker = Maker(maps, batch_size=3)
    boxes = {key: random_boxes(30, int(key)) for key in ("31", "7", "2", "8", "30")}
    extract(maker, boxes, tmp_path / "crops.h5", memory=1 << 20, **SPREAD_CALL)
    assert maker.made == ["2", "7", "8", "30", "31"]
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes, maps))


@pytest.mark.parametrize("memory", [1 << 20, 1 << 30])
def test_an_image_of_more_boxes_than_a_batch_is_made_once(tmp_path, memory):
    maker = Maker()
    boxes = {"4": random_boxes(3000, 1), "17": random_boxes(2, 2)}
    extract(maker, boxes, tmp_path / "crops.h5", memory=memory, **SPREAD_CALL)
    assert sorted(maker.made) == ["17", "4"]
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes))


def test_what_was_done_is_not_made_again(tmp_path):
    maps = {str(number): image_maps(number) for number in range(300)}
    boxes = {key: random_boxes(20, int(key)) for key in maps}
    stop = threading.Event()
    maker = Maker(maps)
    with pytest.raises(StoppedError, match="of 6,000 boxes done"):
        extract(
            maker, boxes, tmp_path / "crops.h5", progress=lambda rows: rows and stop.set(), stop=stop, **SPREAD_CALL
        )
    done = []
    again = Maker(maps)
    extract(again, boxes, tmp_path / "crops.h5", resume=True, progress=done.append, **SPREAD_CALL)
    images_done = done[0] // 20
    assert 0 < images_done < 300
    assert again.made == list(maps)[images_done:]
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes, maps))
    third = Maker(maps)
    assert extract(third, boxes, tmp_path / "crops.h5", resume=True, **SPREAD_CALL).total.boxes == 6000
    assert third.made == []


def test_another_fingerprint_is_another_job(tmp_path):
    boxes = {"4": random_boxes(3000)}
    with pytest.raises(KeyError):
        extract(Breaks(), boxes, tmp_path / "crops.h5", **SPREAD_CALL)
    other = Maker(fingerprint="other")
    extract(Maker(), boxes, tmp_path / "crops.h5", **SPREAD_CALL)
    with pytest.raises(UsageError, match="cannot resume"):
        extract(other, boxes, tmp_path / "crops.h5", resume=True, **SPREAD_CALL)


class Breaks(Maker):
    """Fails after its first image."""

    def maps(self, ids):
        yield from list(super().maps(ids))[:0]
        raise KeyError("lost")


def test_an_error_of_the_object_is_raised_as_it_is(tmp_path):
    with pytest.raises(KeyError, match="lost"):
        extract(Breaks(), boxes_by_id(), tmp_path / "crops.h5")
    assert not list(tmp_path.iterdir())


def test_geometry_takes_boxes_to_input_pixels(tmp_path):
    boxes = boxes_by_id()
    geometry = {key: Geometry((2.0, 0.5), (8.0, -3.0)) for key in MAPS}
    original = {key: (some - [8, -3, 8, -3]) / [2, 0.5, 2, 0.5] for key, some in boxes.items()}
    maker = Maker(geometry=geometry.__getitem__)
    with pytest.raises(UsageError, match="--box-space original"):
        extract(maker, original, tmp_path / "crops.h5")
    extract(maker, original, tmp_path / "crops.h5", box_space="original", **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes))


def test_normalized_boxes_need_the_size_of_the_input(tmp_path):
    boxes = {"17": random_boxes(9) / [96, 64, 96, 64]}
    with pytest.raises(InputError, match="Maker:/17: expected a geometry with input_size"):
        extract(Maker(), boxes, tmp_path / "crops.h5", normalized=True)
    maker = Maker(geometry=lambda key: Geometry(input_size=(96, 64)))
    extract(maker, boxes, tmp_path / "crops.h5", normalized=True, **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected({"17": random_boxes(9)}))


GOOD = MAPS["17"]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({**GOOD, "p3": GOOD["p3"][:2]}, "p3: expected 3 channels of float32, got 2 of float32"),
        ({**GOOD, "p3": GOOD["p3"].astype("f8")}, "p3: expected 3 channels of float32, got 3 of float64"),
        ({"p2": GOOD["p2"]}, "p3: expected a map, got only p2"),
        ({**GOOD, "p4": GOOD["p2"]}, "levels whose height falls"),
        ({**GOOD, "p3": "text"}, "p3: expected float16"),
        (list(GOOD.values()), "expected the maps by level name, got list"),
    ],
)
def test_maps_that_are_not_what_was_said_are_refused(tmp_path, maps, message):
    with pytest.raises(InputError, match=f"Maker:/17.*{message}"):
        extract(Maker({"17": maps}), {"17": random_boxes(3)}, tmp_path / "crops.h5", **SPREAD_CALL)


def test_too_few_images_are_refused(tmp_path):
    class Few(Maker):
        def maps(self, ids):
            return iter([])

    with pytest.raises(InputError, match="expected maps of 3 images, got fewer"):
        extract(Few(), boxes_by_id(), tmp_path / "crops.h5")


def test_a_map_that_does_not_fit_the_input_is_refused(tmp_path):
    maker = Maker(geometry=lambda key: Geometry(input_size=(96, 128)))
    with pytest.raises(InputError, match="17/p2: expected a map of 24 x 32 cells"):
        extract(maker, {"17": random_boxes(3)}, tmp_path / "crops.h5")


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], "different names, got none"),
        ([LEVELS[0], LEVELS[0]], "different names, got p2, p2"),
        (LEVELS[::-1], "rising strides"),
        ([LEVELS[0], PyramidLevel("p3", 8, 4)], "3 channels of float32 on all, got 4"),
        ([LEVELS[0], PyramidLevel("p3", 8, 3, "float64")], "got 3 of float64 on p3"),
    ],
)
def test_levels_that_cannot_be_pooled_are_refused(tmp_path, levels, message):
    with pytest.raises(ArgumentError, match=message):
        extract(Maker(levels=levels), boxes_by_id(), tmp_path / "crops.h5")


def test_an_object_that_is_no_pyramid_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="got dict without image_ids, levels, fingerprint, maps"):
        extract({}, boxes_by_id(), tmp_path / "crops.h5")


@pytest.mark.parametrize("layout", ["hwc", "tokens"])
def test_channels_last_and_tokens_are_pooled(tmp_path, layout):
    def laid_out(array):
        last = array.transpose(1, 2, 0)
        front = np.zeros((2, len(array)), array.dtype)
        return last if layout == "hwc" else np.concatenate([front, last.reshape(-1, len(array))])[None]

    maps = {key: {"p3": laid_out(some["p3"])} for key, some in MAPS.items()}
    sizes = {key: Geometry(input_size=(some["p2"].shape[2] * 4, some["p2"].shape[1] * 4)) for key, some in MAPS.items()}
    levels = [PyramidLevel("p3", 8, 3, layout=layout)]
    boxes = boxes_by_id()
    extract(Maker(maps, levels=levels, geometry=sizes.__getitem__), boxes, tmp_path / "crops.h5")
    plain = {key: {"p3": some["p3"]} for key, some in MAPS.items()}
    extract(Maker(plain, levels=[PyramidLevel("p3", 8, 3)]), boxes, tmp_path / "plain.h5")
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), crops_of(tmp_path / "plain.h5"))


def test_a_different_number_of_tokens_in_front_is_refused(tmp_path):
    tokens = {"1": {"t": np.zeros((1, 7, 3), "f4")}, "2": {"t": np.zeros((1, 8, 3), "f4")}}
    maker = Maker(
        tokens, levels=[PyramidLevel("t", 14, 3, layout="tokens")], geometry=lambda key: Geometry(input_size=(42, 28))
    )
    boxes = {key: np.array([[1, 1, 20, 20.0]]) for key in tokens}
    with pytest.raises(InputError, match="2/t: expected 2 x 3 tokens and 1 in front"):
        extract(maker, boxes, tmp_path / "crops.h5")


class Column(list):
    """A column of a data frame."""

    def to_numpy(self):
        return np.array(self)


@pytest.mark.parametrize(
    ("names", "change"),
    [
        (("x1", "y1", "x2", "y2"), lambda b: b),
        (("x", "y", "w", "h"), lambda b: np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1)),
        (("cx", "cy", "w", "h"), lambda b: np.concatenate([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], axis=1)),
    ],
)
def test_a_table_is_taken_by_its_columns(tmp_path, names, change):
    boxes = np.round(random_boxes(9) * 8) / 8
    table = {"image_id": Column([17] * 9), "score": Column(np.linspace(0, 1, 9)), "category_id": Column(range(9))}
    table |= dict(zip(names, map(Column, change(boxes).T), strict=True))

    class Frame:
        columns = tuple(table)
        __getitem__ = table.__getitem__

    extract(Maker(), Frame(), tmp_path / "crops.h5", **SPREAD_CALL)
    with open_crops(tmp_path / "crops.h5") as crops:
        assert np.array_equal(crops[:], expected({"17": boxes}))
        assert np.array_equal(crops.score, np.linspace(0, 1, 9))
        assert np.array_equal(crops.category_id, np.arange(9))


def test_rows_and_detections_are_taken(tmp_path):
    boxes = {"17": random_boxes(4), "4": random_boxes(5, 1)}
    rows = np.concatenate(
        [np.concatenate([np.full((len(b), 1), list(MAPS).index(k)), b], axis=1) for k, b in boxes.items()]
    )
    extract(Maker(), rows, tmp_path / "rows.h5", **SPREAD_CALL)
    found = {
        key: {"boxes": some, "scores": np.arange(len(some)) / 9, "labels": [1] * len(some)}
        for key, some in boxes.items()
    }
    extract(Maker(), found, tmp_path / "found.h5", **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "rows.h5"), crops_of(tmp_path / "found.h5"))
    with open_crops(tmp_path / "found.h5") as crops:
        assert crops.score[3] == 3 / 9


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"expected numbers \(K, 5\), got \(1, 3\)"),
        ({"17": [[1, 2, 3]]}, r"boxes\['17'\]: expected numbers \(K, 4\)"),
        ({17: [], "17": []}, "different image ids"),
        ({1.5: []}, "expected an image id"),
        ({"17": {"scores": [1]}}, "expected boxes, got only scores"),
        ({"17": {"boxes": [[0, 0, 9, 9]], "scores": [1, 2]}}, "score: expected 1 values, one a box, got 2"),
        ({"17": {"boxes": [[0, 0, 9, 9]], "scores": [1]}, "4": [[0, 0, 9, 9]]}, "score for all images or for none"),
        ("none.json", "none.json"),
        (object(), r"expected numbers \(K, 5\)"),
        ([[0.5, 1, 2, 3, 4]], "whole number as image index"),
    ],
)
def test_boxes_that_are_none_are_refused(tmp_path, boxes, message):
    with pytest.raises(InputError, match=message):
        extract(Maker(), boxes, tmp_path / "crops.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_format": "yxyx"}, "box_format: expected one of"),
        ({"on_bad_box": "ignore"}, "on_bad_box"),
        ({"dtype": "int8"}, "dtype"),
        ({"strides": [4], "scales": [1]}, "strides: expected without scales"),
        ({"output_size": 0}, "output_size"),
        ({"compat": "caffe"}, "compat"),
        ({"reduce": "sum"}, "reduce"),
        ({"strides": [0]}, r"strides\[0\]"),
        ({"strides": [4, 8, 16]}, "expected for files"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        extract(Maker(), boxes_by_id(), tmp_path / "crops.h5", **options)


def test_memory_bounds_what_is_made_ahead(tmp_path):
    """Maps of 6 MB each, at most 8 MB of which wait: the producer is never more than a few images ahead."""
    ahead = []
    rows = []
    big = {"p2": np.zeros((3, 1024, 512), np.float32)}

    class Counts(Maker):
        levels = (PyramidLevel("p2", 4, 3),)

        def maps(self, ids):
            for made, _ in enumerate(ids):
                ahead.append(made - sum(rows) // 20)
                yield {"p2": big["p2"].copy()}

    maker = Counts({str(number): big for number in range(60)})
    boxes = {key: random_boxes(20) for key in maker.image_ids}
    extract(maker, boxes, tmp_path / "crops.h5", output_size=14, memory=16 << 20, progress=rows.append)
    # 20 crops of 14 x 14 are 47 kB: a batch is 22 images, of which the writer knows when it is done.
    assert max(ahead) <= 2 * 23 + 4


def test_a_writer_and_an_object_are_the_same(tmp_path):
    with PyramidWriter(tmp_path / "maps.h5", list(STRIDES.values())) as writer:
        for key, maps in MAPS.items():
            writer.add(key, maps)
    boxes = boxes_by_id()
    extract(tmp_path / "maps.h5", boxes, tmp_path / "two.h5", **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "two.h5"), expected(boxes))


def test_files_of_groups_and_tables_are_read_as_asked(tmp_path):
    write_per_image(tmp_path / "maps.h5", inside="images")
    rows = [(key, *box) for key, boxes in boxes_by_id().items() for box in boxes.tolist()]
    text = "pic,x1,y1,x2,y2\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "boxes.csv").write_text(text)
    options = {"group": "images/{id}", "columns": {"image_id": "pic"}, "image_key": "id"}
    extract(tmp_path / "maps.h5", tmp_path / "boxes.csv", tmp_path / "crops.h5", **options, **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "crops.h5"), expected(boxes_by_id()))


def test_results_are_read_with_their_data_set(tmp_path):
    write_per_image(tmp_path / "maps.h5")
    boxes = boxes_by_id()
    results = [
        {"image_id": number, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 1.0, "category_id": 1}
        for number, some in enumerate(boxes.values())
        for x1, y1, x2, y2 in some.tolist()
    ]
    images = [{"id": number, "file_name": f"{key}.jpg"} for number, key in enumerate(boxes)]
    write_json(tmp_path / "results.json", results)
    write_json(tmp_path / "images.json", {"images": images})
    options = {"coco_images": tmp_path / "images.json", "image_key": "file_name"}
    extract(tmp_path / "maps.h5", tmp_path / "results.json", tmp_path / "crops.h5", **options, **SPREAD_CALL)
    with open_crops(tmp_path / "crops.h5") as crops:
        assert np.allclose(crops[:], expected(boxes), atol=1e-4)


def test_workers_and_shards_from_python(tmp_path):
    write_per_image(tmp_path / "maps.h5")
    boxes = boxes_by_id()
    extract(tmp_path / "maps.h5", boxes, tmp_path / "two.h5", workers=2, **SPREAD_CALL)
    assert np.array_equal(crops_of(tmp_path / "two.h5"), expected(boxes))
    done = [extract(tmp_path / "maps.h5", boxes, tmp_path / "parts", shard=f"{i}/2", **SPREAD_CALL) for i in (1, 2)]
    assert sum(summary.total.boxes for summary in done) == 27
    with open_crops(tmp_path / "parts") as crops:
        assert np.array_equal(crops[:][np.argsort(crops.box_index)], expected(boxes))
    again = extract(tmp_path / "maps.h5", boxes, tmp_path / "parts", shard="1/2", resume=True, **SPREAD_CALL)
    assert again.total.boxes == done[0].total.boxes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "workers: expected a pyramid in files"),
        ({"workers": 0}, "workers: expected at least 1"),
        ({"shard": "1,2/2"}, "shard: expected one shard"),
        ({"shard": "3/2"}, "shard"),
        ({"group": "{id}"}, "expected for files"),
        ({"assign": "p9"}, "--assign: expected canonical, all or one of p2, p3, p4"),
    ],
)
def test_more_options_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        extract(Maker(), boxes_by_id(), tmp_path / "crops.h5", **options)


def test_an_option_that_is_none(tmp_path):
    with pytest.raises(TypeError, match=r"extract\(\) got an unexpected keyword argument 'out_size'"):
        extract(Maker(), {"17": [[1, 1, 9, 9]]}, tmp_path / "o.h5", out_size=3)


def test_options_are_those_of_the_command():
    """All but those of the terminal."""
    terminal = {"pyramid", "boxes", "out", "stats", "dry_run", "bar", "quiet", "verbose", "no_color"}
    command = {option.name for option in main.commands["extract"].params} - terminal
    assert set(ExtractOptions.__annotations__) - {"compression_level"} == command


def test_files_elsewhere_are_allowed_as_in_the_command(tmp_path):
    write_per_image(tmp_path / "t.h5")
    (tmp_path / "in").mkdir()
    with h5py.File(tmp_path / "in" / "p.h5", "w") as file, h5py.File(tmp_path / "t.h5") as target:
        for name in target:
            file[name] = h5py.ExternalLink("../t.h5", f"/{name}")
        boxes = {next(iter(target)): [[1, 1, 9, 9]]}
    with pytest.raises(InputError, match="--allow-external"):
        extract(tmp_path / "in" / "p.h5", boxes, tmp_path / "o.h5", box_space="input")
    extract(tmp_path / "in" / "p.h5", boxes, tmp_path / "o.h5", box_space="input", allow_external=True)
    extract(tmp_path / "t.h5", boxes, tmp_path / "named.h5", box_space="input")
    np.testing.assert_array_equal(open_crops(tmp_path / "o.h5")[:], open_crops(tmp_path / "named.h5")[:])
