"""The files that a model's weights lie in are found as the package onnx finds them, and belong to the fingerprint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.model.session import OnnxModel
from msroi_cli.model.weights import files_of_weights, locations
from tests.onnx_models import save_fpn

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def tensor(name, location=None):
    """A tensor of two numbers, in a file of its own where `location` says so."""
    made = onnx.numpy_helper.from_array(np.array([1, 2], np.float32), name)
    if location is not None:
        made.ClearField("raw_data")
        made.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("offset", "0"), ("location", location)):
            made.external_data.add(key=key, value=value)
    return made


def nested(location, depth=2):
    """A graph with a tensor as initializer and one in an attribute, and the same in graphs of attributes."""
    helper = onnx.helper
    nodes = [helper.make_node("Constant", [], ["a"], value=tensor("v", f"{location}/value{depth}.bin"))]
    if depth:
        inner = nested(location, depth - 1)
        nodes.append(helper.make_node("If", ["c"], ["b"], then_branch=inner, else_branch=inner))
    return helper.make_graph(nodes, "g", [], [], [tensor("inside"), tensor("w", f"{location}/{depth}.bin")])


def test_tensors_of_all_graphs_and_attributes_are_found():
    model = onnx.helper.make_model(nested("sub"))
    tensors = onnx.external_data_helper._get_all_tensors(model)
    wanted = {
        entry.value for one in tensors for entry in one.external_data if one.data_location == one.EXTERNAL
        if entry.key == "location"
    }  # fmt: skip
    assert len(wanted) == 6
    assert locations(model.SerializeToString()) == sorted(wanted)


def test_a_model_with_all_weights_inside_has_no_other_files(tmp_path):
    (tmp_path / "location").write_text("not of the model")
    assert files_of_weights(save_fpn(tmp_path / "m.onnx")) == []


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), length=st.integers(0, 10_000))
def test_damaged_models_give_names_or_none(place, byte, length):
    content = bytearray(onnx.helper.make_model(nested("sub")).SerializeToString())
    content[place % len(content)] = byte
    for damaged in (bytes(content), bytes(content[: length % len(content)])):
        assert isinstance(locations(damaged), list)


@pytest.mark.parametrize("location", ["weights.bin", "sub/weights.bin", "m.onnx.data"])
def test_weights_in_a_file_of_any_name_belong_to_the_fingerprint(tmp_path, location):
    (tmp_path / "sub").mkdir()
    path = save_fpn(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location=location, size_threshold=0)
    before = OnnxModel(path).source
    weights = tmp_path / location
    assert before.size == path.stat().st_size + weights.stat().st_size
    assert OnnxModel(path).source == before
    (np.fromfile(weights, np.float32) * 2).tofile(weights)
    assert OnnxModel(path).source != before


def test_other_files_beside_a_model_do_not(tmp_path):
    path = save_fpn(tmp_path / "m.onnx")
    before = OnnxModel(path).source
    (tmp_path / "m.onnx.h5").write_bytes(b"crops")
    (tmp_path / "m.onnx.data").write_bytes(b"of no model")
    assert OnnxModel(path).source == before
