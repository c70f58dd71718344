"""What has to be true of a damaged file: it is refused in one line, or it is read as h5py, NumPy or Pillow read it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from msroi_cli import open_crops
from tests.builders import run, write_json
from tests.fuzz import seeds

OPTIONS = ("-q", "--output-size", "3", "--threads", "1")


class FindingError(Exception):
    """Something that must not be."""


def ended(result, what):
    """The exit code of a run that ended as it may: done, or refused in one line."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise FindingError(f"{what}: {type(result.exception).__name__}: {result.exception}")
    lines = result.stderr.splitlines()
    if "this is a bug in msroi" in result.stderr:
        raise FindingError(f"{what}: {lines[-2][:300]} at {lines[-4][:200]}")
    if result.exit_code not in (0, 2, 3):
        raise FindingError(f"{what}: exit code {result.exit_code}: {result.stderr[-300:]}")
    if result.exit_code and not result.stdout and len(lines) != 1:
        raise FindingError(f"{what}: {len(lines)} lines: {result.stderr[:300]}")
    return result.exit_code


def _unread(error):
    return f"read, and the reference cannot: {type(error).__name__}: {error}"[:400]


# ---------------------------------------------------------------- pyramids


def pyramid_subject(path, folder, number):
    """Pools the whole of a level of each image; the exit code."""
    boxes = write_json(folder / "whole.json", seeds.WHOLE)
    name = list(seeds.SIDES)[number % len(seeds.SIDES)]
    out = folder / f"{name}-a.h5"
    code = ended(run("extract", path, boxes, "-o", out, "--overwrite", "--levels", name, *OPTIONS), f"extract {name}")
    if code and out.exists():
        raise FindingError(f"extract {name}: refused and written")
    look = ("inspect", path) if number % 4 < 2 else ("validate", path, boxes)
    ended(run(*look), look[0])
    return {name: code}


def pyramid_oracle(path, folder, codes):
    """What h5py or NumPy read of the file, written anew, gives the same crops."""
    for name, code in codes.items():
        if code:
            continue
        anew = folder / f"{name}-anew.h5"
        try:
            (_npz_anew if path.suffix == ".npz" else _hdf5_anew)(path, anew, name)
        except FindingError:
            raise
        except Exception as error:
            raise FindingError(_unread(error)) from error
        out = folder / f"{name}-b.h5"
        code = ended(run("extract", anew, folder / "whole.json", "-o", out, "--levels", name, *OPTIONS), "anew")
        if code:
            raise FindingError(f"{name}: read, and what the reference reads is refused")
        _same(folder / f"{name}-a.h5", out, name)


def _same(one, other, name):
    with h5py.File(one) as first, h5py.File(other) as second:
        for column in ("crops", "boxes", "level", "status", "image_index"):
            if not np.array_equal(first[column][()], second[column][()], equal_nan=column in ("crops", "boxes")):
                raise FindingError(f"{name}: silent difference in {column}")


def _hdf5_anew(path, anew, level):
    """Copies a level and what stands beside it, by h5py, value by value."""
    with h5py.File(path) as old, h5py.File(anew, "w") as new:
        if isinstance(old.get(level), h5py.Dataset):
            _copied(old, new, level)
            for name in ("image_ids", "image_sizes", "scale_factors"):
                if name in old:
                    _copied(old, new, name)
            return
        for key in old:
            if isinstance(old[key], h5py.Group):
                group = new.create_group(key)
                for name in ("scale_factor", "image_size"):
                    if name in old[key].attrs:
                        group.attrs[name] = old[key].attrs[name]
                _copied(old[key], group, level)


def _copied(old, new, name):
    _check_that_a_member_is_found(old, name)
    if old[name].chunks is not None:
        _check_that_chunks_are_found(old[name])
    values = old[name][()]
    dtype = values.dtype.newbyteorder("=") if values.dtype.kind in "fiu" else values.dtype
    new.create_dataset(name, data=values.astype(dtype))
    for key in ("stride", "spatial_scale"):
        if key in old[name].attrs:
            new[name].attrs[key] = old[name].attrs[key]


CONTRADICTS = "HDF5 contradicts itself"


def _check_that_a_member_is_found(group, name):
    """Where HDF5 lists a member and does not find it by its name, msroi goes by the list."""
    if name.encode() in list(group.id):
        try:
            group.id.links.get_info(name.encode())
        except (KeyError, RuntimeError) as error:
            raise FindingError(f"{CONTRADICTS}: {error}") from error


def _check_that_chunks_are_found(dataset):
    """Where HDF5 lists a chunk and does not find it, it reads a fill value: as good as a value that is missing."""
    listed = []
    dataset.id.chunk_iter(listed.append)
    for chunk in listed:
        try:
            dataset.id.read_direct_chunk(chunk.chunk_offset)
        except RuntimeError as error:
            raise FindingError(f"{CONTRADICTS}: {error}") from error


def _npz_anew(path, anew, level):
    with np.load(path) as archive, h5py.File(anew, "w") as file:
        values = archive[level]
        names = sorted((name for name in seeds.SIDES if name in archive), key=lambda name: -archive[name][0, 0].size)
        file.create_dataset(level, data=values)
        file[level].attrs["stride"] = archive["strides"][names.index(level)]
        for name in ("image_ids", "image_sizes", "scale_factors"):
            if name in archive:
                ids = archive[name]
                file[name] = [str(key) for key in ids.tolist()] if name == "image_ids" else ids


