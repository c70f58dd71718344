"""Models run by ONNX Runtime: outputs and tensors inside, strides, tokens, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from msroi_cli.errors import InputError, RunError, UsageError
from msroi_cli.io.features.layouts import Tokens
from msroi_cli.io.stream.protocol import Pyramid
from msroi_cli.model.graph import internal_maps
from msroi_cli.model.onnx_pyramid import OnnxPyramid, Outputs
from msroi_cli.model.pictures import find_pictures
from msroi_cli.model.preprocessing import Preprocessing
from msroi_cli.model.resize import Exact, Letterbox, Sides
from msroi_cli.model.session import Device, OnnxModel
from tests.model.conftest import SIZES
from tests.onnx_models import STRIDES, save_fpn, save_vit

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

NAMES = {"p2": "p2", "p3": "p3", "p4": "p4"}


def pyramid_of(model, pictures, preprocessing=None, outputs=None, **options):
    outputs = outputs or Outputs(NAMES)
    made = OnnxModel(model, list(outputs.names.values()), **options)
    return OnnxPyramid(made, find_pictures(str(pictures)), preprocessing or Preprocessing(), outputs)


def by_hand(model, picture):
    """The outputs of the runtime itself."""
    session = runtime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": picture.astype(np.float32)})


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing(resize=Sides(64, 100), pad_to=16, rescale=1 / 255),
        Preprocessing(Letterbox((64, 64))),
    ],
    ids=["none", "shortest", "letterbox"],
)
def test_maps_are_the_outputs_of_the_model(tmp_path, pictures, preprocessing):
    from msroi_cli.io.files.picture import read_picture

    model = save_fpn(tmp_path / "m.onnx")
    pyramid = pyramid_of(model, pictures, preprocessing)
    assert isinstance(pyramid, Pyramid)
    assert [level.stride for level in pyramid.levels] == list(STRIDES)
    for key, maps in zip(SIZES, pyramid.maps(list(SIZES)), strict=True):
        wanted = by_hand(model, preprocessing.apply(read_picture(pictures / f"{key}.png")))
        assert all(np.array_equal(made, array[0]) for made, array in zip(maps.values(), wanted, strict=True))
    assert pyramid.runs == 3


def test_tensors_inside_become_outputs(tmp_path, pictures):
    whole = pyramid_of(save_fpn(tmp_path / "all.onnx"), pictures)
    inside = pyramid_of(save_fpn(tmp_path / "some.onnx", outputs=("p3",)), pictures)
    for one, other in zip(whole.maps(["2", "9"]), inside.maps(["2", "9"]), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in NAMES)


def test_tensors_inside_are_listed_with_their_shapes(tmp_path):
    found = internal_maps(save_fpn(tmp_path / "m.onnx", outputs=("p3",)), (64, 32))
    assert found == {
        "c1": (1, 4, 16, 32),
        "c2": (1, 6, 8, 16),
        "c3": (1, 8, 4, 8),
        "c4": (1, 8, 2, 4),
        "p2": (1, 5, 8, 16),
        "p4": (1, 5, 2, 4),
    }


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_and_channels_last_are_maps(tmp_path, pictures, prefix):
    model = save_vit(tmp_path / "m.onnx", prefix=prefix)
    done = Preprocessing(resize=Exact((70, 42)))
    tokens = pyramid_of(model, pictures, done, Outputs({"t": "tokens"}, tokens=Tokens(14)))
    last = pyramid_of(model, pictures, done, Outputs({"t": "last"}, layout="hwc"))
    first = pyramid_of(model, pictures, done, Outputs({"t": "grid"}))
    assert [level.stride for pyramid in (tokens, last, first) for level in pyramid.levels] == [14, 14, 14]
    for maps in zip(*(pyramid.maps(["2"]) for pyramid in (tokens, last, first)), strict=True):
        assert maps[0]["t"].shape == (6, 3, 5)
        assert all(np.array_equal(one["t"], maps[0]["t"]) for one in maps)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (Outputs({"p3": "p3", "p2": "p2"}), "from the finest level to the coarsest, got strides p3 8, p2 4"),
        (Outputs({"p2": "nothing"}), r"expected a tensor nothing, got none"),
        (Outputs(NAMES, strides=[(4, 4), (8, 8), (32, 32)]), "stride 32, got 24 x 16"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(tmp_path, pictures, outputs, message):
    with pytest.raises((InputError, UsageError), match=message):
        pyramid_of(save_fpn(tmp_path / "m.onnx"), pictures, outputs=outputs)


def test_tokens_without_a_patch_are_refused(tmp_path, pictures):
    with pytest.raises(InputError, match=r"expected \(1, C, H, W\), got .*--patch"):
        pyramid_of(save_vit(tmp_path / "m.onnx"), pictures, Preprocessing(Exact((70, 42))), Outputs({"t": "tokens"}))


def test_a_model_of_one_size_refuses_others(tmp_path, pictures):
    model = save_fpn(tmp_path / "m.onnx", size=(64, 96))
    with pytest.raises(
        InputError, match=r"2\.png: expected 96x64 pixels, the only size .* got 100x80 \(--resize 96x64"
    ):
        next(pyramid_of(model, pictures).maps(["2"]))
    assert len(list(pyramid_of(model, pictures, Preprocessing(Exact((96, 64)))).maps(["2", "9"]))) == 2


def save_channels_last(path, sides):
    """A model whose input has the channels behind height and width; it wants 3 of them."""
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.ones((4, 3, 4, 4), np.float32), "w")
    nodes = [
        onnx.helper.make_node("Transpose", ["images"], ["first"], perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", ["first", "w"], ["p2"], strides=[4, 4], kernel_shape=[4, 4]),
    ]
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", sides), ("p2", [None] * 4))
    )
    graph = onnx.helper.make_graph(nodes, "g", [given], [made], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_a_model_of_channels_last_is_refused(tmp_path, pictures, capfd):
    known = save_channels_last(tmp_path / "known.onnx", ["N", "H", "W", 3])
    with pytest.raises(InputError, match=r"images: expected channels first, \(1, 3, H, W\), got channels last"):
        pyramid_of(known, pictures, outputs=Outputs({"p2": "p2"}))
    unknown = save_channels_last(tmp_path / "unknown.onnx", ["N", "H", "W", "C"])
    with pytest.raises(RunError, match=r"unknown\.onnx: the model failed on \(1, 3, 256, 384\): .*Conv"):
        pyramid_of(unknown, pictures, outputs=Outputs({"p2": "p2"}))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08"])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.onnx: expected a model"):
        OnnxModel(tmp_path / "m.onnx")


def test_an_unknown_provider_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--providers: expected some of .*CPUExecutionProvider.*, got Nothing"):
        OnnxModel(save_fpn(tmp_path / "m.onnx"), device=Device(1, ["Nothing"]))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    import sys

    model = save_fpn(tmp_path / "m.onnx", outputs=("p3",))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"package onnx to read p2.*pip install 'msroi\[onnx\]'"):
        OnnxModel(model, ["p2"])
    assert OnnxModel(model, ["p3"]).outputs == ["p3"]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"package onnxruntime to run it: pip install 'msroi\[onnx\]'"):
        OnnxModel(model)


def test_a_picture_that_is_broken_is_named(tmp_path, pictures):
    pyramid = pyramid_of(save_fpn(tmp_path / "m.onnx"), pictures)
    content = (pictures / "9.png").read_bytes()
    (pictures / "9.png").write_bytes(content[: len(content) // 2])
    maps = pyramid.maps(["2", "9"])
    next(maps)
    with pytest.raises(InputError, match=r"9\.png: cannot be read"):
        next(maps)


def test_a_picture_that_changed_is_refused(tmp_path, pictures):
    pyramid = pyramid_of(save_fpn(tmp_path / "m.onnx"), pictures)
    pyramid.geometry("9")
    (pictures / "9.png").write_bytes((pictures / "2.png").read_bytes())
    with pytest.raises(RunError, match=r"9\.png: expected a picture of 120 x 90, as it was before, got 100 x 80"):
        next(pyramid.maps(["9"]))


def test_the_fingerprint_is_that_of_model_outputs_and_preprocessing(tmp_path, pictures):
    model = save_fpn(tmp_path / "m.onnx")
    other = save_fpn(tmp_path / "other.onnx", seed=1)
    prints = {
        pyramid_of(model, pictures).fingerprint,
        pyramid_of(other, pictures).fingerprint,
        pyramid_of(model, pictures, Preprocessing(pad_to=32)).fingerprint,
        pyramid_of(model, pictures, outputs=Outputs({"p2": "p2"})).fingerprint,
    }
    assert len(prints) == 4
    assert pyramid_of(model, pictures).fingerprint in prints


def test_threads_of_the_model_do_not_spin(tmp_path):
    """They would take the processors from the threads that read and pool."""
    options = OnnxModel(save_fpn(tmp_path / "m.onnx"))._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
