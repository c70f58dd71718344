"""Small pyramids in every layout, box files in every format, and the ways to run the command on them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner

from msroi_cli import open_crops
from msroi_cli.cli import main

STRIDES = {"p2": 4, "p3": 8, "p4": 16}
CHANNELS = 3
INPUT_WIDTH, INPUT_HEIGHT = 96, 64
IDS = ["17", "4", "230"]
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
# Spreads small boxes over the levels of a small pyramid: sizes below 16, 16 to 32, and larger ones.
SPREAD = ("--canonical-scale", "16", "--canonical-level", "1")
SPREAD_CALL = {"canonical_scale": 16, "canonical_level": 1}


def image_maps(seed=0, dtype="float32", width=INPUT_WIDTH, height=INPUT_HEIGHT, channels=CHANNELS):
    """The levels of one image: {name: (C, H, W)}."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((channels, height // stride, width // stride)).astype(dtype)
        for name, stride in STRIDES.items()
    }


def batch_maps(count=3, dtype="float32"):
    """The levels of images of one size: {name: (N, C, H, W)}."""
    images = [image_maps(seed, dtype) for seed in range(count)]
    return {name: np.stack([image[name] for image in images]) for name in STRIDES}


def differing_maps(dtype="float32"):
    """Images of different sizes, by id: {id: {name: (C, H, W)}}."""
    sizes = [(96, 64), (64, 128), (160, 32)]
    return {
        key: image_maps(seed, dtype, width, height)
        for seed, (key, (width, height)) in enumerate(zip(IDS, sizes, strict=True))
    }


def write_batched(path, maps=None, *, ids=None, inside="/", strides=STRIDES, driver=None, storage=None, **beside):
    """A batched HDF5 pyramid; `beside` holds further datasets, `storage` options of the levels' datasets."""
    maps = batch_maps() if maps is None else maps
    with h5py.File(path, "w", **(driver or {})) as file:
        group = file.require_group(inside)
        for name, array in maps.items():
            dataset = group.create_dataset(name, data=array, **(storage or {}))
            if strides and name in strides:
                dataset.attrs["stride"] = strides[name]
        if ids is not None:
            group["image_ids"] = ids
        for name, values in beside.items():
            group[name] = values
    return path


def write_per_image(
    path, images=None, *, inside="/", strides=STRIDES, lead=False, storage=None, factors=None, sizes=None
):
    """An HDF5 pyramid with one group an image; `lead` gives the datasets a first axis of 1."""
    images = differing_maps() if images is None else images
    with h5py.File(path, "w") as file:
        root = file.require_group(inside)
        for key, maps in images.items():
            group = root.create_group(key)
            for name, array in maps.items():
                dataset = group.create_dataset(name, data=array[None] if lead else array, **(storage or {}))
                if strides and name in strides:
                    dataset.attrs["stride"] = strides[name]
            if factors is not None:
                group.attrs["scale_factor"] = factors[key]
            if sizes is not None:
                group.attrs["image_size"] = sizes[key]
    return path


def channels_last(path, chosen=lambda name: True, layout="hwc"):
    """Stores the levels of an HDF5 pyramid channels last: those whose path in the file is `chosen`."""
    with h5py.File(path, "a") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            old = file[name]
            if old.ndim in (3, 4) and chosen(name):
                values, attributes = np.moveaxis(old[()], -3, -1), dict(old.attrs)
                storage = {
                    key: getattr(old, key) for key in ("compression", "compression_opts", "shuffle", "fletcher32")
                }
                if old.chunks:
                    *head, deep, high, wide = old.chunks
                    storage["chunks"] = (*head, high, wide, deep)
                del file[name]
                new = file.create_dataset(name, data=values, **storage)
                new.attrs.update({**attributes, "layout": layout})
    return path


def write_json_pyramid(path, maps=None, *, strides=STRIDES, **beside):
    """A pyramid in JSON."""
    maps = batch_maps() if maps is None else maps
    levels = [{"name": name, "stride": strides[name], "data": array.tolist()} for name, array in maps.items()]
    path.write_text(json.dumps({"levels": levels, **beside}))
    return path


def write_npz(path, maps=None, *, compressed=False, **beside):
    """A pyramid in NPZ."""
    maps = batch_maps() if maps is None else maps
    save = np.savez_compressed if compressed else np.savez
    save(path, **maps, **{"strides": list(STRIDES.values()), **beside})
    return path


def write_json(path, data):
    """Any JSON file."""
    path.write_text(json.dumps(data))
    return path


def random_boxes(count, seed=0, width=INPUT_WIDTH, height=INPUT_HEIGHT):
    """Boxes (K, 4), x1 y1 x2 y2, of many sizes, most of them on the map; their numbers fit in float32."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(2), np.log(60), (count, 2)))
    corners = rng.uniform(-4, 1, (count, 2)) + rng.uniform(0, 1, (count, 2)) * (width, height)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32).astype(np.float64)


def random_rows(count, images=3, seed=0):
    """RoIs (K, 5): image index and box, the images in no order."""
    return np.column_stack([np.random.default_rng(seed + 1).integers(0, images, count), random_boxes(count, seed)])


def coco(boxes, keys, **columns):
    """A COCO data set of boxes (x1, y1, x2, y2), `keys` being the image id of each."""
    annotations = [
        {"image_id": key, "bbox": [float(v) for v in (x1, y1, x2 - x1, y2 - y1)]}
        for key, (x1, y1, x2, y2) in zip(keys, boxes, strict=True)
    ]
    for name, values in columns.items():
        for annotation, value in zip(annotations, values, strict=True):
            annotation[name] = value
    return {"images": [{"id": key} for key in dict.fromkeys(keys)], "annotations": annotations}


def run(*args, stdin=None):
    """Runs `msroi` in this process; the result has exit_code, stdout and stderr."""
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin, prog_name="msroi")


def extracted(out, pyramid, boxes, *options, stdin=None):
    """Runs `msroi extract` to a good end and opens what it wrote."""
    result = run("extract", pyramid, boxes, "-o", out, *options, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return open_crops(out)


def process(*args, **options):
    """Starts `msroi` as a process of its own, in UTF-8 whatever the locale."""
    environment = {**os.environ, "PYTHONUTF8": "1", **options.pop("env", {})}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "msroi_cli", *map(str, args)]
    return subprocess.Popen(command, env=environment, **{**streams, **options})


def ran(*args, stdin=b"", **options):
    """Runs `msroi` as a process of its own to its end: exit code, stdout, stderr; a closed stream is empty."""
    child = process(*args, **options)
    stdout, stderr = child.communicate(stdin, timeout=60)
    return child.returncode, (stdout or b"").decode(errors="replace"), (stderr or b"").decode(errors="replace")


def refused(result, code, pattern):
    """Asserts that a run ended as errors should: its code, one line on standard error, nothing on standard output.

    Warnings about the inputs may stand before it.
    """
    assert (result.exit_code, result.stdout) == (code, ""), (result.exit_code, result.stdout, result.stderr)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning: ", "  "))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("msroi: error: "), result.stderr
    assert re.search(pattern, lines[0]), lines[0]
