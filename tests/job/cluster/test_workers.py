"""Workers make the bytes of one process, whatever happens to them."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import msroi_cli
from msroi_cli.cli.output import level_table
from msroi_cli.errors import InputError, RunError, StoppedError, UsageError
from msroi_cli.io.files.journal import Journal
from msroi_cli.job.cluster import engine, worker
from msroi_cli.job.cluster.engine import Engine, run_shards
from msroi_cli.job.cluster.names import absolute_name
from msroi_cli.job.request import BoxOptions, ExtractRequest, PoolOptions
from msroi_cli.job.shards import Shard
from tests.builders import SPREAD, SPREAD_CALL, process, refused, run
from tests.job.cluster.test_parts import datasets, extract, good, inputs  # noqa: F401

POOL = PoolOptions(canonical_scale=16, canonical_level=1)


@pytest.fixture
def request_of(inputs, tmp_path):  # noqa: F811
    box = BoxOptions(on_bad_box="zero", on_unknown_image="skip")
    return ExtractRequest(str(inputs / "p.h5"), str(inputs / "b.json"), tmp_path / "parts", pool=POOL, box=box)


def whole(inputs, request_of, tmp_path):  # noqa: F811
    """Whether the parts, merged, are the file of one run."""
    extract(inputs, tmp_path / "one.h5")
    good("merge", request_of.out, "-o", tmp_path / "merged.h5")
    assert datasets(tmp_path / "merged.h5") == datasets(tmp_path / "one.h5")


def prepare_folder(request_of):
    request_of.out.mkdir()
    return request_of


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--compression", "gzip:1"), ("--order", "image")])
def test_the_file_of_one_process(inputs, tmp_path, options):  # noqa: F811
    extract(inputs, tmp_path / "one.h5", *options)
    before = set(tmp_path.iterdir())
    extract(inputs, tmp_path / "many.h5", "--workers", "2", *options)
    assert datasets(tmp_path / "many.h5") == datasets(tmp_path / "one.h5")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "many.h5"}


def test_any_executor(inputs, request_of, tmp_path):  # noqa: F811
    done = []
    run_shards(prepare_folder(request_of), 5, Engine(lambda: ThreadPoolExecutor(3), 3), done.append)
    assert sum(done) == 60
    whole(inputs, request_of, tmp_path)


def test_room_is_asked_for_while_shards_are_left(request_of):
    asked = []
    run_shards(prepare_folder(request_of), 5, Engine(lambda: ThreadPoolExecutor(1), lambda: asked.append(1) or 5))
    assert len(asked) == 1


class Dying(ThreadPoolExecutor):
    """An executor whose workers die when a shard is given to them, as often as `deaths` says."""

    deaths: dict[int, int] = {}  # noqa: RUF012

    def submit(self, function, request):
        return super().submit(self.work, function, request)

    def work(self, function, request):
        if self.deaths.get(request.shard.index, 0):
            self.deaths[request.shard.index] -= 1
            raise BrokenExecutor("a worker died")
        return function(request)


def test_shards_of_dead_workers_are_tried_again(inputs, request_of, tmp_path):  # noqa: F811
    Dying.deaths = {2: 1, 4: 2}
    run_shards(prepare_folder(request_of), 5, Engine(lambda: Dying(2), 2))
    assert Dying.deaths == {2: 0, 4: 0}
    whole(inputs, request_of, tmp_path)


def test_a_shard_that_kills_its_workers_is_named_and_all_others_are_made(request_of):
    Dying.deaths = {3: 99}
    with pytest.raises(RunError, match=r"shards 3/5: their workers died 3 times; all other parts are there"):
        run_shards(prepare_folder(request_of), 5, Engine(lambda: Dying(2), 2))
    assert Dying.deaths == {3: 96}
    parts = sorted(path.name for path in request_of.out.glob("part-*.h5"))
    assert parts == [f"part-{index:05d}-of-00005.h5" for index in (1, 2, 4, 5)]


def test_a_worker_that_dies_behind_its_whole_part_has_done_it(inputs, request_of, tmp_path, monkeypatch):  # noqa: F811
    make = engine.make_part

    def dies_late(request):
        make(request)
        if request.shard.index == 2:
            raise BrokenExecutor("too late")
        return 0

    monkeypatch.setattr(engine, "make_part", dies_late)
    run_shards(prepare_folder(request_of), 3, Engine(lambda: ThreadPoolExecutor(1), 1))
    whole(inputs, request_of, tmp_path)


def test_bad_input_is_not_tried_again(request_of):
    request = prepare_folder(request_of)._replace(pyramid="nowhere.h5")
    with pytest.raises(InputError, match="nowhere"):
        run_shards(request, 5, Engine(lambda: ThreadPoolExecutor(1), 1))


def test_a_signal_keeps_what_is_done(inputs, request_of, tmp_path):  # noqa: F811
    done = []
    prepare_folder(request_of)
    with pytest.raises(StoppedError):
        run_shards(request_of, 5, Engine(lambda: ThreadPoolExecutor(1), 1), done.append, lambda: 2 * (len(done) > 1))
    assert list(request_of.out.glob("part-*.h5"))
    run_shards(request_of, 5, Engine(lambda: ThreadPoolExecutor(1), 1))
    whole(inputs, request_of, tmp_path)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers by /proc")
@pytest.mark.parametrize("victim", ["worker", "parent"])
@pytest.mark.slow
def test_killed_with_sigkill(inputs, tmp_path, victim):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    arguments = ("--workers", "2", "--on-bad-box", "zero", "--on-unknown-image", "skip", *SPREAD)
    command = ("extract", inputs / "p.h5", inputs / "b.json", "-o", tmp_path / "many.h5", *arguments)
    running = process(*command)
    deadline = time.monotonic() + 120
    while not (workers := [pid for pid in children(running.pid) if spawned(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(workers[0] if victim == "worker" else running.pid, signal.SIGKILL)
    _, errors = running.communicate(timeout=300)
    while any(spawned(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(spawned(pid) for pid in workers), "workers outlive their parent"
    if victim == "worker":
        assert running.returncode == 0, errors.decode()
    else:
        done = subprocess.run([sys.executable, "-m", "msroi_cli", *map(str, command), "--resume"], timeout=300)
        assert done.returncode == 0
    assert datasets(tmp_path / "many.h5") == datasets(tmp_path / "one.h5")


def spawned(pid):
    """Whether a child is a worker, and not the process that tracks resources."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_what_is_refused(inputs, tmp_path):  # noqa: F811
    policy = ("--on-bad-box", "zero", "--on-unknown-image", "skip")
    command = ("extract", inputs / "p.h5", inputs / "b.json", "-o", tmp_path / "o.h5", *policy)
    refused(run(*command, "--workers", "2", "--shard", "1/2"), 2, "without --shard")
    from_input = ("extract", inputs / "p.h5", "-", "-o", tmp_path / "o.h5", "--workers", "2", *policy)
    refused(run(*from_input, stdin=(inputs / "b.json").read_text()), 2, "BOXES: expected a file, which every worker")
    mine = tmp_path / ".o.h5.parts"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    refused(run(*command, "--workers", "2", "--overwrite"), 2, "letter.txt: expected no file or a work file of msroi")
    assert (mine / "letter.txt").read_text() == "dear"


