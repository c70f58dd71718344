"""Bad inputs and bad requests: the exit code, one line that says where, expected and got, and nothing left behind."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

from tests.builders import (
    IDS,
    STRIDES,
    batch_maps,
    differing_maps,
    random_rows,
    refused,
    run,
    write_batched,
    write_json,
    write_npz,
    write_per_image,
)

ROWS = random_rows(5).tolist()
BY_ID = {key: [[1, 2, 30, 20]] for key in IDS}
ROW = {"image_id": 17, "bbox": [1, 2, 3, 4]}
NAN, INF = float("nan"), float("inf")
STRIDE_OPTION = ("--strides", "4,8,16")


class Bench:
    """A folder with good inputs, of which a case spoils one, and an empty folder for the output."""

    def __init__(self, folder):
        self.folder = folder
        self.pyramid = write_batched(folder / "maps.h5", ids=IDS)
        self.boxes = write_json(folder / "boxes.json", ROWS)
        (folder / "out").mkdir()
        self.out = folder / "out" / "crops.h5"
        self.options = ()
        self.stdin = None

    def text(self, name, content):
        """A file of any content."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


# ---------------------------------------------------------------- pyramids that are none


def pyramid_text(content, name="maps.h5"):
    def spoil(bench):
        bench.pyramid = bench.text(name, content)

    return spoil


def pyramid_json(data, boxes=None):
    def spoil(bench):
        bench.pyramid = write_json(bench.folder / "maps.json", data)
        bench.boxes = write_json(bench.folder / "boxes.json", boxes or [[0, 1, 2, 3, 4]])

    return spoil


def pyramid_npz(*options, **arrays):
    def spoil(bench):
        bench.pyramid = bench.folder / "maps.npz"
        np.savez(bench.pyramid, **arrays)
        bench.options = options

    return spoil


def truncated(keep):
    def spoil(bench):
        content = bench.pyramid.read_bytes()
        bench.pyramid.write_bytes(content[: int(len(content) * keep)])

    return spoil


def pyramid_missing(name):
    def spoil(bench):
        bench.pyramid = bench.folder / name

    return spoil


def level_replaced(array, *options, name="p3"):
    """A batched pyramid with another `name`."""

    def spoil(bench):
        with h5py.File(bench.pyramid, "a") as file:
            del file[name]
            file.create_dataset(name, data=array).attrs["stride"] = STRIDES[name]
        bench.options = options

    return spoil


def stride_replaced(value, attribute="stride"):
    def spoil(bench):
        with h5py.File(bench.pyramid, "a") as file:
            del file["p3"].attrs["stride"]
            if value is not None:
                file["p3"].attrs[attribute] = value

    return spoil


def batched_with(boxes=None, options=(), **beside):
    def spoil(bench):
        bench.pyramid = write_batched(bench.folder / "maps.h5", **{"ids": IDS, **beside})
        if boxes is not None:
            bench.boxes = write_json(bench.folder / "boxes.json", boxes)
        bench.options = options

    return spoil


def per_image(change=lambda file: None, *options, **given):
    """A per-image pyramid on which `change` has worked, and a box on every image."""

    def spoil(bench):
        bench.pyramid = write_per_image(bench.folder / "maps.h5", **given)
        with h5py.File(bench.pyramid, "a") as file:
            change(file)
        bench.boxes = write_json(bench.folder / "boxes.json", BY_ID)
        bench.options = options

    return spoil


def replaced(path, array):
    def change(file):
        del file[path]
        file[path] = array

    return change


def groups_without_levels(bench):
    with h5py.File(bench.pyramid, "w") as file:
        file.create_group("17")
        file["note"] = [1, 2, 3]


def at_group(group):
    def spoil(bench):
        bench.pyramid = f"{bench.pyramid}::{group}"

    return spoil


def broken_chunks(bench):
    write_batched(bench.pyramid, storage={"chunks": (1, 3, 4, 4), "fletcher32": True})
    with h5py.File(bench.pyramid) as file:
        chunks = [file["p2"].id.get_chunk_info(number) for number in range(file["p2"].id.get_num_chunks())]
    with bench.pyramid.open("r+b") as file:
        for chunk in chunks:
            file.seek(chunk.byte_offset)
            file.write(b"spoilt")


def spoilt_index(which, signature):
    """An HDF5 file whose lists of members are no longer readable."""

    def spoil(bench):
        if which == "boxes":
            boxes_hdf5(boxes=TWO, image_index=[0, 0])(bench)
        path = getattr(bench, which)
        content = path.read_bytes()
        assert signature in content
        path.write_bytes(content.replace(signature, b"XXXX"))

    return spoil


def level_name_in_latin_1(bench):
    with h5py.File(bench.pyramid, "a") as file:
        file.create_dataset(b"caf\xe9", data=np.ones((3, 3, 2, 2), np.float32))


