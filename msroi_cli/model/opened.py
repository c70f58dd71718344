"""Opens the pyramids that a model makes of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msroi_cli.errors import ArgumentError, UsageError
from msroi_cli.io.features.layouts import Tokens
from msroi_cli.model.candidates import candidates, listed, probe_size
from msroi_cli.model.hugging_face import read_preprocessor_config
from msroi_cli.model.onnx_pyramid import OnnxPyramid, Outputs, Reading
from msroi_cli.model.options import ModelOptions
from msroi_cli.model.pictures import find_pictures
from msroi_cli.model.preprocessing import Preprocessing
from msroi_cli.model.session import Device, OnnxModel

# Pictures are read by so many threads at most; more of them only wait for the model.
MOST_READERS = 8


@dataclass(frozen=True, slots=True)
class Means:
    """What a model may use: threads, which read pictures too, and bytes for pictures that wait for it."""

    threads: int
    memory: int


def open_model(
    path: str, options: ModelOptions, means: Means, strides: Sequence[tuple[float, float]] | None = None
) -> OnnxPyramid:
    """The pyramids of a model's pictures; `strides` are (y, x) pairs, None: they are measured.

    Raises UsageError where the options do not say which outputs are levels, or a package is missing; InputError.
    """
    preprocessing = preprocessing_of(options)
    device = Device(means.threads, options.providers)
    if options.outputs is None:
        raise _without_outputs(OnnxModel(Path(path), device=device))
    pictures = find_pictures(options.pictures)
    outputs = Outputs(options.outputs, options.layout, _tokens(options), strides)
    if strides is not None and len(strides) != len(options.outputs):
        raise UsageError(
            f"--strides: expected {len(options.outputs)} values for {', '.join(options.outputs)}, got {len(strides)}"
        )
    model = OnnxModel(Path(path), list(options.outputs.values()), device)
    model.check_values(preprocessing.table())
    reading = Reading(min(means.threads, MOST_READERS), means.memory, options.on_bad_picture == "skip")
    return OnnxPyramid(model, pictures, preprocessing, outputs, reading)


def preprocessing_of(options: ModelOptions) -> Preprocessing:
    """What is done to pictures: what the file says, changed by the options; raises InputError or UsageError."""
    changes = dict(options.changes)
    if options.preprocessor is None:
        return Preprocessing(**changes)
    base = read_preprocessor_config(options.preprocessor, changes)
    try:
        return replace(base, **changes)
    except ArgumentError as error:
        raise UsageError(f"{options.preprocessor}: with the options: {error}") from error


def _tokens(options: ModelOptions) -> Tokens | None:
    if options.patch is None:
        if options.prefix_tokens is not None:
            raise UsageError("--prefix-tokens: expected with --patch, got it alone")
        return None
    return Tokens(options.patch, options.prefix_tokens)


def _without_outputs(model: OnnxModel) -> UsageError:
    found = candidates(model, probe_size(model))
    return UsageError(
        f"{model.path}: expected --outputs p2=NAME,p3=NAME,... from the finest level to the coarsest; candidates: "
        f"{listed(found)} (`msroi inspect {model.path}` lists all)"
    )
