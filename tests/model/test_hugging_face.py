"""Files in which Hugging Face's image processors say what they do: followed to the letter, or refused."""

from __future__ import annotations

import json

import pytest

from msroi_cli.errors import InputError
from msroi_cli.model.hugging_face import read_preprocessor_config
from msroi_cli.model.preprocessing import Preprocessing
from msroi_cli.model.resize import Exact, Sides, Unchanged

CLIP = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.26, 0.27],
    "do_convert_rgb": True,
    "image_processor_type": "CLIPImageProcessor",
}


def kind(name, end="ImageProcessor"):
    """The key that names a processor."""
    return {"image_processor_type": name + end}


def config(path, **changes):
    """A file like CLIP's, with changes."""
    path.write_text(json.dumps({key: value for key, value in {**CLIP, **changes}.items() if value != "left out"}))
    return path


def test_a_file_of_hugging_face_is_read(tmp_path):
    done = read_preprocessor_config(config(tmp_path / "p.json"))
    assert done == Preprocessing(
        Sides(224, None, "cut"), "bicubic", "rgb", 1 / 255, (0.48, 0.45, 0.4), (0.26, 0.26, 0.27)
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"size": {"height": 384, "width": 512}}, {"resize": Exact((512, 384))}),
        ({**kind("Detr"), "size": {"shortest_edge": 800, "longest_edge": 1333}, "resample": "left out"},
         {"resize": Sides(800, 1333, "cut"), "interpolation": "bilinear"}),
        ({**kind("Detr", "FeatureExtractor"), "do_pad": True, "max_size": 9, "format": "coco_detection",
          "size": {"shortest_edge": 8, "longest_edge": 9}}, {"resize": Sides(8, 9, "cut"), "pad_size": None}),
        ({**kind("Sam"), "size": {"longest_edge": 1024}, "pad_size": {"height": 1024, "width": 1024},
          "mask_size": {"longest_edge": 256}}, {"resize": Sides(None, 1024), "pad_size": (1024, 1024)}),
        ({**kind("ConvNext"), "size": {"shortest_edge": 384}}, {"resize": Exact((384, 384))}),
        ({**kind("DPT", "ImageProcessorFast"), "size": {"height": 384, "width": 384, "longest_edge": None},
          "keep_aspect_ratio": False, "ensure_multiple_of": 1, "size_divisor": None}, {"resize": Exact((384, 384))}),
        ({"do_resize": "left out", "do_normalize": "left out"},
         {"resize": Sides(224, None, "cut"), "std": (0.26, 0.26, 0.27)}),
        ({"crop_pct": None, "do_center_crop": False, "do_thumbnail": False, "crop_size": {"height": 9, "width": 9}},
         {"resize": Sides(224, None, "cut")}),
        ({"frobnicate": None, "data_format": "channels_first", "processor_class": "P", "default_to_square": True},
         {"resize": Sides(224, None, "cut")}),
        ({"do_resize": False}, {"resize": Unchanged()}),
        ({"do_normalize": False}, {"mean": (0, 0, 0), "std": (1, 1, 1), "rescale": 1 / 255}),
        ({"do_rescale": False}, {"rescale": 1}),
        ({"do_rescale": "left out"}, {"rescale": 1 / 255}),
        ({"do_flip_channel_order": True}, {"color": "bgr"}),
    ],
)  # fmt: skip
def test_what_a_file_of_hugging_face_says_is_done(tmp_path, changes, wanted):
    done = read_preprocessor_config(config(tmp_path / "p.json", **changes))
    assert {name: getattr(done, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_center_crop": True}, "do_center_crop: expected False"),
        ({"do_normalize": "false"}, "do_normalize: expected true or false, got 'false'"),
        ({"do_thumbnail": True}, "do_thumbnail: expected False"),
        ({"keep_aspect_ratio": True}, "keep_aspect_ratio: expected False, .* got True; give --resize, --rescale"),
        ({"ensure_multiple_of": 14}, "ensure_multiple_of: expected 1"),
        ({"crop_pct": 0.875}, "crop_pct: expected 1"),
        ({"rescale_offset": True}, "rescale_offset: expected False"),
        ({"include_top": True}, "include_top: expected False"),
        ({"offset": True}, "offset: expected False"),
        ({"data_format": "channels_last"}, "data_format: expected 'channels_first'"),
        ({"frobnicate": 3}, "frobnicate: expected no such key"),
        ({"min_pixels": 3136}, "min_pixels: expected no such key"),
        ({"max_size": 250}, "max_size: expected none beside .*, got 250"),
        ({"crop_size": {"height": 9, "width": 9}}, "do_center_crop: expected false beside crop_size"),
        ({"do_resize": "left out", "size": "left out"}, "do_resize: expected true or false, got none"),
        ({"do_normalize": "left out", "image_mean": "left out"}, "do_normalize: expected true or false"),
        ({"do_normalize": False, "do_rescale": "left out", "rescale_factor": "left out"}, "do_rescale: expected true"),
        ({"resample": "left out"}, "resample: expected .*--interpolation settles it"),
        ({"do_pad": True}, "do_pad: expected false, as it is not known where CLIP pads"),
        ({**kind("Sam"), "size": {"longest_edge": 9}}, "do_pad: expected false"),
        ({"size": {"shortest_edge": 8, "longest_edge": 9}}, "size: expected height and width of CLIP, got"),
        ({"size": {"height": 8, "width": 8, "longest_edge": 9}}, "size: expected height and width, or"),
        ({**kind("Qwen2VL"), "size": {"shortest_edge": 3136, "longest_edge": 12845}}, "and width of Qwen2VL, got"),
        ({"image_processor_type": None, "size": {"shortest_edge": 3136, "longest_edge": 12845056}}, "1 to 65536, got"),
        ({**kind("ConvNext")}, "size: expected height and width of ConvNext"),
        ({**kind("Owlv2"), "size": {"height": 8, "width": 8}}, "expected a processor that does what its file says"),
        (
            {**kind("LayoutLMv2"), "size": {"height": 8, "width": 8}},
            "got LayoutLMv2ImageProcessor; give --resize",
        ),
        ({"size": 224}, "size: expected height and width"),
        ({"size": {"shortest_edge": 2.5}}, "size: expected a whole number"),
        ({"size": {"shortest_edge": None}}, "size: expected"),
        ({"size_divisor": 32}, "size_divisor: expected 0 or 1"),
        ({"resample": 9}, "resample: expected"),
        ({"image_mean": 0.5}, "image_mean: expected 3 numbers"),
        ({"image_std": [0, 1, 1]}, "std"),
        ({"rescale_factor": "1/255"}, "rescale_factor: expected a number"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_preprocessor_config(config(tmp_path / "p.json", **changes))


def test_a_resize_that_is_given_replaces_crop_and_resize_of_the_file(tmp_path):
    path = config(tmp_path / "p.json", do_center_crop=True, size_divisor=32, **kind("Owlv2"))
    assert read_preprocessor_config(path, {"resize": Exact((70, 70))}).resize == Exact((70, 70))


def test_an_interpolation_that_is_given_need_not_be_in_the_file(tmp_path):
    path = config(tmp_path / "p.json", resample="left out")
    assert read_preprocessor_config(path, {"interpolation": "bicubic"}).resize == Sides(224, None, "cut")


@pytest.mark.parametrize("text", ["[]", '{"image_processor": 3}', "{}", "{", '{"a": 1}'])
def test_a_file_that_is_no_config_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=r"p\.json"):
        read_preprocessor_config(tmp_path / "p.json")