F4 = np.float32
GOOD_LEVEL = {"name": "p2", "stride": 4, "data": np.ones((1, 2, 4, 4)).tolist()}
EMPTY = h5py.Empty("f4")

PYRAMIDS = {
    "missing": (pyramid_missing("no.h5"), 3, r"no\.h5: cannot be read: No such file"),
    "a folder": (pyramid_missing("out"), 3, r"out: expected pyramid files .*got none"),
    "below a file": (pyramid_missing("boxes.json/maps.h5"), 3, r"boxes\.json/maps\.h5: cannot be read"),
    "empty": (pyramid_text(b""), 3, r"maps\.h5: expected a pyramid.*no readable HDF5"),
    "cut at the start": (truncated(0.01), 3, r"maps\.h5: expected a pyramid.*truncated"),
    "cut in the middle": (truncated(0.5), 3, r"maps\.h5: expected a pyramid.*truncated"),
    "cut at the end": (truncated(0.99), 3, r"maps\.h5: expected a pyramid.*truncated"),
    "random bytes": (pyramid_text(np.random.default_rng(0).bytes(5000)), 3, r"maps\.h5: expected a pyramid"),
    "a signature and zeros": (pyramid_text(b"\x89HDF\r\n\x1a\n" + b"\0" * 500), 3, r"maps\.h5: expected a pyramid"),
    "spoilt chunks": (broken_chunks, 3, r"maps\.h5:/p2: cannot be read"),
    "spoilt tree": (spoilt_index("pyramid", b"TREE"), 3, r"maps\.h5: "),
    "spoilt heap": (spoilt_index("pyramid", b"HEAP"), 3, r"maps\.h5: "),
    "spoilt table": (spoilt_index("pyramid", b"SNOD"), 3, r"maps\.h5: "),
    "a level's name in Latin-1": (level_name_in_latin_1, 2, r"maps\.h5:/caf.*: expected a stride"),
    "no levels": (lambda bench: h5py.File(bench.pyramid, "w").close(), 3, r"maps\.h5: expected a pyramid.*empty"),
    "groups without levels": (groups_without_levels, 3, r"maps\.h5: expected a pyramid.*got 17, note"),
    "no such group": (at_group("/nope"), 3, r"maps\.h5:/nope: expected a group.*no such group"),
    "group is a dataset": (at_group("/p2"), 3, r"maps\.h5:/p2: expected a group.*a dataset"),
    "integers": (level_replaced(np.ones((3, 3, 8, 12), int), "--levels", "p2,p3"), 3, r"/p3: expected float32.*int64"),
    "complex numbers": (
        level_replaced(np.ones((3, 3, 8, 12), complex), "--levels", "p2,p3"),
        3,
        r"/p3: expected float32.*complex128",
    ),
    "words": (level_replaced(np.full((3, 3, 8, 12), b"x"), "--levels", "p2,p3"), 3, r"/p3: expected float32.*S1"),
    "rank 2": (level_replaced(np.ones((8, 12), F4), "--levels", "p2,p3"), 3, r"/p3: expected \(3, .*got \(8, 12\)"),
    "rank 5": (level_replaced(np.ones((1, 3, 3, 8, 12), F4), "--levels", "p2,p3"), 3, r"/p3: expected \(3, .*got \(1,"),
    "scalar": (level_replaced(F4(1), "--levels", "p2,p3"), 3, r"/p3: expected \(3, .*got \(\)"),
    "nothing in it": (level_replaced(EMPTY, "--levels", "p2,p3"), 3, r"/p3: expected a dataset .*got an empty dataset"),
    "zero-sized map": (level_replaced(np.ones((3, 3, 0, 12), F4)), 3, r"/p3: expected a map of at least 1 x 1.*0, 12"),
    "other channels": (
        level_replaced(np.ones((3, 5, 8, 12), F4)),
        3,
        r"/p3: expected \(3, H, W\), got \(3, 5, 8, 12\)",
    ),
    "other dtype": (level_replaced(np.ones((3, 3, 8, 12))), 3, r"/p3: expected float32 .*got float64"),
    "other N": (level_replaced(np.ones((2, 3, 8, 12), F4)), 3, r"/p3: expected \(3, C, H, W\) like p2, got \(2, 3"),
    "first level of rank 3": (
        level_replaced(np.ones((3, 16, 24), F4), "--levels", "p2,p3", name="p2"),
        3,
        r"/p3: expected \(1, C, H, W\) like p2, got \(3, 3, 8, 12\)",
    ),
    "stride 0": (stride_replaced(0), 3, r"/p3: stride: expected .*above 0, got 0$"),
    "stride -4": (stride_replaced(-4), 3, r"/p3: stride: expected .*above 0, got -4$"),
    "stride NaN": (stride_replaced(NAN), 3, r"/p3: stride: expected .*above 0, got nan$"),
    "stride infinite": (stride_replaced(INF), 3, r"/p3: stride: expected .*above 0, got inf$"),
    "stride next to nothing": (stride_replaced(1e-320), 3, r"/p3: stride: expected .*got 1e-320$"),
    "stride a word": (stride_replaced("four"), 3, r"/p3: stride: expected .*above 0, got .?four"),
    "stride a number in words": (stride_replaced("4"), 3, r"/p3: stride: expected .*above 0, got .?4"),
    "stride complex": (stride_replaced(4 + 1j), 3, r"/p3: stride: expected numbers or text, got"),
    "stride of three": (stride_replaced([8, 8, 8]), 3, r"/p3: stride: expected one or two .*, got \[8"),
    "stride empty": (stride_replaced(EMPTY), 3, r"/p3: stride: expected one or two .*, got (?!Empty)"),
    "scale -1": (stride_replaced(-1.0, "spatial_scale"), 3, r"/p3: spatial_scale: expected .*got -1"),
    "no stride": (stride_replaced(None), 2, r"/p3: expected a stride or spatial_scale attribute, or the option"),
    "too few ids": (batched_with(ids=["a"]), 3, r"/image_ids: expected 3 ids, got 1"),
    "ids are floats": (batched_with(ids=[0.5, 1, 2]), 3, r"/image_ids: expected a list of strings or integers"),
    "ids in Latin-1": (batched_with(ids=[b"\xe9", b"a", b"b"]), 3, r"/image_ids: expected UTF-8"),
    "ids repeated": (batched_with(BY_ID, ids=["17", "17", "4"]), 3, "ids that differ, got '17' for images 0 and 1"),
    "scale factors of a wrong shape": (
        batched_with(scale_factors=np.ones((3, 1))),
        3,
        r"/scale_factors: expected \(3, 2\) numbers, got \(3, 1\)",
    ),
    "scale factor 0": (batched_with(scale_factors=np.zeros((3, 2))), 3, r"/scale_factors: expected numbers above 0"),
    "an image lacks a level": (per_image(lambda file: file.pop("4/p3")), 3, r"/4/p3: expected a dataset.*none of that"),
    "an image has other channels": (
        per_image(replaced("4/p3", np.ones((4, 4, 4), F4))),
        3,
        r"/4/p3: expected \(3, H, W\), got \(4, 4, 4\)",
    ),
    "an image has another dtype": (
        per_image(replaced("4/p3", np.ones((3, 4, 4)))),
        3,
        r"/4/p3: expected float32 .*got float64",
    ),
    "an image has two entries": (
        per_image(replaced("4/p3", np.ones((2, 3, 4, 4), F4))),
        3,
        r"/4/p3: expected \(1, 3, H, W\), got \(2, 3, 4, 4\)",
    ),
    "an image has an empty map": (
        per_image(replaced("4/p2", np.ones((3, 4, 0), F4))),
        3,
        r"/4/p2: expected a map of at",
    ),
    "an image is a dataset": (per_image(replaced("4", [1.0, 2.0])), 3, r"/4: expected a group .*got a dataset"),
    "an image's level is a group": (
        per_image(lambda file: (file.pop("4/p3"), file.create_group("4/p3"))),
        3,
        r"/4/p3: expected a dataset.*got a group",
    ),
    "an image's scale factor is of three": (
        per_image(
            lambda file: file["4"].attrs.__setitem__("scale_factor", [1, 2, 3]),
            "--box-space",
            "original",
            factors=dict.fromkeys(IDS, (1.0, 2.0)),
        ),
        3,
        r"/4: scale_factor: expected one or two numbers above 0, got \[1",
    ),
    "JSON cut short": (pyramid_text('{"levels": [', "maps.json"), 3, r"maps\.json:1:13: expected JSON"),
    "JSON without levels": (pyramid_json({"maps": []}), 3, r'maps\.json: expected a pyramid: \{"levels"'),
    "JSON with levels of null": (pyramid_json({"levels": [None]}), 3, r"maps\.json: expected a pyramid"),
    "JSON with no levels": (pyramid_json({"levels": []}), 3, r"maps\.json: expected float arrays.*got none"),
    "JSON list": (pyramid_json([1, 2]), 3, r"maps\.json: expected a pyramid"),
    "JSON level without data": (
        pyramid_json({"levels": [{"name": "p2", "stride": 4}]}),
        3,
        r"levels\[0\]: expected data",
    ),
    "JSON data ragged": (
        pyramid_json({"levels": [{**GOOD_LEVEL, "data": [[[[1, 2], [3]]]]}]}),
        3,
        r"levels\[0\]: data: expected numbers",
    ),
    "JSON data of words": (
        pyramid_json({"levels": [{**GOOD_LEVEL, "data": [[[["a"]]]]}]}),
        3,
        r"levels\[0\]: data: expected numbers",
    ),
    "JSON data null": (pyramid_json({"levels": [{**GOOD_LEVEL, "data": None}]}), 3, r"p2: expected \(N, C, H, W\)"),
    "JSON data flat": (pyramid_json({"levels": [{**GOOD_LEVEL, "data": [1]}]}), 3, r"p2: expected \(N, C, H, W\)"),
    "JSON number out of range": (
        pyramid_json({"levels": [{**GOOD_LEVEL, "data": [[[[10**400]]]]}]}),
        3,
        r"levels\[0\]: data: expected numbers",
    ),
    "JSON stride out of range": (pyramid_json({"levels": [{**GOOD_LEVEL, "stride": 10**400}]}), 3, r"p2: stride"),
    "JSON names repeated": (pyramid_json({"levels": [GOOD_LEVEL, GOOD_LEVEL]}), 3, r"expected different names.*p2"),
    "JSON without a stride": (
        pyramid_json({"levels": [{"name": "p2", "data": GOOD_LEVEL["data"]}]}),
        2,
        r"p2: expected a stride",
    ),
    "JSON too deep": (pyramid_text('{"levels": ' + "[" * 100_000, "maps.json"), 3, r"maps\.json: expected JSON"),
    "NPZ that is none": (pyramid_text(b"PK\x03\x04 and no more", "maps.npz"), 3, r"maps\.npz: expected an NPZ archive"),
    "NPZ of objects": (
        pyramid_npz("--levels", "p2", p2=np.array([None, {}], object), strides=[4]),
        3,
        r"maps\.npz:/p2: expected numbers or text",
    ),
    "NPZ in Fortran order": (
        pyramid_npz(p2=np.asfortranarray(batch_maps()["p2"]), strides=[4]),
        3,
        r"maps\.npz:/p2: expected an array in C order",
    ),
    "NPZ with too few strides": (
        pyramid_npz(**batch_maps(), strides=[4, 8]),
        3,
        r"strides: expected 3 rows of one or two values",
    ),
    "NPZ with a stride of 0": (
        pyramid_npz(**batch_maps(), strides=[0, 8, 16]),
        3,
        r"maps\.npz: p2: stride: expected .*got 0$",
    ),
    "NPZ without strides": (pyramid_npz(**batch_maps()), 2, r"maps\.npz:/p2: expected a stride .*--strides"),
    "NPZ of integers": (pyramid_npz(p2=np.ones((1, 2, 3, 4), int), strides=[4]), 3, r"expected float arrays.*got none"),
}

