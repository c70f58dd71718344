"""Files behind links are inputs: `sources` lists them, and a job is not resumed with others."""

from __future__ import annotations

import json
import os

import h5py
import pytest

from msroi_cli import open_crops
from msroi_cli.io.crops.contiguous import PlainWriter
from tests.builders import IDS, SPREAD, STRIDES, image_maps, random_rows, refused, run, write_json, write_per_image

COUNT = 60
EXTERNAL = ("--allow-external",)


class Cut(BaseException):
    """Stands for a kill: nothing in the job catches it."""


def write_image(path, seed=0, ids=("x",)):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_per_image(path, {key: image_maps(seed + number) for number, key in enumerate(ids)})


def write_levels(path, seed=0):
    """The levels of one image, for virtual and raw ones to be made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in image_maps(seed).items():
            file.create_dataset(name, data=array).attrs["stride"] = STRIDES[name]
    return path


def link(path, targets):
    """A pyramid whose images are groups of other files: {id: (file, group)}."""
    with h5py.File(path, "w") as file:
        for key, target in targets.items():
            file[key] = h5py.ExternalLink(*target)
    return path


def images_linked(folder):
    """Each image in a file of its own."""
    for seed, key in enumerate(IDS):
        write_image(folder / "maps" / f"{key}.h5", seed)
    return link(folder / "p.h5", {key: (f"maps/{key}.h5", "/x") for key in IDS}), folder / "maps" / "4.h5", "maps/4.h5"


def one_level_linked(folder):
    """A level of one image lies elsewhere."""
    write_image(folder / "p.h5", ids=IDS)
    write_levels(folder / "level.h5")
    with h5py.File(folder / "p.h5", "a") as file:
        del file["17/p3"]
        file["17/p3"] = h5py.ExternalLink("level.h5", "/p3")
    return folder / "p.h5", folder / "level.h5", "level.h5"


def link_to_link(folder):
    """The file that is linked links on, by way of a soft link."""
    write_image(folder / "far" / "far.h5", ids=IDS)
    with h5py.File(folder / "near.h5", "w") as file:
        file["there"] = h5py.ExternalLink("far/far.h5", "/")
        file["here"] = h5py.SoftLink("/there")
    return (
        link(folder / "p.h5", {key: ("near.h5", f"/here/{key}") for key in IDS}),
        folder / "far" / "far.h5",
        "far/far.h5",
    )


def virtual(folder):
    """Levels that are made of those of other files."""
    for seed, key in enumerate(IDS):
        write_levels(folder / "parts" / f"{key}.h5", seed)
    with h5py.File(folder / "p.h5", "w") as file:
        for name, array in image_maps().items():
            layout = h5py.VirtualLayout((len(IDS), *array.shape), "f4")
            for number, key in enumerate(IDS):
                layout[number] = h5py.VirtualSource(f"parts/{key}.h5", name, array.shape)
            file.create_virtual_dataset(name, layout).attrs["stride"] = STRIDES[name]
        file["image_ids"] = IDS
    return folder / "p.h5", folder / "parts" / "230.h5", "parts/230.h5"


def raw(folder):
    """A level of raw values."""
    write_image(folder / "p.h5", ids=IDS)
    values = image_maps()["p2"]
    (folder / "raw.bin").write_bytes(values.tobytes())
    with h5py.File(folder / "p.h5", "a") as file:
        del file["4/p2"]
        external = [(str(folder / "raw.bin"), 0, values.nbytes)]
        file.create_dataset("4/p2", values.shape, "f4", external=external).attrs["stride"] = STRIDES["p2"]
    (folder / "raw.bin").write_bytes(values.tobytes())
    return folder / "p.h5", folder / "raw.bin", "raw.bin"


def several_files(folder):
    """A folder of pyramids, one of which has its image elsewhere."""
    write_image(folder / "below" / "deep.h5", 2)
    for seed, key in enumerate(IDS[:2]):
        write_image(folder / "many" / f"{key}.h5", seed, [key])
    (folder / "many" / "s").mkdir()
    write_image(folder / "many" / "s" / "inner" / "deep", 2)
    return (
        link(folder / "many" / "s" / "z.h5", {IDS[2]: ("inner/deep", "/x")}).parent.parent,
        folder / "many" / "s" / "inner" / "deep",
        "s/inner/deep",
    )


LAYOUTS = [images_linked, one_level_linked, link_to_link, virtual, raw, several_files]
LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda make: make.__name__)


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    monkeypatch.setattr("msroi_cli.job.extract.memory.SMALLEST_BATCH", 4000)
    return write_json(tmp_path / "b.json", random_rows(COUNT).tolist())


def extract(pyramid, boxes, out, *options):
    return run("extract", pyramid, boxes, "-o", out, "-q", *SPREAD, *EXTERNAL, *options)


def good(*args):
    result = extract(*args)
    assert result.exit_code == 0, result.stderr


def cut_short(monkeypatch, *args, after=2):
    """Runs a job that dies when it has recorded `after` batches."""
    with monkeypatch.context() as patch:
        commit = PlainWriter.commit

        def dies(self, records):
            commit(self, records)
            if len(self.records) >= after:
                raise Cut

        patch.setattr(PlainWriter, "commit", dies)
        with pytest.raises(Cut):
            extract(*args, "--threads", "1")


def touch(path):
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def change_in_the_middle(path):
    """Same size, same ends, other content and time."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    modified = path.stat().st_mtime_ns
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(1, modified + 1))
    other.replace(path)


