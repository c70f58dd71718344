"""`msroi preview`: pictures that show what they should, of any size and number of boxes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from msroi_cli.preview.drawing.colours import GREY, WHITE, level_colour
from msroi_cli.preview.drawing.components import component_colours
from msroi_cli.preview.drawing.contact_sheet import cut_of
from msroi_cli.preview.drawing.heat import coloured, range_of
from msroi_cli.preview.showing import shown_features
from tests.builders import (
    IDS,
    SAMPLE_DATA,
    batch_maps,
    extracted,
    image_maps,
    refused,
    run,
    write_batched,
    write_json,
    write_per_image,
)
from tests.pictures import has_colour, margin, opened

PAGE = SAMPLE_DATA / "page.png"
PYRAMID, WORDS = SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json"
GROUND = (90, 90, 90)


def drawn(tmp_path, *arguments):
    """The pixels of a preview that worked."""
    result = run("preview", *arguments, "-o", tmp_path / "x.png", "--overwrite")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", ""), (result.stderr, result.exception)
    return opened(tmp_path / "x.png")


def plain_picture(path, width, height):
    Image.new("RGB", (width, height), GROUND).save(path)
    return path


def pyramid_of(path, width, height):
    """A pyramid of one image whose input has that size."""
    maps = {name: array[None] for name, array in image_maps(0, width=width, height=height).items()}
    return write_batched(path, maps, ids=["17"])


def some_boxes(count, width, height, seed=0):
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(2), np.log(max(width, height)), (count, 2)))
    corners = rng.uniform(0, 1, (count, 2)) * (width, height) - sides / 3
    return np.column_stack([np.zeros(count), corners, corners + sides]).tolist()


def test_a_box_is_where_it_should_be(tmp_path):
    pyramid = pyramid_of(tmp_path / "p.h5", 640, 480)
    boxes = write_json(tmp_path / "b.json", [[0, 100, 50, 300, 200]])
    picture = plain_picture(tmp_path / "p.png", 640, 480)
    pixels = drawn(tmp_path, "boxes", pyramid, boxes, "--picture", picture)[:480]
    marked = (pixels == np.array(level_colour(1), np.uint8)).all(axis=-1)
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    assert [columns[0], rows[0], columns[-1], rows[-1]] == [100, 50, 300, 200]
    assert (pixels[100, 200] == GROUND).all()


def test_original_pixels(tmp_path):
    maps = {"17": image_maps(0, width=640, height=480)}
    factors, sizes = {"17": (2.0, 3.0)}, {"17": (300.0, 150.0)}
    pyramid = write_per_image(tmp_path / "p.h5", maps, factors=factors, sizes=sizes)
    boxes = write_json(tmp_path / "b.json", {"17": [[30, 15, 150, 75]]})
    picture = plain_picture(tmp_path / "p.png", 300, 150)
    pixels = drawn(tmp_path, "boxes", pyramid, boxes, "--box-space", "original", "--picture", picture)[:300]
    marked = (pixels != np.array(GROUND, np.uint8)).any(axis=-1)
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    assert [columns[0], rows[0], columns[-1], rows[-1]] == [59, 29, 301, 151]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize(("width", "height"), [(32, 16), (4000, 3008), (16, 1008)])
@pytest.mark.parametrize("with_picture", [True, False])
def test_any_size_and_any_number_of_boxes(tmp_path, count, width, height, with_picture):
    pyramid = pyramid_of(tmp_path / "p.h5", width, height)
    boxes = write_json(tmp_path / "b.json", some_boxes(count, width, height))
    more = ("--picture", plain_picture(tmp_path / "p.png", width, height)) if with_picture else ()
    pixels = drawn(tmp_path, "boxes", pyramid, boxes, *more)
    longest = max(pixels.shape[:2])
    assert 480 <= longest <= 4096 + 200
    below = pixels[-12:]
    assert (below[-1] == WHITE).all()
    assert has_colour(pixels, level_colour(0)) > 10


def test_the_legend_has_every_level_and_the_boxes_that_have_none(tmp_path):
    pyramid = pyramid_of(tmp_path / "p.h5", 640, 480)
    boxes = write_json(tmp_path / "b.json", [[0, 1, 1, 9, 9], [0, 9, 9, 1, 1], [0, 1, 1, 1e39, 9]])
    pixels = drawn(tmp_path, "boxes", pyramid, boxes)
    for colour in (*map(level_colour, range(3)), GREY):
        assert has_colour(pixels, colour) > 50


def test_rules_change_colours(tmp_path):
    pyramid = pyramid_of(tmp_path / "p.h5", 640, 480)
    boxes = write_json(tmp_path / "b.json", [[0, 100, 50, 300, 200]])
    plain = drawn(tmp_path, "boxes", pyramid, boxes)
    other = drawn(tmp_path, "boxes", pyramid, boxes, "--canonical-scale", "40")
    assert has_colour(other, level_colour(2)) > has_colour(plain, level_colour(2)) + 100


@pytest.mark.parametrize("image", IDS)
@pytest.mark.sampled(3)
def test_the_sample_data(tmp_path, image):
    name = {"17": "page.png", "4": "sign.png", "230": "receipt.png"}[image]
    options = ("--box-space", "original", "--image", image)
    with_picture = drawn(tmp_path, "boxes", PYRAMID, WORDS, *options, "--picture", SAMPLE_DATA / name)
    without = drawn(tmp_path, "boxes", PYRAMID, WORDS, *options)
    with Image.open(SAMPLE_DATA / name) as picture:
        assert with_picture.shape[1] == picture.width * -(-480 // max(picture.size))
    assert has_colour(with_picture, level_colour(0)) > 500
    assert has_colour(without, level_colour(0)) > 100


@pytest.fixture
def crops(tmp_path):
    """Crops of the sample data."""
    extracted(tmp_path / "o.h5", PYRAMID, WORDS, "--box-space", "original")
    return tmp_path / "o.h5"


SHOWN = ["mean", "pca", "0", "23"]


@pytest.mark.slow
@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("count", [1, 7, 2000])
def test_contact_sheets(tmp_path, crops, show, count):
    pixels = drawn(tmp_path, "crops", crops, "--show", show, "--count", count)
    assert margin(pixels) >= 5
    assert has_colour(pixels, level_colour(0)) > 100
    beside = drawn(tmp_path, "crops", crops, "--show", show, "--count", count, "--picture", PAGE, "--pyramid", PYRAMID)
    assert margin(beside) >= 5
    if count == 7:
        assert beside.shape[1] > pixels.shape[1] * 0.8


def test_a_sheet_of_one_image(tmp_path, crops):
    every = drawn(tmp_path, "crops", crops, "--count", "2000")
    some = drawn(tmp_path, "crops", crops, "--image", "4", "--count", "2000")
    assert some.shape[0] * some.shape[1] < every.shape[0] * every.shape[1]


def test_a_crop_is_shown_as_it_is(tmp_path):
    maps = batch_maps()
    maps["p2"][:] = np.arange(16, dtype="f4")[:, None]
    maps["p2"][:, 1:] = 0
    extracted(
        tmp_path / "o.h5", write_batched(tmp_path / "p.h5", maps), write_json(tmp_path / "b.json", [[0, 0, 0, 60, 60]])
    )
    pixels = drawn(tmp_path, "crops", tmp_path / "o.h5", "--show", "0")
    bar = (pixels[:, 16:128] == np.array(level_colour(0), np.uint8)).all(axis=(1, 2))
    top = np.flatnonzero(bar)[0] + 6
    tile = pixels[top : top + 112, 16:128].astype(int).sum(axis=-1)
    assert (np.diff(tile[::16, 50]) > 0).all()
    assert (np.diff(tile[5]) == 0).all()


def test_a_large_picture_is_refused_in_words(tmp_path, crops, monkeypatch):
    plain_picture(tmp_path / "p.png", 200, 200)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10000)
    more = ("--picture", tmp_path / "p.png", "-o", tmp_path / "x.png")
    result = run("preview", "boxes", PYRAMID, WORDS, "--box-space", "original", *more)
    refused(result, 3, r"p\.png: expected at most 10,000 pixels")
    refused(run("preview", "crops", crops, "--pyramid", PYRAMID, *more), 3, r"p\.png: expected at most 10,000 pixels")


def grey_with_alpha(path):
    Image.new("LA", (500, 380), (9, 100)).save(path)


def palette(path):
    Image.new("P", (500, 380)).save(path)


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (380, 500)).save(path, "JPEG", exif=exif)


@pytest.mark.parametrize("make", [grey_with_alpha, palette, turned])
def test_pictures_of_all_kinds(tmp_path, make):
    path = tmp_path / ("p.jpg" if make is turned else "p.png")
    make(path)
    pixels = drawn(tmp_path, "boxes", PYRAMID, WORDS, "--box-space", "original", "--picture", path)
    assert pixels.shape[1] == 500


@pytest.mark.parametrize("size", [(380, 500), (250, 190), (501, 380), (500, 382), (1, 1)])
@pytest.mark.sampled(2)
def test_a_picture_of_another_size_is_refused(tmp_path, size):
    picture = plain_picture(tmp_path / "p.png", *size)
    crops = tmp_path / "c.h5"
    assert run("extract", PYRAMID, WORDS, "--box-space", "original", "-o", crops, "-q").exit_code == 0
    for command in (("boxes", PYRAMID, WORDS, "--box-space", "original"), ("crops", crops, "--pyramid", PYRAMID)):
        result = run("preview", *command, "--image", "17", "--picture", picture, "-o", tmp_path / "o.png")
        refused(result, 3, rf"p\.png: expected the picture of image '17', 500 x 380 pixels, got {size[0]} x {size[1]}")
        assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(("size", "good"), [((320, 240), True), ((700, 240), False), ((320, 300), False)])
def test_a_picture_beyond_the_levels_is_refused(tmp_path, size, good):
    """Where only a scale factor is stated."""
    maps = {"17": image_maps(0, width=640, height=480)}
    pyramid = write_per_image(tmp_path / "p.h5", maps, factors={"17": (2.0, 2.0)})
    boxes = write_json(tmp_path / "b.json", {"17": [[30, 15, 150, 75]]})
    options = ("--box-space", "original", "--picture", plain_picture(tmp_path / "p.png", *size))
    result = run("preview", "boxes", pyramid, boxes, *options, "-o", tmp_path / "o.png")
    if good:
        assert result.exit_code == 0, result.stderr
    else:
        refused(result, 3, r"p\.png: expected the picture of image '17', at most 322 x 242 pixels, got ")


NO_PICTURES = {
    "text": lambda path: path.write_text("hello"),
    "nothing": lambda path: None,
    "half": lambda path: path.write_bytes(PAGE.read_bytes()[:5000]),
    "folder": lambda path: path.mkdir(),
    "16 bits": lambda path: Image.fromarray(np.zeros((380, 500), np.uint16)).save(path),
}


@pytest.mark.parametrize("case", NO_PICTURES)
def test_files_that_are_no_pictures(tmp_path, case):
    NO_PICTURES[case](tmp_path / "p.png")
    more = ("--picture", tmp_path / "p.png", "-o", tmp_path / "x.png")
    refused(run("preview", "boxes", PYRAMID, WORDS, "--box-space", "original", *more), 3, r"p\.png: ")


def test_what_cannot_be_shown(tmp_path, crops):
    out = ("-o", tmp_path / "x.png")
    space = ("--box-space", "original")
    refused(
        run("preview", "boxes", PYRAMID, WORDS, *space, "--image", "5", *out), 2, "--image: expected one of 4, 17, 230"
    )
    refused(run("preview", "crops", crops, "--image", "5", *out), 2, "--image: expected one of")
    refused(run("preview", "crops", crops, "--show", "24", *out), 2, "a channel from 0 to 23, got 24")
    refused(run("preview", "crops", crops, "--show", "red", *out), 2, "expected mean, pca or the number")
    refused(run("preview", "crops", crops, "--picture", PAGE, *out), 2, "--picture: expected with --pyramid")
    none = write_json(tmp_path / "none.json", [])
    refused(run("preview", "boxes", PYRAMID, none, *space, *out), 3, "expected boxes of its images, got none")
    extracted(tmp_path / "n.h5", PYRAMID, none, *space)
    refused(run("preview", "crops", tmp_path / "n.h5", *out), 3, "expected crops to show, got none")
    refused(run("preview", "crops", PYRAMID, *out), 3, "expected a crops file")
    assert not (tmp_path / "x.png").exists()


def test_an_existing_picture_is_kept(tmp_path, crops):
    (tmp_path / "x.png").write_text("mine")
    refused(run("preview", "crops", crops, "-o", tmp_path / "x.png"), 2, "exists already; --overwrite")
    assert (tmp_path / "x.png").read_text() == "mine"


def test_crops_with_nan(tmp_path):
    maps = batch_maps()
    maps["p2"][0, 0, 5] = np.nan
    maps["p2"][0, 1, 9] = np.inf
    pyramid = write_batched(tmp_path / "p.h5", maps)
    extracted(tmp_path / "o.h5", pyramid, write_json(tmp_path / "b.json", [[0, 0, 0, 60, 60], [1, 0, 0, 60, 60]]))
    for show in ("mean", "pca", "0"):
        assert has_colour(drawn(tmp_path, "crops", tmp_path / "o.h5", "--show", show), (200, 60, 60)) > 100
    assert shown_features(np.full((1, 2, 3, 3), np.nan), "pca").words.endswith("not finite: red")
    assert shown_features(np.full((1, 2, 3, 3), np.nan), "mean").range.missing


@pytest.mark.parametrize("channels", [1, 2, 3, 9])
def test_principal_components_of_few_channels(channels):
    crops = np.random.default_rng(0).standard_normal((4, channels, 5, 6))
    (first, *_), _ = component_colours(crops)
    assert (first.shape, first.dtype) == ((5, 6, 3), np.uint8)
    for colour in range(3):
        varied = len(np.unique(np.stack(component_colours(crops)[0])[..., colour])) > 1
        assert varied == (colour < channels)


def test_the_first_component_is_what_varies_most():
    rng = np.random.default_rng(0)
    crops = rng.standard_normal((10, 4, 5, 5)) * np.array([1, 20, 2, 1])[:, None, None]
    red = np.stack(component_colours(crops)[0])[..., 0].astype(float).ravel()
    assert np.corrcoef(red, crops[:, 1].ravel())[0, 1] > 0.95


def test_colours_grow_lighter():
    colours = coloured(np.linspace(0, 1, 50)[None], 0, 1)[0].astype(int)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert range_of(np.array([np.nan])) == (0, 1)
    assert len(np.unique(shown_features(np.ones((2, 3, 4, 4)), "mean").pixels)) <= 3


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 1, 1), (100, 50)),
        ((0.1, 0.2, 0.3, 0.6), (20, 20)),
        ((-5, -5, 5, 5), (100, 50)),
        ((0.5, 0.5, 0.5, 0.5), None),
        ((2, 2, 3, 3), None),
        ((float("nan"), 0, 1, 1), None),
    ],
)
def test_cuts(box, size):
    cut = cut_of(Image.new("RGB", (100, 50)), box)
    assert (cut and cut.size) == size


def test_crops_of_reduced_files_are_refused(tmp_path, crops):
    with h5py.File(crops, "a") as file:
        vectors = file["crops"][:, :, 0, 0]
        del file["crops"]
        file["crops"] = vectors
    refused(run("preview", "crops", crops, "-o", tmp_path / "x.png"), 3, "got vectors")


@pytest.mark.parametrize("show", ["mean", "0", "pca"])
@pytest.mark.parametrize("size", [1e300, 1.7e308, 1e-310])
@pytest.mark.sampled(4)
def test_features_of_any_size_are_drawn_without_a_warning(tmp_path, show, size):
    rng = np.random.default_rng(0)
    maps = {"p2": rng.uniform(-1, 1, (1, 4, 16, 24)) * size, "p3": rng.uniform(-1, 1, (1, 4, 8, 12)) * size}
    pyramid = write_batched(tmp_path / "p.h5", maps)
    boxes = write_json(tmp_path / "b.json", [[0, 1, 1, 40, 50], [0, 20, 9, 60, 60]])
    assert run("preview", "boxes", pyramid, boxes, "-o", tmp_path / "b.png").exit_code == 0
    assert run("extract", pyramid, boxes, "-o", tmp_path / "c.h5", "-q").exit_code == 0
    assert len(np.unique(drawn(tmp_path, "crops", tmp_path / "c.h5", "--show", show).reshape(-1, 3), axis=0)) > 20