# ---------------------------------------------------------------- boxes that are none


def boxes_text(content, name="boxes.json"):
    def spoil(bench):
        bench.boxes = bench.text(name, content)

    return spoil


def boxes_json(data, *options):
    def spoil(bench):
        bench.boxes = write_json(bench.folder / "boxes.json", data)
        bench.options = options

    return spoil


def boxes_missing(name):
    def spoil(bench):
        bench.boxes = bench.folder / name

    return spoil


def boxes_hdf5(**datasets):
    def spoil(bench):
        bench.boxes = bench.folder / "boxes.h5"
        with h5py.File(bench.boxes, "w") as file:
            for name, values in datasets.items():
                if values is dict:
                    file.create_group(name)
                else:
                    file[name] = values

    return spoil


def annotations(*changes):
    """A COCO data set of boxes on image 17, with changes to each; a value of `...` takes the key away."""
    records = [{**ROW, **change} for change in changes]
    return {"annotations": [{key: v for key, v in record.items() if v is not ...} for record in records]}


def standard_input(content):
    def spoil(bench):
        bench.boxes, bench.stdin = "-", content

    return spoil


def hdf5_on_standard_input(bench):
    bench.boxes, bench.stdin = "-", bench.pyramid.read_bytes()


def factors_and(*options, **beside):
    return batched_with(BY_ID, options, scale_factors=np.ones((3, 2)), **beside)