def grow(path):
    """Another size, the same time."""
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_an_end(path):
    """The same size, the same time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@LAYOUT
@pytest.mark.sampled(3)
def test_sources_list_what_was_read(tmp_path, boxes, layout):
    pyramid, file, name = layout(tmp_path)
    good(pyramid, boxes, tmp_path / "o.h5")
    with open_crops(tmp_path / "o.h5") as crops:
        found = crops.sources[f"pyramid linked {name}"]
        assert [role for role in crops.sources if " linked " not in role] == ["pyramid", "boxes"]
    status = file.stat()
    assert (found["name"], found["size"], found["modified"]) == (file.name, status.st_size, status.st_mtime_ns)
    assert found["fingerprint"].startswith("sha256-ends-16k:")
    assert run("verify", tmp_path / "o.h5").exit_code == 0
    shown = run("inspect", tmp_path / "o.h5")
    assert f"pyramid linked {name}" in shown.stdout


SLOW = pytest.mark.slow
CHANGES = [touch, *(pytest.param(change, marks=SLOW) for change in (change_in_the_middle, grow, change_an_end))]


@LAYOUT
@pytest.mark.parametrize("change", CHANGES, ids=lambda make: make.__name__)
@pytest.mark.sampled(3)
def test_changed_files_are_not_resumed(tmp_path, boxes, monkeypatch, layout, change):
    pyramid, file, name = layout(tmp_path)
    cut_short(monkeypatch, pyramid, boxes, tmp_path / "o.h5")
    good(pyramid, boxes, tmp_path / "whole.h5")
    change(file)
    pattern = rf"cannot resume: inputs pyramid linked {name} (modified|size|fingerprint) was "
    refused(extract(pyramid, boxes, tmp_path / "o.h5", "--resume"), 2, pattern)
    pattern = rf"whole, but of another job: sources pyramid linked {name} (modified|size|fingerprint) was "
    refused(extract(pyramid, boxes, tmp_path / "whole.h5", "--resume"), 2, pattern)


@LAYOUT
@pytest.mark.sampled(3)
def test_unchanged_files_are_resumed(tmp_path, boxes, monkeypatch, layout):
    pyramid, _, _ = layout(tmp_path)
    good(pyramid, boxes, tmp_path / "whole.h5")
    cut_short(monkeypatch, pyramid, boxes, tmp_path / "o.h5")
    for _ in range(2):
        good(pyramid, boxes, tmp_path / "o.h5", "--resume")
    with h5py.File(tmp_path / "o.h5") as one, h5py.File(tmp_path / "whole.h5") as other:
        assert one.attrs["sources"] == other.attrs["sources"]
        for dataset in ("crops", "column_checksums"):
            assert one[dataset][()].tobytes() == other[dataset][()].tobytes()


@pytest.mark.parametrize("layout", [images_linked, link_to_link, virtual, raw])
@pytest.mark.sampled(2)
def test_removed_files_are_named(tmp_path, boxes, monkeypatch, layout):
    pyramid, file, _ = layout(tmp_path)
    cut_short(monkeypatch, pyramid, boxes, tmp_path / "o.h5")
    good(pyramid, boxes, tmp_path / "whole.h5")
    file.unlink()
    for out in ("o.h5", "whole.h5"):
        refused(extract(pyramid, boxes, tmp_path / out, "--resume"), 3, file.name)


def test_a_missing_source_that_appears(tmp_path, boxes):
    """Its values were filled before."""
    pyramid, file, name = virtual(tmp_path)
    file.rename(tmp_path / "away")
    good(pyramid, boxes, tmp_path / "o.h5", "--allow-fill")
    (tmp_path / "away").rename(file)
    result = extract(pyramid, boxes, tmp_path / "o.h5", "--allow-fill", "--resume")
    refused(result, 2, rf"pyramid linked {name} was read by the present run only: it came or went")


# More than are opened to see what levels there are.
MANY_IDS = [f"{number:02}" for number in range(41)]


def write_late(folder, inside):
    """Only the last image, which is beyond those that are looked at first, lies elsewhere."""
    write_image(folder / "p.h5", ids=MANY_IDS[:-1])
    write_image(folder / "late.h5", 40)
    with h5py.File(folder / "p.h5", "a") as file:
        if inside:
            for name in STRIDES:
                file[f"{MANY_IDS[-1]}/{name}"] = h5py.ExternalLink("late.h5", f"/x/{name}")
        else:
            file[MANY_IDS[-1]] = h5py.ExternalLink("late.h5", "/x")
    return folder / "p.h5"


@pytest.fixture
def late_boxes(tmp_path, boxes):
    """Of the first images and the last one."""
    rows = random_rows(COUNT)
    rows[rows[:, 0] == 2, 0] = 40
    return write_json(tmp_path / "late.json", rows.tolist())


@pytest.fixture
def look_at_one(monkeypatch):
    for module in ("job.validate.warnings", "job.extract.run", "job.cluster.run"):
        monkeypatch.setattr(f"msroi_cli.{module}.CHECKED_FIRST", 1)
    monkeypatch.setattr("msroi_cli.io.pyramid.hdf5.per_image.IMAGES_SAMPLED", 1)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("options", [(), ("--compression", "gzip:1")])
@pytest.mark.sampled(3)
def test_links_that_are_met_late(tmp_path, late_boxes, monkeypatch, look_at_one, inside, options):
    """The work is done again with the file listed, and progress counts each box once."""
    pyramid = write_late(tmp_path, inside)
    met = []
    monkeypatch.setattr("msroi_cli.job.extract.run.relisted", lambda job, make=relisted: met.append(1) or make(job))
    good(pyramid, late_boxes, tmp_path / "o.h5", "--threads", "1", *options)
    assert met == [1]
    good(write_image(tmp_path / "same.h5", ids=MANY_IDS), late_boxes, tmp_path / "same-out.h5")
    with open_crops(tmp_path / "o.h5") as crops, open_crops(tmp_path / "same-out.h5") as same:
        assert crops[:].tobytes() == same[:].tobytes()
        assert list(crops.sources) == ["pyramid", "pyramid linked late.h5", "boxes"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    good(pyramid, late_boxes, tmp_path / "o.h5", "--resume", *options)
    assert met == [1]
    touch(tmp_path / "late.h5")
    refused(extract(pyramid, late_boxes, tmp_path / "o.h5", "--resume", *options), 2, r"linked late\.h5 modified was")


def relisted(job):
    from msroi_cli.job.extract.prepare import relisted as make

    return make(job)


def cut_second_try(monkeypatch, *args):
    """Runs a job that meets a link, starts again, and dies when it has recorded a batch."""
    recorded = []
    with monkeypatch.context() as patch:
        commit = PlainWriter.commit

        def dies(self, records):
            commit(self, records)
            recorded.append(len(self.records))
            if len(recorded) > 1 and recorded[-1] <= recorded[-2]:
                raise Cut

        patch.setattr(PlainWriter, "commit", dies)
        with pytest.raises(Cut):
            extract(*args, "--threads", "1")


def test_late_links_of_an_interrupted_job(tmp_path, late_boxes, monkeypatch, look_at_one):
    pyramid, out = write_late(tmp_path, inside=False), tmp_path / "o.h5"
    cut_second_try(monkeypatch, pyramid, late_boxes, out)
    good(pyramid, late_boxes, tmp_path / "whole.h5")
    written = []
    write = PlainWriter.write
    with monkeypatch.context() as patch:
        patch.setattr(PlainWriter, "write", lambda self, rows, *more: written.append(rows) or write(self, rows, *more))
        good(pyramid, late_boxes, out, "--resume")
    assert 0 < sum(map(len, written)) < COUNT
    with h5py.File(out) as one, h5py.File(tmp_path / "whole.h5") as other:
        assert one["column_checksums"][()].tobytes() == other["column_checksums"][()].tobytes()


def test_late_links_are_part_of_the_identity_of_an_interrupted_job(tmp_path, late_boxes, monkeypatch, look_at_one):
    pyramid = write_late(tmp_path, inside=True)
    cut_second_try(monkeypatch, pyramid, late_boxes, tmp_path / "o.h5")
    touch(tmp_path / "late.h5")
    pattern = r"inputs pyramid linked late\.h5 modified was "
    refused(extract(pyramid, late_boxes, tmp_path / "o.h5", "--resume"), 2, pattern)


def test_late_links_of_a_job_that_was_cut_before_the_first(tmp_path, late_boxes, monkeypatch, look_at_one):
    """What was recorded is done again: the file has no room for the list."""
    pyramid, out = write_late(tmp_path, inside=True), tmp_path / "o.h5"
    cut_short(monkeypatch, pyramid, late_boxes, out, after=1)
    good(pyramid, late_boxes, out, "--resume")
    good(pyramid, late_boxes, tmp_path / "whole.h5")
    with h5py.File(out) as one, h5py.File(tmp_path / "whole.h5") as other:
        assert one["column_checksums"][()].tobytes() == other["column_checksums"][()].tobytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_progress_counts_each_box_once(tmp_path, late_boxes, look_at_one):
    from msroi_cli import extract as extract_here

    done = []
    pyramid = write_late(tmp_path, inside=False)
    extract_here(pyramid, late_boxes, tmp_path / "o.h5", threads=1, progress=done.append)
    assert sum(done) == COUNT


@SLOW
def test_late_links_of_workers(tmp_path, late_boxes, look_at_one):
    """The process that starts them meets none."""
    pyramid, out = write_late(tmp_path, inside=True), tmp_path / "o.h5"
    for again in ((), ("--resume",)):
        good(pyramid, late_boxes, out, "--workers", "2", *again)
    with open_crops(out) as crops:
        assert "pyramid linked late.h5" in crops.sources
    touch(tmp_path / "late.h5")
    result = extract(pyramid, late_boxes, out, "--workers", "2", "--resume")
    refused(result, 2, r"linked late\.h5 modified was ")


def write_linked_boxes(folder, source, name="b.h5"):
    """Boxes whose numbers lie in another file."""
    rows = random_rows(COUNT)
    with h5py.File(folder / source, "w") as file:
        file["rois"] = rows
    with h5py.File(folder / name, "w") as file:
        file["rois"] = h5py.ExternalLink(source, "/rois")
    return folder / name


@pytest.mark.parametrize("change", [touch, change_in_the_middle, grow, change_an_end], ids=lambda make: make.__name__)
@pytest.mark.sampled(2)
def test_linked_boxes(tmp_path, boxes, monkeypatch, change):
    pyramid = write_image(tmp_path / "p.h5", ids=IDS)
    boxes = write_linked_boxes(tmp_path, "values.h5")
    cut_short(monkeypatch, pyramid, boxes, tmp_path / "o.h5")
    good(pyramid, boxes, tmp_path / "whole.h5")
    with open_crops(tmp_path / "whole.h5") as crops:
        assert list(crops.sources) == ["pyramid", "boxes", "boxes linked values.h5"]
    change(tmp_path / "values.h5")
    for out in ("o.h5", "whole.h5"):
        refused(extract(pyramid, boxes, tmp_path / out, "--resume"), 2, r"boxes linked values\.h5 \w+ was ")


def test_two_inputs_that_share_a_file(tmp_path, boxes):
    write_image(tmp_path / "shared.h5", ids=IDS)
    with h5py.File(tmp_path / "shared.h5", "a") as file:
        file["rois"] = random_rows(COUNT)
    pyramid = link(tmp_path / "p.h5", {key: ("shared.h5", key) for key in IDS})
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["rois"] = h5py.ExternalLink("shared.h5", "/rois")
    good(pyramid, tmp_path / "b.h5", tmp_path / "o.h5")
    with open_crops(tmp_path / "o.h5") as crops:
        one, other = (crops.sources[f"{role} linked shared.h5"] for role in ("pyramid", "boxes"))
    assert one == other
    good(pyramid, tmp_path / "b.h5", tmp_path / "o.h5", "--resume")
    touch(tmp_path / "shared.h5")
    refused(
        extract(pyramid, tmp_path / "b.h5", tmp_path / "o.h5", "--resume"), 2, r"pyramid linked shared\.h5 modified"
    )


def test_files_of_images_without_boxes_are_not_listed(tmp_path, boxes):
    pyramid, _, _ = images_linked(tmp_path)
    with h5py.File(pyramid, "a") as file:
        for number in range(100, 150):
            write_image(tmp_path / "maps" / f"{number}.h5", number)
            file[f"{number}"] = h5py.ExternalLink(f"maps/{number}.h5", "/x")
    rows = [[f"{key}", 1, 1, 30, 30] for key in IDS]
    boxes = write_json(tmp_path / "c.json", {key: [box] for key, *box in rows})
    good(pyramid, boxes, tmp_path / "o.h5")
    with open_crops(tmp_path / "o.h5") as crops:
        listed = [role for role in crops.sources if " linked " in role]
    # Those that are opened to see what levels there are, and those that are pooled.
    assert {f"pyramid linked maps/{key}.h5" for key in IDS} <= set(listed)
    assert len(listed) < 40


def parts(pyramid, boxes, folder, count=3, *options):
    for index in range(1, count + 1):
        good(pyramid, boxes, folder, "--shard", f"{index}/{count}", *options)


@pytest.mark.parametrize(
    "layout", [images_linked, *(pytest.param(one, marks=SLOW) for one in (virtual, several_files))]
)
def test_parts_list_their_own_files_and_together_all(tmp_path, boxes, look_at_one, layout):
    pyramid, _, _ = layout(tmp_path)
    good(pyramid, boxes, tmp_path / "one.h5")
    parts(pyramid, boxes, tmp_path / "parts")
    assert run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5", "-q").exit_code == 0
    with open_crops(tmp_path / "one.h5") as one:
        for path in ("parts", "merged.h5"):
            with open_crops(tmp_path / path) as crops:
                assert list(crops.sources.items()) == list(one.sources.items())
    assert run("verify", tmp_path / "merged.h5").exit_code == 0


def write_linked_levels(path):
    """A link of each image, whose group is in the file itself."""
    write_image(path, ids=IDS)
    with h5py.File(path, "a") as file:
        for seed, key in enumerate(IDS):
            write_levels(path.with_name(f"{key}.h5"), seed)
            del file[f"{key}/p4"]
            file[f"{key}/p4"] = h5py.ExternalLink(f"{key}.h5", "/p4")
    return path


def test_parts_list_their_own_files(tmp_path, boxes, look_at_one):
    pyramid = write_linked_levels(tmp_path / "p.h5")
    good(pyramid, boxes, tmp_path / "one.h5")
    parts(pyramid, boxes, tmp_path / "parts")
    listed = []
    for part in sorted((tmp_path / "parts").iterdir()):
        with open_crops(part) as crops:
            listed.append({role for role in crops.sources if " linked " in role})
    with open_crops(tmp_path / "one.h5") as one, open_crops(tmp_path / "parts") as together:
        assert together.sources == one.sources
        assert min(map(len, listed)) < len(set.union(*listed)) == len(one.sources) - 2


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut short"])
def test_a_job_is_not_resumed_by_a_run_that_opens_more_files(tmp_path, boxes, monkeypatch, look_at_one, cut):
    """The boxes of one image are all bad: only --strict looks at it."""
    pyramid = write_linked_levels(tmp_path / "p.h5")
    rows = [[number % 3, 1, 1, -30 if number % 3 == 1 else 30, 30] for number in range(COUNT)]
    boxes = write_json(tmp_path / "c.json", rows)
    for earlier, again, which in (([], ["--strict"], "present"), (["--strict"], [], "earlier")):
        command = (pyramid, boxes, tmp_path / "o.h5", "--on-bad-box", "drop", "--overwrite", *earlier)
        cut_short(monkeypatch, *command, after=1) if cut else good(*command)
        result = extract(*command[: -1 - len(earlier)], "--resume", *again)
        refused(result, 2, rf"17\.h5 was read by the {which} run only: .* one of the two had --strict")
        good(*command[: -1 - len(earlier)], "--resume", *earlier)


def test_a_strict_shard_opens_no_more_files(tmp_path, boxes, look_at_one):
    pyramid = write_linked_levels(tmp_path / "p.h5")
    boxes = write_json(tmp_path / "c.json", [[number % 3, 1, 1, 30, 30] for number in range(COUNT)])
    good(pyramid, boxes, tmp_path / "parts", "--shard", "1/3")
    good(pyramid, boxes, tmp_path / "parts", "--shard", "1/3", "--strict", "--resume")


def test_parts_of_different_files_are_refused(tmp_path, boxes):
    pyramid, file, name = images_linked(tmp_path)
    for index in (1, 2):
        good(pyramid, boxes, tmp_path / "parts", "--shard", f"{index}/2")
        if index == 1:
            touch(file)
    # Machines may have copies: the time alone says nothing.
    with open_crops(tmp_path / "parts") as crops:
        assert f"pyramid linked {name}" in crops.sources
    grow(file)
    good(pyramid, boxes, tmp_path / "parts", "--shard", "2/2", "--overwrite")
    result = run("merge", tmp_path / "parts", "-o", tmp_path / "merged.h5")
    refused(result, 3, rf"part-00002-of-00002\.h5: expected a part of the same job as .*: pyramid linked {name} ")


def test_a_changed_file_refuses_its_part(tmp_path, boxes):
    pyramid, file, name = images_linked(tmp_path)
    parts(pyramid, boxes, tmp_path / "parts", 2)
    parts(pyramid, boxes, tmp_path / "parts", 2, "--resume")
    touch(file)
    results = [extract(pyramid, boxes, tmp_path / "parts", "--shard", f"{index}/2", "--resume") for index in (1, 2)]
    assert [result.exit_code for result in results].count(2) >= 1
    assert any(f"linked {name} modified was" in result.stderr for result in results)


@SLOW
def test_workers(tmp_path, boxes):
    pyramid, file, name = images_linked(tmp_path)
    good(pyramid, boxes, tmp_path / "one.h5")
    good(pyramid, boxes, tmp_path / "o.h5", "--workers", "2")
    with open_crops(tmp_path / "o.h5") as crops, open_crops(tmp_path / "one.h5") as one:
        assert crops.sources == one.sources
    good(pyramid, boxes, tmp_path / "o.h5", "--workers", "2", "--resume")
    touch(file)
    result = extract(pyramid, boxes, tmp_path / "o.h5", "--workers", "2", "--resume")
    refused(result, 2, rf"linked {name} modified was ")


def test_the_output_is_not_a_linked_file(tmp_path, boxes):
    pyramid, file, _ = images_linked(tmp_path)
    before = file.read_bytes()
    refused(extract(pyramid, boxes, file, "--overwrite"), 2, r"maps/4\.h5")
    assert file.read_bytes() == before


@SLOW
def test_more_sources_than_an_attribute_of_fixed_length_holds(tmp_path):
    folder, ids = "f" * 240, [f"{number:03}" for number in range(150)]
    write_image(tmp_path / folder / "m.h5", ids=["x"])
    for key in ids:
        (tmp_path / folder / f"{key}.h5").hardlink_to(tmp_path / folder / "m.h5")
    pyramid = link(tmp_path / "p.h5", {key: (f"{folder}/{key}.h5", "/x") for key in ids})
    boxes = write_json(tmp_path / "b.json", {key: [[1, 1, 30, 30]] for key in ids})
    good(pyramid, boxes, tmp_path / "o.h5")
    with open_crops(tmp_path / "o.h5") as crops:
        assert len(crops.sources) == 152
        assert len(json.dumps(crops.sources)) > 60_000
    assert run("verify", tmp_path / "o.h5").exit_code == 0
    assert "  and 132 sources more" in run("inspect", tmp_path / "o.h5").stdout.splitlines()
    assert len(json.loads(run("inspect", tmp_path / "o.h5", "--json").stdout)["sources"]) == 152
    good(pyramid, boxes, tmp_path / "o.h5", "--resume")
    touch(tmp_path / folder / "149.h5")
    refused(extract(pyramid, boxes, tmp_path / "o.h5", "--resume"), 2, r"linked f+/\d+\.h5 modified was")


def test_a_file_that_changes_while_it_is_read(tmp_path, boxes, monkeypatch):
    pyramid, file, name = images_linked(tmp_path)
    from msroi_cli.job.extract import run as module

    check = module.check
    monkeypatch.setattr(module, "check", lambda *args: (touch(file), check(*args)))
    refused(extract(pyramid, boxes, tmp_path / "o.h5"), 3, rf"{name}: expected the file to stay as it is")


def test_inputs_without_links_list_nothing_else(tmp_path, boxes):
    good(write_image(tmp_path / "p.h5", ids=IDS), boxes, tmp_path / "o.h5")
    with open_crops(tmp_path / "o.h5") as crops:
        assert list(crops.sources) == ["pyramid", "boxes"]


def test_prefixes_are_refused_for_virtual_levels(tmp_path, boxes, monkeypatch):
    """HDF5 would read another file than the one that is checked."""
    pyramid, _, _ = virtual(tmp_path)
    monkeypatch.setenv("HDF5_VDS_PREFIX", str(tmp_path))
    refused(extract(pyramid, boxes, tmp_path / "o.h5"), 3, "expected HDF5_VDS_PREFIX to be unset")
