"""The benchmark in small: it runs, crops agree, and what it prints is whole."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from msroi_cli.bench import measure, peers
from msroi_cli.bench.cases import make
from msroi_cli.bench.workloads import WORKLOADS
from msroi_cli.cli.commands.bench import bench
from msroi_cli.model.session import NO_TELEMETRY
from tests import oracle
from tests.builders import run


@pytest.fixture
def stand_in(monkeypatch):
    """Peers made here, whatever is installed: one that agrees, one that does not, one that is not there."""

    def slow(case, threads):
        work = case.workload
        levels = [oracle.level(roi[1:], work.strides, "torchvision") for roi in case.rois]
        scales, size = [(scale, scale) for scale in case.scales], (work.output_size, work.output_size)
        crops = oracle.pool(case.features, case.rois, scales, size, work.sampling_ratio, False, levels)
        return lambda: crops.astype(work.dtype)

    def off(case, threads):
        call = slow(case, threads)
        return lambda: (call() + np.float32(1e-2)).astype(case.workload.dtype)

    monkeypatch.setattr(peers, "PEERS", {"agrees": slow, "differs": off, "nowhere": slow})
    monkeypatch.setattr(peers, "_NEEDED", {"nowhere": ("msroi_there_is_no_such_module",)})


def test_every_workload_in_small_beside_all_peers_there_are():
    """Crops agree with every peer that can be imported; the table has a row for every workload."""
    result = run("bench", "--quick", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [row["name"] for row in report["workloads"]] == list(WORKLOADS)
    there = set(peers.PEERS) - set(report["absent"])
    for row in report["workloads"]:
        assert row["differing"] == {}
        assert set(row["ratio"]) - {peers.MODULE} == there
        assert (peers.MODULE in row["ratio"]) == (row["name"] == "1-box" and "torchvision" in there)
        assert {measure.ONE, measure.ALL, measure.INTO, measure.FLOOR} <= set(row["seconds"])
        assert all(spent > 0 for spent in [*row["seconds"].values(), *row["fastest"].values()])
    assert all(f"{name}: absent (" in result.stderr for name in report["absent"])


@pytest.mark.parametrize("name", ["7x7", "float16", "whole-image-adaptive"])
def test_crops_are_checked_before_they_are_timed(stand_in, name):
    result = run("bench", "--quick", "--json", "--workload", name, "--threads", "1")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    (row,) = report["workloads"]
    assert list(row["ratio"]) == list(row["ratio_1_thread"]) == ["agrees"]
    assert list(row["differing"]) == ["differs"]
    assert row["differing"]["differs"] == pytest.approx(1e-2, rel=0.2)
    assert report["threads"] == report["repeat"] == 1
    assert "nowhere: absent (No module named 'msroi_there_is_no_such_module')" in result.stderr
    assert f"{name}: differs differs by" in result.stderr


def test_onnx_runtime_is_loaded_without_telemetry(monkeypatch):
    monkeypatch.delenv(NO_TELEMETRY)
    peers.absent()
    assert os.environ[NO_TELEMETRY] == "1"


def test_the_table(stand_in):
    result = run("bench", "--quick", "--workload", "14x14", "--workload", "36-boxes", "--threads", "2")
    assert result.exit_code == 0, result.stderr
    header, first, second, *rest = result.stdout.splitlines()
    assert header.split() == ["workload", "1", "thread", "2", "threads", "out=", "agrees", "of", "copy", "floor"]
    assert [first.split()[0], second.split()[0]] == ["14x14", "36-boxes"]
    assert first.count("x (") == 1
    assert first.endswith("%")
    assert any("medians of 1" in line for line in rest)


def test_repetitions_are_taken_in_turns(monkeypatch):
    monkeypatch.setattr(measure, "SHORTEST", 1e-9)
    monkeypatch.setattr(measure, "PAUSE", 0)
    turns = []
    times = measure.in_turns({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert turns == list("ab" + "ababab")
    assert {name: len(spent) for name, spent in times.items()} == {"a": 3, "b": 3}


def test_short_calls_are_repeated():
    calls = []
    (times,) = measure.in_turns({"a": lambda: calls.append(1)}, 2).values()
    assert len(calls) > 100
    assert all(0 < spent < measure.SHORTEST for spent in times)


def test_a_peer_of_another_shape_differs(monkeypatch):
    monkeypatch.setattr(peers, "PEERS", {"flat": lambda case, threads: lambda: np.zeros(3, np.float32)})
    (result,) = measure.run([WORKLOADS["7x7"].quick()], 1, 1, ())
    assert result.differing == {"flat": np.inf}
    assert result.peers() == []


@pytest.mark.parametrize("name", WORKLOADS)
def test_cases_are_what_they_say(name):
    case = make(WORKLOADS[name].quick())
    work = case.workload
    assert [f.shape for f in case.features] == [(work.images, work.channels, *s) for s in work.level_sizes()]
    assert {f.dtype.name for f in case.features} == {work.dtype}
    assert np.bincount(case.rois[:, 0].astype(int)).tolist() == [work.boxes] * work.images
    x1, y1, x2, y2 = case.rois[:, 1:].T
    height, width = work.input_size
    assert (x1 >= 0).all()
    assert (y1 >= 0).all()
    assert (x2 <= width * (1 + 1e-6)).all()
    assert (y2 <= height * (1 + 1e-6)).all()
    assert ((x2 > x1) & (y2 > y1)).all()
    assert case.moved == sum(f.nbytes for f in case.features) + int(np.prod(case.shape)) * case.features[0].itemsize


def test_every_option_is_used_in_this_folder():
    assert run("bench", "--quick", "--workload", "1-channel", "--repeat", "2").exit_code == 0
    assert run("bench", "--repeat", "0").exit_code == 2
    assert {name for option in bench.params for name in option.opts} == {
        "--workload",
        "--jobs",
        "--images",
        "--boxes",
        "--small-images",
        "--gzip",
        "--cold",
        "--folder",
        "--repeat",
        "--threads",
        "--quick",
        "--json",
        "--no-color",
    }