TWO = [[1, 2, 3, 4], [5, 6, 7, 8]]

BOXES = {
    "missing": (boxes_missing("no.json"), 3, r"no\.json: cannot be read: No such file"),
    "a folder": (boxes_missing("out"), 3, r"out: expected a folder of YOLO labels.*got none"),
    "empty": (boxes_text(b""), 3, r"boxes\.json: expected boxes .*got an empty file"),
    "blank": (boxes_text(b" \n\n"), 3, r"boxes\.json: expected boxes .*got an empty file"),
    "random bytes": (boxes_text(np.random.default_rng(1).bytes(999)), 3, r"boxes\.json: expected JSON"),
    "truncated HDF5": (
        lambda bench: (boxes_hdf5(rois=ROWS)(bench), bench.boxes.write_bytes(bench.boxes.read_bytes()[:900])),
        3,
        r"boxes\.h5: expected boxes: .*truncated",
    ),
    "truncated JSON": (boxes_text(b"[[0, 1, 2, 3, 4],\n[0, 1"), 3, r"boxes\.json:2:6: expected JSON"),
    "two documents": (boxes_text(b"[[0, 1, 2, 3, 4]] []"), 3, r"boxes\.json:1:\d+: expected JSON"),
    "line 3 broken": (
        boxes_text(b"[0,1,2,3,4]\n[0,1,2,3,4]\n[0,1,\n[0,1,2,3,4]\n"),
        3,
        r"boxes\.json:3:.*expected JSON",
    ),
    "line 2 short": (boxes_text(b"[0,1,2,3,4]\n[0,1,2,3]\n"), 3, r"row 1: expected \[i, x1, y1, x2, y2\], got \[0, 1"),
    "Latin-1": (boxes_text(b'{"\xe9": [[1, 2, 3, 4]]}'), 3, r"boxes\.json: expected JSON"),
    "too deep": (boxes_text(b"[" * 100_000), 3, r"boxes\.json: expected JSON"),
    "spoilt tree": (spoilt_index("boxes", b"TREE"), 3, r"boxes\.h5: "),
    "spoilt heap": (spoilt_index("boxes", b"HEAP"), 3, r"boxes\.h5: "),
    "spoilt table": (spoilt_index("boxes", b"SNOD"), 3, r"boxes\.h5: "),
    "null": (boxes_json(None), 3, r"boxes\.json: expected JSON .*begins .null"),
    "a number": (boxes_json(3), 3, r"boxes\.json: expected JSON .*begins .3"),
    "an object of something else": (
        boxes_json({"info": 1, "version": 2}),
        3,
        r"expected rows .*got an object with info",
    ),
    "rows of four": (boxes_json([[1, 2, 3, 4]]), 3, r"row 0: expected \[i, x1, y1, x2, y2\], got \[1, 2, 3, 4\]"),
    "rows of six": (boxes_json([[0, 1, 2, 3, 4, 5]]), 3, r"row 0: expected \[i, x1"),
    "rows ragged": (boxes_json([[0, 1, 2, 3, 4], [0, 1]]), 3, r"row 1: expected \[i, x1.*got \[0, 1\]"),
    "rows nested": (boxes_json([[[0, 1, 2, 3, 4]]]), 3, r"row 0: expected \[i, x1"),
    "rows and objects": (boxes_json([[0, 1, 2, 3, 4], {}]), 3, r"row 1: expected \[i, x1.*got \{\}"),
    "index 0.5": (boxes_json([[0.5, 1, 2, 3, 4]]), 3, r"row 0: expected a whole number as image index, got 0\.5"),
    "index NaN": (boxes_json([[NAN, 1, 2, 3, 4]]), 3, r"row 0: expected a whole number as image index, got nan"),
    "unknown image index": (boxes_json([[3, 1, 2, 3, 4]]), 3, r"row 0: image .?3.? is not in the pyramid"),
    "negative image index": (boxes_json([[-1, 1, 2, 3, 4]]), 3, r"row 0: image .?-1.? is not in the pyramid"),
    "unknown image": (boxes_json({"nobody": [[1, 2, 3, 4]]}), 3, r"row 0: image 'nobody' is not in the pyramid"),
    "unknown image with a line break": (boxes_json({"a\r\nb": [[1, 2, 3, 4]]}), 3, r"is not in the pyramid"),
    "NaN": (
        boxes_json([[0, NAN, 2, 3, 4]]),
        3,
        r"1 of 1 that cannot: row 0: not finite \(nan, 2, 3, 4\).*--on-bad-box",
    ),
    "infinite": (boxes_json([[0, 1, 2, INF, 4]]), 3, r"row 0: not finite \(1, 2, inf, 4\)"),
    "beyond float32": (boxes_json([[0, 1, 2, 1e39, 4]]), 3, r"row 0: not finite \(1, 2, 1e\+39, 4\)"),
    "too far out": (boxes_json([[0, 1, 2, 2e9, 4]]), 3, r"row 0: too far out"),
    "x inverted": (boxes_json([[0, 3, 2, 1, 4]]), 3, r"row 0: x2 < x1 \(3, 2, 1, 4\)"),
    "y inverted": (boxes_json([[0, 1, 4, 3, 2]]), 3, r"row 0: y2 < y1 \(1, 4, 3, 2\)"),
    "thousands inverted": (boxes_json([[0, 3, 2, 1, 4]] * 3000), 3, r"3000 of 3000 .*row 4: .*and 2995 more"),
    "map to four numbers": (boxes_json({"17": [1, 2, 3, 4]}), 3, r"'17': row 0: expected \[x1, y1, x2, y2\], got 1"),
    "map to three numbers": (boxes_json({"17": [[1, 2, 3]]}), 3, r"'17': row 0: expected \[x1, y1, x2, y2\]"),
    "COCO without bbox": (boxes_json(annotations({}, {"bbox": ...})), 3, r"annotations: row 1: expected bbox"),
    "COCO bbox of 3": (boxes_json(annotations({"bbox": [1, 2, 3]})), 3, r"row 0: expected bbox .*got \[1, 2, 3\]"),
    "COCO bbox null": (boxes_json(annotations({}, {"bbox": None})), 3, r"row 1: expected bbox .*got null"),
    "COCO bbox a word": (boxes_json(annotations({"bbox": "1,2,3,4"})), 3, r"row 0: expected bbox .*got \"1,2,3,4\""),
    "COCO bbox empty": (boxes_json(annotations({"bbox": []})), 3, r"row 0: expected bbox .*got \[\]"),
    "COCO without image id": (boxes_json(annotations({"image_id": ...})), 3, r"row 0: expected image_id"),
    "COCO image id null": (boxes_json(annotations({}, {"image_id": None})), 3, r"row 1: expected image_id.*got null"),
    "COCO image id 1.5": (boxes_json(annotations({"image_id": 1.5})), 3, r"row 0: expected image_id.*got 1\.5"),
    "COCO annotations null": (
        boxes_json({"annotations": None}),
        3,
        r"annotations: expected a list of objects, got null",
    ),
    "COCO annotation null": (
        boxes_json({"annotations": [None]}),
        3,
        r"annotations: row 0: expected an object, got null",
    ),
    "COCO images an object": (boxes_json({**annotations({}), "images": {}}), 3, r"images: expected a list of objects"),
    "COCO image without id": (boxes_json({**annotations({}), "images": [{}]}), 3, r"images: row 0: expected id"),
    "COCO score of some": (boxes_json([{**ROW, "score": 0.5}, ROW]), 3, r"row 1: expected score to be a number"),
    "COCO score a word": (boxes_json([{**ROW, "score": "high"}]), 3, r"row 0: expected score to be a number.*high"),
    "COCO category 1.5": (
        boxes_json([{**ROW, "category_id": 1.5}]),
        3,
        r"row 0: expected a whole number as category_id",
    ),
    "COCO annotation id beyond 64 bits": (
        boxes_json(annotations({"id": 2**64})),
        3,
        r"row 0: expected id within 64 bits",
    ),
    "COCO negative width": (boxes_json(annotations({"bbox": [5, 5, -1, 5]})), 3, r"row 0: x2 < x1 \(5, 5, -1, 5\)"),
    "HDF5 of something else": (boxes_hdf5(stuff=[1, 2]), 3, r"boxes\.h5: expected boxes: .*got stuff"),
    "HDF5 rois of four": (boxes_hdf5(rois=TWO), 3, r"/rois: expected \(K, 5\) numbers, got \(2, 4\)"),
    "HDF5 rois of words": (boxes_hdf5(rois=[[b"1"] * 5]), 3, r"/rois: expected \(K, 5\) numbers"),
    "HDF5 rois a group": (boxes_hdf5(rois=dict), 3, r"/rois: expected \(K, 5\) numbers, got a group"),
    "HDF5 boxes without images": (boxes_hdf5(boxes=TWO), 3, r"expected image_index or image_ids \(2,\).*got none"),
    "HDF5 too few indices": (boxes_hdf5(boxes=TWO, image_index=[0]), 3, r"/image_index: expected \(2,\) numbers"),
    "HDF5 too few ids": (boxes_hdf5(boxes=TWO, image_ids=["17"]), 3, r"expected image_index or image_ids.*length 1"),
    "HDF5 ids a group": (boxes_hdf5(boxes=TWO, image_ids=dict), 3, r"/image_ids: expected .*got a group"),
    "HDF5 index a group": (boxes_hdf5(boxes=TWO, image_index=dict), 3, r"/image_index: expected .*got a group"),
    "HDF5 too few scores": (
        boxes_hdf5(boxes=TWO, image_index=[0, 0], score=[1.0]),
        3,
        r"/score: expected \(2,\) numbers",
    ),
    "HDF5 score of some groups": (
        boxes_hdf5(**{"17/boxes": TWO, "17/score": [1, 1], "4/boxes": TWO}),
        3,
        r"/4: expected score beside boxes",
    ),
    "standard input cut short": (standard_input(b"[[0, 1"), 3, r"-:1:\d+: expected JSON"),
    "HDF5 on standard input": (hdf5_on_standard_input, 3, r"-: expected text.*got HDF5; name the file"),
    "box space not said": (
        factors_and(),
        2,
        r"has scale factors: expected --box-space original .*or --box-space input",
    ),
    "original without factors": (
        boxes_json(ROWS, "--box-space", "original"),
        2,
        r"expected scale factors in .*maps\.h5",
    ),
    "fractions of unknown sizes": (
        factors_and("--normalized", "--box-space", "original"),
        3,
        r"maps\.h5:/17: .*expected the size of the original image",
    ),
    "file names of row indices": (
        boxes_json(ROWS, "--image-key", "file_name"),
        2,
        r"--image-key file_name: expected boxes with image ids",
    ),
}