def test_workers_beside_a_dead_one_are_ended(request_of):
    """Before the executor is closed, which waits for all of them."""
    happened = []

    class Noted(Dying):
        def __exit__(self, *error):
            happened.append("closed")
            return super().__exit__(*error)

    made = Engine(lambda: Noted(2), 2, lambda: happened.append("interrupted"))
    Noted.deaths = {2: 1}
    run_shards(prepare_folder(request_of), 3, made)
    assert happened[:2] == ["interrupted", "closed"]
    assert happened.count("interrupted") == 1


@pytest.mark.parametrize(
    "error", [OSError("handle is closed"), ValueError("bad value(s) in fds_to_keep"), BrokenExecutor("a worker died")]
)
@pytest.mark.sampled(3)
def test_an_executor_that_breaks_while_shards_are_given_to_it(inputs, request_of, tmp_path, error):  # noqa: F811
    left = [2]

    class Breaking(ThreadPoolExecutor):
        def submit(self, function, request):
            if left[0] and request.shard.index == 2:
                left[0] -= 1
                raise error
            return super().submit(function, request)

    run_shards(prepare_folder(request_of), 3, Engine(lambda: Breaking(2), 2))
    assert left == [0]
    whole(inputs, request_of, tmp_path)


def test_a_part_that_no_one_finds_is_an_error(request_of, monkeypatch):
    """A worker that writes to a disk of its own."""
    monkeypatch.setattr(engine, "make_part", lambda request: 1)
    monkeypatch.setattr(engine, "VISIBLE_SECONDS", 0.5)
    with pytest.raises(RunError, match=r"part-0000[12]-of-00002\.h5: expected the part that a worker made, got none"):
        run_shards(prepare_folder(request_of), 2, Engine(lambda: ThreadPoolExecutor(1), 1))