# ---------------------------------------------------------------- boxes


def boxes_subject(path, folder, number):
    """Assigns levels."""
    result = run("assign", path, "--strides", "4,8", "-q", "--on-bad-box", "null")
    ended(result, "assign")
    ended(run("inspect", path), "inspect")
    (folder / "assigned").write_text(result.stdout)
    return {"assign": result.exit_code}


def boxes_oracle(path, folder, codes):
    """What h5py reads of the file, written anew, gives the same."""
    if codes["assign"] or path.suffix != ".h5":
        return
    anew = folder / "anew.h5"
    try:
        with h5py.File(path) as old, h5py.File(anew, "w") as new:
            _all_copied(old, new)
    except Exception as error:
        raise FindingError(_unread(error)) from error
    result = run("assign", anew, "--strides", "4,8", "-q", "--on-bad-box", "null")
    if result.stdout != (folder / "assigned").read_text():
        raise FindingError(f"silent difference: {result.stderr[:300]}")


WANTED = ("rois", "boxes", "image_ids", "image_index", "score", "scores", "category_id", "labels", "annotation_id")


def _all_copied(old, new):
    """What box files are read for: the arrays of a file, or those of its groups."""
    for name in filter(_is_text, old.id):
        item = h5py.h5o.open(old.id, name)
        if isinstance(item, h5py.h5g.GroupID):
            _copied_arrays(h5py.Group(item), new.create_group(name))
    _copied_arrays(old, new)


def _is_text(name):
    """Whether a name is UTF-8: another is none of an image or an array."""
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def _copied_arrays(old, new):
    for name in WANTED:
        item = old.get(name)
        if isinstance(item, h5py.Dataset):
            new.create_dataset(name, data=item[()])


# ---------------------------------------------------------------- crops


def crops_subject(path, folder, number):
    """Everything that reads crops."""
    codes = {"stats": ended(run("stats", path, "--json", "-q"), "stats")}
    lines = (
        ("inspect", path),
        ("verify", path, "-q"),
        ("export", path, folder / "ragged.h5", "--layout", "ragged", "-q", "--overwrite"),
        ("preview", "crops", path, "-o", folder / "sheet.png", "--overwrite", "--count", "4"),
    )
    line = lines[number // 6 % len(lines)]
    ended(run(*line), line[0])
    return codes


def crops_oracle(path, folder, codes):
    """Crops and columns are those that h5py reads."""
    if codes["stats"]:
        return
    with open_crops(path) as crops:
        try:
            with h5py.File(path) as file:
                expected = {name: file[name][()] for name in ("crops", "boxes", "image_index", "level", "status")}
        except Exception as error:
            raise FindingError(_unread(error)) from error
        for name, values in expected.items():
            got = crops[:] if name == "crops" else getattr(crops, name)
            if not np.array_equal(got, values, equal_nan=name in ("crops", "boxes")):
                raise FindingError(f"silent difference in {name}")


# ---------------------------------------------------------------- pictures


def picture_subject(path, folder, number):
    """Draws boxes over it."""
    pyramid, boxes = folder / "maps.h5", folder / "boxes.json"
    line = ("preview", "boxes", pyramid, boxes, "--picture", path, "-o", folder / "o.png", "--overwrite")
    return {"preview": ended(run(*line), "preview")}


def nothing(path, folder, codes):
    """Pillow alone knows what a picture is."""


# ---------------------------------------------------------------- journals, spools, partial outputs


def work_subject(path, folder, number):
    """Goes on with a job whose work files are damaged: the output is what it would have been, or there is none."""
    way = json.loads((path / "way.json").read_text())
    with seeds.small_batches():
        result = run(*seeds.resumed(path, way, path / "maps.h5", path / "boxes.json"))
    code = ended(result, "resume")
    out = path / "o.h5"
    if code and out.exists():
        raise FindingError("resume: refused and written")
    if not code:
        _same_output(out, path / "expected.h5")
    return {"resume": code}


def _same_output(out: Path, expected: Path):
    with h5py.File(out) as first, h5py.File(expected) as second:
        if sorted(first) != sorted(second):
            raise FindingError(f"resume: another output: {sorted(first)}")
        for name in second:
            one, other = first[name][()], second[name][()]
            texts = one.dtype.kind == "O" and other.dtype.kind == "O"
            if not (one.tolist() == other.tolist() if texts else one.tobytes() == other.tobytes()):
                raise FindingError(f"resume: another output: {name}")
        for name in second.attrs:
            if name != "creation_date" and first.attrs.get(name) != second.attrs[name]:
                raise FindingError(f"resume: another output: attribute {name}")


SUBJECTS = {
    "pyramid": pyramid_subject,
    "npz": pyramid_subject,
    "boxes": boxes_subject,
    "crops": crops_subject,
    "picture": picture_subject,
    "work": work_subject,
}
ORACLES = {
    "pyramid": pyramid_oracle,
    "npz": pyramid_oracle,
    "boxes": boxes_oracle,
    "crops": crops_oracle,
    "picture": nothing,
    "work": nothing,
}