# ---------------------------------------------------------------- requests that make no sense


def options(*words):
    def spoil(bench):
        bench.options = words

    return spoil


def output(name):
    def spoil(bench):
        bench.out = bench.folder / name

    return spoil


def output_exists(bench):
    bench.out = bench.boxes


def output_is_input(which):
    def spoil(bench):
        bench.out = getattr(bench, which)
        bench.options = ("--overwrite",)

    return spoil


def device(path):
    def spoil(bench):
        bench.out = path

    return spoil


def no_options(name, *values, code=2, pattern=""):
    """Cases of one option with one bad value each."""
    return {f"{name}={value[:12]}": (options(f"{name}={value}"), code, pattern or name) for value in values}


REQUESTS = {
    "output exists": (output_exists, 2, r"boxes\.json: expected an output apart from the inputs"),
    "output is a folder": (output("out"), 2, r"out: expected the name of a file to write, got a folder"),
    "output in no folder": (output("none/crops.h5"), 2, r"none/crops\.h5: expected an existing folder"),
    "output below a file": (output("maps.h5/crops.h5"), 2, r"maps\.h5/crops\.h5: expected an existing folder"),
    "output is the pyramid": (output_is_input("pyramid"), 2, r"maps\.h5: expected an output apart from the inputs"),
    "output is the box file": (output_is_input("boxes"), 2, r"boxes\.json: expected an output apart from the inputs"),
    "output is a full device": (device("/dev/full"), 2, r"/dev/full: expected the name of a file.*device"),
    "output name too long": (output("out/" + "x" * 300), 1, r"x: .*File name too long"),
    **no_options(
        "--output-size", "0", "7x", "7x7x7", "-1", "1e9", "", "²", "7,7", "٣", pattern="--output-size.*NxW|HxW"
    ),
    **no_options("--output-size", "9" * 11, "9" * 20, "9" * 5000, "1x" + "9" * 30, pattern="output.size"),
    **no_options("--sampling-ratio", "-2", "1025", "1.5", "x"),
    **no_options("--compat", "keras", "LUCID", ""),
    **no_options("--canonical-level", "1.5", "x", "1" + "0" * 400, pattern="canonical.level"),
    **no_options("--canonical-scale", "0", "-1", "nan", "inf", "x", "1e-60", "1e60", pattern="canonical.scale"),
    **no_options("--levels", "", ",", "p2,,p3", "p2,p2"),
    **no_options("--levels", "p9", "p2,p9", "p2,p3/x", "image_ids", ".", code=3, pattern=r"maps\.h5.*expected"),
    **no_options(
        "--strides", "4,8", "4", "0,8,16", "-4,8,16", "nan,8,16", "inf,8,16", "a,b,c", "4x4x4,8,16", "4,8,16,"
    ),
    **no_options("--strides", "1/0,8,16", "4/,8,16", "/4,8,16"),
    **no_options("--scales", "0.25", "0,1,1", "x,1,1", "1/2/3,1,1"),
    **no_options("--strides", "1e-320,8,16", "1e60,8,16", pattern="strides|scales"),
    **no_options("--scales", "1e-60,1,1", "1e60,1,1", pattern="scales"),
    **no_options("--box-format", "yxyx"),
    **no_options("--box-space", "network"),
    **no_options("--image-key", "name"),
    **no_options("--on-bad-box", "ignore"),
    **no_options("--dtype", "int8", "bfloat16"),
    **no_options("--threads", "0", "-1", "x"),
    **no_options("--stats", "none/stats.json", ".", pattern="stats|folder"),
    "strides and scales": (options(*STRIDE_OPTION, "--scales", "1,1,1"), 2, r"--strides: expected without --scales"),
    "levels that do not double": (
        options("--compat", "torchvision", "--strides", "4,12,16"),
        2,
        r"expected strides that double .*torchvision.*got strides 4, 12, 16",
    ),
    "quiet and verbose": (options("--quiet", "--verbose"), 2, r"--quiet: expected without --verbose"),
    "quiet and progress": (options("-q", "--progress"), 2, r"--quiet: expected without --progress"),
    "statistics of a dry run": (options("--dry-run", "--stats", "-"), 2, r"--stats: expected without --dry-run"),
    "unknown option": (options("--colour"), 2, r"No such option.*--colour.*--help"),
    "one argument too many": (options("more"), 2, r"unexpected extra argument"),
}