def test_a_part_that_is_seen_late(inputs, request_of, tmp_path, monkeypatch):  # noqa: F811
    """As on network file systems, which keep the names of folders for some seconds."""
    make, looks = engine.make_part, []

    def look(path):
        looks.append(path)
        return len(looks) > 5 and path.exists()

    monkeypatch.setattr(engine, "make_part", make)
    monkeypatch.setattr(engine, "is_there", look)
    run_shards(prepare_folder(request_of), 2, Engine(lambda: ThreadPoolExecutor(1), 1))
    assert len(looks) > 5
    whole(inputs, request_of, tmp_path)


def test_a_shard_that_the_executor_gave_up_is_named_and_all_others_are_made(request_of):
    class GaveUpError(Exception):
        pass

    class Trying(ThreadPoolExecutor):
        def submit(self, function, request):
            if request.shard.index == 2:
                function = self.fail
            return super().submit(function, request)

        def fail(self, request):
            raise GaveUpError

    with pytest.raises(RunError, match=r"shards 2/3: their workers died"):
        run_shards(prepare_folder(request_of), 3, Engine(lambda: Trying(1), 1, gives_up=(GaveUpError,)))
    assert len(list(request_of.out.glob("part-*.h5"))) == 2


def test_workers_without_msroi(request_of):
    class Bare(ThreadPoolExecutor):
        def submit(self, function, request):
            return super().submit(exec, "import msroi_of_another_world")

    with pytest.raises(RunError, match="expected msroi and its packages on every worker, got: No module named"):
        run_shards(prepare_folder(request_of), 3, Engine(lambda: Bare(1), 1))


