"""Recipes: what is written is read back, unknown keys are left alone, and what is missing or wrong is one line."""

from __future__ import annotations

import json
import shutil

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.core.reduce import REDUCTIONS
from msroi_cli.core.spec import PRESETS, PoolSpec
from msroi_cli.errors import InputError
from msroi_cli.job.recipe import Recipe, level_name
from msroi_cli.job.request import BoxOptions
from tests.builders import IDS, random_rows, refused, run, write_batched, write_json

REQUIRED = (
    "spatial_scales",
    "output_size",
    "sampling_ratio",
    "compat",
    "aligned",
    "canonical_level",
    "canonical_scale",
)
WRONG = (None, 0, -1, 1e300, "x", [], {}, [[]], {"a": 1}, [None], True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    pyramid = write_batched(folder / "p.h5", ids=IDS)
    boxes = write_json(folder / "b.json", random_rows(8).tolist())
    assert run("extract", pyramid, boxes, "-o", folder / "o.h5", "-q").exit_code == 0
    return folder


@pytest.fixture
def spoilt(inputs, tmp_path):
    """Makes a crops file with changed parameters."""

    def make(change):
        path = shutil.copy(inputs / "o.h5", tmp_path / "o.h5")
        with h5py.File(path, "r+") as file:
            parameters = json.loads(file.attrs["parameters"])
            change(parameters)
            file.attrs["parameters"] = json.dumps(parameters)
            # The checksums know the parameters: a file that has none is as those of earlier versions are.
            del file["column_checksums"]
        return path

    return make


@given(
    st.sampled_from(sorted(PRESETS)),
    st.sampled_from([None, *REDUCTIONS]),
    st.sampled_from(["input", "image"]),
    st.sampled_from(["xyxy", "xywh"]),
    st.booleans(),
    st.integers(1, 4),
)
def test_what_is_written_is_read_back(compat, reduce, order, box_format, normalized, count):
    box = BoxOptions(box_format, normalized=normalized)
    spec = PoolSpec.resolve([1 / 2**level for level in range(2, 2 + count)], (3, 5), compat=compat)
    recipe = Recipe(spec, tuple(f"p{level}" for level in range(count)), box, reduce, order)
    assert Recipe.parse("o.h5", json.loads(json.dumps({**recipe.as_dict(), "later": {"version": 2}}))) == recipe


def commands(folder):
    """The commands that need the recipe, of the file that they are given."""
    pyramid = folder / "p.h5"
    write_json(folder / "none.json", [])
    return {
        "stats": lambda path: run("stats", path),
        "verify": lambda path: run("verify", path, "--recompute", "2", "--against", pyramid),
        "export": lambda path: run(
            "export", path, folder / "e.h5", "--layout", "groups", "--pyramid", pyramid, "--overwrite"
        ),
        "preview": lambda path: run(
            *("preview", "crops", path, "-o", folder / "s.png", "--overwrite"),
            *("--picture", folder / "page.png", "--pyramid", pyramid),
        ),
    }


@pytest.fixture(scope="module")
def picture(inputs):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(inputs / "page.png")


@pytest.mark.usefixtures("picture")
@pytest.mark.parametrize("command", ["stats", "verify", "export", "preview"])
@pytest.mark.parametrize("key", [*REQUIRED, "levels"])
@pytest.mark.sampled(3)
def test_a_missing_key_is_one_line(inputs, spoilt, command, key):
    path = spoilt(lambda parameters: parameters.pop(key))
    refused(commands(inputs)[command](path), 3, f"attribute parameters: expected {key}, got none")


@pytest.mark.usefixtures("picture")
@pytest.mark.parametrize("command", ["stats", "verify", "export", "preview"])
@pytest.mark.parametrize("key", ["later", "box_space", "on_bad_box"])
def test_other_keys_may_come_and_go(inputs, spoilt, command, key):
    def change(parameters):
        if parameters.pop(key, None) is None:
            parameters[key] = [1]

    assert commands(inputs)[command](spoilt(change)).exit_code == 0


@pytest.mark.parametrize("key", [*REQUIRED, "levels", "reduce", "order", "box_format", "group"])
@pytest.mark.parametrize("value", WRONG, ids=str)
@pytest.mark.sampled(5)
def test_wrong_values_are_read_or_one_line(inputs, key, value):
    with h5py.File(inputs / "o.h5") as file:
        parameters = {**json.loads(file.attrs["parameters"]), key: value}
    recipe = error = None
    try:
        recipe = Recipe.parse("o.h5", parameters)
    except InputError as refusal:
        error = str(refusal)
    if recipe is not None:
        assert Recipe.parse("o.h5", recipe.as_dict()) == recipe
    else:
        assert error.startswith("o.h5: attribute parameters: ")
        assert "\n" not in error


@pytest.mark.parametrize("levels", [..., None, 5, {"a": 1}, "abc", []], ids=str)
def test_without_names_levels_are_shown_by_number(spoilt, levels):
    path = spoilt(lambda p: p.pop("levels") if levels is ... else p.update(levels=levels))
    shown = json.loads(run("inspect", path, "--json").stdout)
    assert [level["name"] for level in shown["levels"]] == ["0", "1", "2"]
    assert level_name({"levels": levels}, 1) == "1"