# ---------------------------------------------------------------- names that are hard to print

NAMES = ["with space.h5", "ünï 日本.h5", "line\nbreak.h5", "carriage\rreturn.h5", "next\x85line.h5", "u\u2028sep.h5"]
NAMES += ["escape\x1b[31m.h5", "tab\t.h5", "a::b.h5", "%s {}.h5", "-dash.h5", "quote'\".h5"]


def named(which, name):
    def spoil(bench):
        bench.text("x", b"not what it should be").rename(bench.folder / name)
        setattr(bench, which, bench.folder / name)

    return spoil


NAME_CASES = {
    f"{which} {name.encode('unicode_escape').decode()}": (named(which, name), 3, "expected")
    for which in ("pyramid", "boxes")
    for name in NAMES
}

CASES = {
    f"{kind}: {name}": case
    for kind, cases in (("pyramid", PYRAMIDS), ("boxes", BOXES), ("request", REQUESTS), ("name", NAME_CASES))
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(3)
def test_bad_input(tmp_path, case):
    spoil, code, pattern = CASES[case]
    bench = Bench(tmp_path)
    spoil(bench)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments = ("extract", *bench.options, "-o", bench.out, "--", bench.pyramid, bench.boxes)
    refused(run(*arguments, stdin=bench.stdin), code, pattern)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert list((tmp_path / "out").iterdir()) == []


READ_LATE = {"pyramid: spoilt chunks"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(11)
def test_dry_run_tells_the_same(tmp_path, case):
    """What a run refuses before it reads any features, a dry run refuses too."""
    spoil, _, _ = CASES[case]
    bench = Bench(tmp_path)
    spoil(bench)
    if case in READ_LATE or any("--stats" in word for word in bench.options):
        pytest.skip("only found when features are read or statistics are written")
    arguments = (*bench.options, "-o", bench.out, "--", bench.pyramid, bench.boxes)
    wet, dry = (run("extract", *flags, *arguments, stdin=bench.stdin) for flags in ((), ("--dry-run",)))
    # How much room there is on the disk may change between the two.
    said = [re.sub(r"[\d,]+ free", "", result.stderr) for result in (dry, wet)]
    assert (dry.exit_code, said[0]) == (wet.exit_code, said[1])


def test_names_that_start_with_a_dash_need_two_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_batched(tmp_path / "-p.h5")
    write_json(tmp_path / "-b.json", ROWS)
    assert run("extract", "-o", "o.h5", "--", "-p.h5", "-b.json").exit_code == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "-dash.h5"])