def test_a_worker_waits_for_the_one_that_makes_its_part(inputs, request_of, tmp_path, monkeypatch):  # noqa: F811
    """A scheduler may take a worker for dead that is only slow, and give its shard to another."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    request = prepare_folder(request_of)._replace(shard=Shard(1, 1))
    held = Journal(request_of.out / "part-00001-of-00001.h5")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(worker.make_part, request, tmp_path / "stop")
        with pytest.raises(TimeoutError):
            future.result(1)
        held.release()
        assert future.result(60) == 60
    whole(inputs, request_of, tmp_path)


def test_a_worker_that_waits_is_stopped(request_of, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    request = prepare_folder(request_of)._replace(shard=Shard(1, 1))
    held = Journal(request_of.out / "part-00001-of-00001.h5")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(worker.make_part, request, tmp_path / "stop")
        (tmp_path / "stop").touch()
        with pytest.raises(StoppedError):
            future.result(60)
    held.release()
    with pytest.raises(StoppedError):
        worker.make_part(request, tmp_path / "stop")
    assert not list(request_of.out.glob("part-*"))


@pytest.mark.parametrize(("foreign", "expected"), [(True, ["keep", "give back"]), (False, ["keep"])])
def test_only_processes_of_other_engines_give_back_freed_memory(request_of, tmp_path, monkeypatch, foreign, expected):
    calls = []
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: calls.append("keep"))
    monkeypatch.setattr(worker, "give_back_freed_memory", lambda: calls.append("give back"))
    request = prepare_folder(request_of)._replace(shard=Shard(1, 1))
    assert worker.make_part(request, tmp_path / "stop" if foreign else None) == 60
    assert calls == expected


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_extract_on_an_executor(inputs, tmp_path, kind):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    given = {"on_bad_box": "zero", "on_unknown_image": "skip", **SPREAD_CALL}
    done = []
    with kind(2) as executor:
        names = inputs / "p.h5", inputs / "b.json", tmp_path / "many.h5"
        summary = msroi_cli.extract(*names, executor=executor, shards=5, progress=done.append, **given)
        assert executor.submit(abs, -1).result() == 1
    assert summary.total.boxes == 46
    assert "nan s" not in level_table(summary)
    assert sum(done) == 60
    assert datasets(tmp_path / "many.h5") == datasets(tmp_path / "one.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.h5", "one.h5"]


def test_an_executor_whose_workers_die_ends_the_job_and_a_new_one_resumes(inputs, tmp_path):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    names = inputs / "p.h5", inputs / "b.json", tmp_path / "many.h5"
    given = {"on_bad_box": "zero", "on_unknown_image": "skip", **SPREAD_CALL}
    Dying.deaths = {3: 1}
    with pytest.raises(RunError, match="the executor lost its workers; what is done is kept"):
        msroi_cli.extract(*names, executor=Dying(1), shards=4, **given)
    assert list(tmp_path.glob(".many.h5.parts/part-*.h5"))
    msroi_cli.extract(*names, executor=ThreadPoolExecutor(1), shards=4, resume=True, **given)
    assert datasets(tmp_path / "many.h5") == datasets(tmp_path / "one.h5")


@pytest.mark.slow
def test_a_stop_ends_the_workers_of_an_executor(inputs, tmp_path):  # noqa: F811
    stop, done = threading.Event(), []

    def progress(rows):
        done.append(rows)
        stop.set()

    names = inputs / "p.h5", inputs / "b.json", tmp_path / "many.h5"
    given = {"on_bad_box": "zero", "on_unknown_image": "skip", **SPREAD_CALL}
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(StoppedError):
            msroi_cli.extract(*names, executor=executor, shards=30, progress=progress, stop=stop, **given)
        made = len(list(tmp_path.glob(".many.h5.parts/part-*.h5")))
        assert 0 < made < 30
        msroi_cli.extract(*names, executor=executor, shards=30, resume=True, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["many.h5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "expected 1 to 99,999 shards"),
        ({"workers": 2}, "workers: expected one of workers, scheduler and executor, got executor too"),
        ({"scheduler": "tcp://x:1"}, "scheduler: expected one of workers, scheduler and executor, got executor too"),
        ({"shard": "1/2"}, "executor: expected without shard"),
    ],
)
def test_executors_that_do_not_fit(inputs, tmp_path, options, message):  # noqa: F811
    with ThreadPoolExecutor(1) as executor, pytest.raises(UsageError, match=message):
        msroi_cli.extract(
            inputs / "p.h5", inputs / "b.json", tmp_path / "o.h5", executor=executor, on_bad_box="zero", **options
        )


def test_names_for_workers_elsewhere(tmp_path, monkeypatch):
    strange = tmp_path / "a [b]"
    strange.mkdir()
    monkeypatch.chdir(strange)
    (strange / "x.h5").touch()
    assert absolute_name("x.h5::/maps") == f"{strange}/x.h5::/maps"
    assert absolute_name("@list.txt") == f"@{strange}/list.txt"
    assert absolute_name("../x.h5") == f"{strange}/../x.h5"
    assert absolute_name("/y/x.h5") == "/y/x.h5"
    assert [Path(name) for name in glob.glob(absolute_name("*.h5"))] == [strange / "x.h5"]  # noqa: PTH207
