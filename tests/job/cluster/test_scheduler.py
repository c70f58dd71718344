"""A real Dask scheduler and its workers, on this machine, make the bytes of one process."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.builders import SPREAD, SPREAD_CALL, refused, run
from tests.job.cluster.local import ENVIRONMENT, Cluster
from tests.job.cluster.test_parts import datasets, extract, inputs  # noqa: F401

POLICY = ("--on-bad-box", "zero", "--on-unknown-image", "skip")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="the package distributed is not installed"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.add_worker()
    made.add_worker()
    yield made
    made.end()


@pytest.fixture
def one(inputs, tmp_path):  # noqa: F811
    extract(inputs, tmp_path / "one.h5")
    return tmp_path / "one.h5"


def command(inputs, out, *options):  # noqa: F811
    given = ("extract", inputs / "p.h5", inputs / "b.json", "-o", out, *POLICY, *SPREAD, *options)
    return [sys.executable, "-m", "msroi_cli", *map(str, given)]


def job(inputs, out, *options, cwd=None):  # noqa: F811
    done = subprocess.run(
        command(inputs, out, *options), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def same(out, one):
    assert datasets(out) == datasets(one)
    with h5py.File(out) as made, h5py.File(one) as expected:
        for name in ("parameters", "sources"):
            assert made.attrs[name] == expected.attrs[name]


@pytest.mark.parametrize("options", [(), ("--shards", "5", "--order", "image")])
@pytest.mark.sampled(2)
def test_the_file_of_one_process(inputs, one, cluster, tmp_path, options):  # noqa: F811
    """Names of files are relative: the current folder of workers is another one."""
    if options:
        extract(inputs, one, "--order", "image", "--overwrite")
    before = set(tmp_path.iterdir())
    place = str(cluster.file) if options else cluster.address
    (tmp_path / "inputs").symlink_to(inputs)
    (tmp_path / "outputs").mkdir()
    errors = job(Path("inputs"), Path("outputs/many.h5"), "--scheduler", place, *options, cwd=tmp_path)
    assert "distributed" not in errors
    same(tmp_path / "outputs" / "many.h5", one)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "inputs", tmp_path / "outputs"}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["many.h5"]


@pytest.mark.slow
def test_the_executor_of_a_client(inputs, one, cluster, tmp_path):  # noqa: F811
    script = f"""
import msroi_cli
from distributed import Client

if __name__ == "__main__":
    with Client({cluster.address!r}) as client:
        summary = msroi_cli.extract(
            {str(inputs / "p.h5")!r}, {str(inputs / "b.json")!r}, {str(tmp_path / "many.h5")!r},
            executor=client.get_executor(), shards=4, on_bad_box="zero", on_unknown_image="skip", **{SPREAD_CALL!r}
        )
    print(summary.total.boxes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
    same(tmp_path / "many.h5", one)


@pytest.mark.slow
def test_a_worker_is_killed_and_another_comes(inputs, one, tmp_path):  # noqa: F811
    cluster = Cluster(tmp_path)
    try:
        cluster.add_worker()
        options = ("--scheduler", str(cluster.file), "--shards", "12")
        running = subprocess.Popen(command(inputs, tmp_path / "many.h5", *options), env=ENVIRONMENT)
        cluster.wait(lambda: list(tmp_path.glob(".many.h5.parts/part-*.h5")))
        cluster.workers[0].send_signal(signal.SIGKILL)
        cluster.add_worker()
        assert running.wait(300) == 0
    finally:
        cluster.end()
    same(tmp_path / "many.h5", one)


@pytest.mark.slow
def test_interrupted_and_resumed(inputs, one, cluster, tmp_path):  # noqa: F811
    options = ("--scheduler", cluster.address, "--shards", "30")
    running = subprocess.Popen(
        command(inputs, tmp_path / "many.h5", *options), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    cluster.wait(lambda: list(tmp_path.glob(".many.h5.parts/part-*.h5")))
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 130, errors
    made = len(list(tmp_path.glob(".many.h5.parts/part-*.h5")))
    assert 0 < made < 30
    job(inputs, tmp_path / "many.h5", *options, "--resume")
    same(tmp_path / "many.h5", one)
    assert not list(tmp_path.glob(".many.h5*"))


def test_what_is_refused(inputs, cluster, tmp_path):  # noqa: F811
    given = ("extract", inputs / "p.h5", inputs / "b.json", "-o", tmp_path / "o.h5", *POLICY)
    refused(run(*given, "--scheduler", cluster.address, "--workers", "2"), 2, "expected one of workers, scheduler")
    refused(run(*given, "--scheduler", cluster.address, "--shard", "1/2"), 2, "scheduler: expected without shard")
    refused(run(*given, "--shards", "2"), 2, "shards: expected with two or more workers, or a scheduler, got neither")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:9", "none.json", "nonsense://x"])
@pytest.mark.sampled(3)
def test_where_no_scheduler_is(inputs, tmp_path, place):  # noqa: F811
    place = str(tmp_path / place) if place.endswith("json") else place
    short = {**ENVIRONMENT, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    given = command(inputs, tmp_path / "o.h5", "-q", "--scheduler", place)
    done = subprocess.run(given, env=short, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert f"--scheduler {place}: expected a Dask scheduler, got none" in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())