def test_hard_names_work_when_the_file_is_good(tmp_path, name):
    pyramid = write_batched(tmp_path / name)
    boxes = write_json(tmp_path / f"{name}.json", ROWS)
    result = run("extract", pyramid, boxes, "-o", tmp_path / f"out {name}")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / f"out {name}").is_file()


def test_closing_line_is_one_line_for_any_name(tmp_path):
    pyramid, boxes = write_batched(tmp_path / "p.h5"), write_json(tmp_path / "b.json", ROWS)
    result = run("extract", pyramid, boxes, "-o", tmp_path / "a\nb\r\u2028.h5")
    table = result.stderr[result.stderr.index("level  stride") :]
    assert len(table.splitlines()) == 1 + len(STRIDES) + 1 + 1


@pytest.mark.parametrize(
    "arguments", [(), ("extract",), ("extract", "a"), ("extract", "a", "b"), ("melt", "a"), ("-x",)]
)
def test_incomplete_commands(arguments):
    result = run(*arguments)
    if arguments:
        refused(result, 2, "Missing|No such")
    else:
        assert result.exit_code in (0, 2)
        assert "Usage:" in result.output
        assert "extract" in result.output
        assert "error:" not in result.output
        assert len(result.output.splitlines()) > 5


def test_inputs_that_seem_bad_and_are_not(tmp_path):
    """A zoo of good ones, so that the checks above do not harden into refusing everything."""
    bench = Bench(tmp_path)
    for number, boxes in enumerate(
        [
            [[0, 5, 5, 5, 5]],
            [[0, -50, -50, -20, -20]],
            [[0, 1e6, 1e6, 1e6, 1e6]],
            {"17": [], "4": [[1, 2, 3, 4]]},
            annotations({"category_id": None, "score": None, "extra": {"a": [1]}}),
            [{**ROW, "image_id": "17", "segmentation": []}],
        ]
    ):
        path = write_json(tmp_path / f"{number}.json", boxes)
        assert run("extract", bench.pyramid, path, "-o", tmp_path / f"{number}.h5").exit_code == 0
    differing = write_per_image(tmp_path / "q.h5", differing_maps("float16"))
    path = write_json(tmp_path / "b.json", json.loads(json.dumps(BY_ID)))
    assert run("extract", differing, path, "-o", tmp_path / "q-out.h5", "--levels", "p4").exit_code == 0
    npz = write_npz(tmp_path / "n.npz", note=np.array("drawn by hand"))
    assert run("extract", npz, bench.boxes, "-o", tmp_path / "n-out.h5").exit_code == 0
