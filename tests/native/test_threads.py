"""The kernel's threads among others: forks, calls at once, the interpreter's end, and what the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from msroi_cli.core.backends import dispatch as backends
from msroi_cli.core.backends import environment as native
from msroi_cli.errors import ArgumentError
from tests.native.pooling import pool, pyramid, random_rois, work

PRELUDE = """
import numpy as np
from msroi_cli import multi_scale_roi_align
rng = np.random.default_rng(0)
maps = [rng.standard_normal((2, 64, 100 >> k, 160 >> k)).astype("f4") for k in range(4)]
corner = rng.uniform(0, 300, (1000, 2))
rois = np.hstack([rng.integers(0, 2, (1000, 1)), corner, corner + rng.uniform(5, 250, (1000, 2))])
def crops(threads=2):
    return multi_scale_roi_align(maps, rois, [1 / 4, 1 / 8, 1 / 16, 1 / 32], 7, 2, threads=threads)
"""


def run(code, **environment):
    """A Python process that has `crops()`; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def passes(code, **environment):
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def large_call():
    return work(pyramid(64, height=100, width=160), random_rois(800, height=400, width=640))


def test_calls_at_once():
    """As many callers as there are, each gets its own crops."""
    call = large_call()
    expected = pool(call, threads=1).tobytes()
    with ThreadPoolExecutor(8) as callers:
        for crops in callers.map(lambda _: pool(call, threads=3).tobytes(), range(40)):
            assert crops == expected


def test_callers_do_not_multiply_threads():
    code = """
import threading
crops(3)
callers = [threading.Thread(target=lambda: [crops(3) for _ in range(5)]) for _ in range(6)]
for caller in callers: caller.start()
counts = []
while any(caller.is_alive() for caller in callers):
    alive = sum(caller.is_alive() for caller in callers)
    text = open("/proc/self/status").read()
    counts.append(int(text.split("Threads:")[1].split()[0]))
print(max(counts))
"""
    assert int(passes(code, OPENBLAS_NUM_THREADS="1")) <= 1 + 6 + 2


def test_one_thread_makes_no_others():
    code = 'crops(1); print(open("/proc/self/status").read().split("Threads:")[1].split()[0])'
    assert passes(code, OPENBLAS_NUM_THREADS="1") == "1"


def test_other_threads_run_meanwhile():
    """The kernel lets go of the interpreter's lock."""
    call = large_call()
    done = threading.Event()

    def keep_pooling():
        while not done.is_set():
            pool(call, threads=1)

    caller = threading.Thread(target=keep_pooling)
    caller.start()
    steps = sum(1 for _ in range(100_000))
    done.set()
    caller.join(30)
    assert steps == 100_000
    assert not caller.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_its_own_crew():
    call = large_call()
    expected = pool(call, threads=3).tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit(0 if pool(call, threads=3).tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pool(call, threads=3).tobytes() == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_in_the_middle_of_a_call():
    code = """
import os, threading, warnings
warnings.simplefilter("ignore")
expected = crops(2).tobytes()
caller = threading.Thread(target=lambda: [crops(2) for _ in range(60)])
caller.start()
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if crops(2).tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
caller.join()
"""
    passes(code)


@pytest.mark.slow
def test_the_interpreter_ends_while_threads_pool():
    code = """
import threading, time
def forever():
    while True: crops(2)
for _ in range(3): threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
print("end")
"""
    for _ in range(10):
        assert passes(code) == "end"


def test_pooling_at_exit():
    code = "crops(2)\nimport atexit\natexit.register(lambda: print(crops(2).shape[0]))"
    assert passes(code) == "1000"


def test_threads_of_the_environment(monkeypatch):
    monkeypatch.setenv("MSROI_NUM_THREADS", "3")
    assert native.default_threads() == 3
    monkeypatch.delenv("MSROI_NUM_THREADS")
    assert 1 <= native.default_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity")
def test_no_more_threads_than_the_affinity_mask():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from msroi_cli.core.backends import dispatch as backends
from msroi_cli.core.backends import environment as native
print(native.default_threads())
"""
    assert passes(code, MSROI_NUM_THREADS="") == "1"


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "3000000000", "9" * 5000, "\u0663"])
def test_a_bad_count_in_the_environment(monkeypatch, text):
    monkeypatch.setenv("MSROI_NUM_THREADS", text)
    with pytest.raises(
        ArgumentError, match=rf"MSROI_NUM_THREADS: expected a whole number from 1 to 4096, got '{text[:40]}'"
    ):
        pool(large_call(), threads=None)


def test_a_bad_isa_in_the_environment(monkeypatch):
    monkeypatch.setenv("MSROI_ISA", "v5")
    with pytest.raises(ArgumentError, match=r"MSROI_ISA: expected one of baseline.*, got 'v5'"):
        pool(large_call())


def test_the_isa_of_the_environment(isa):
    assert native.isa_name() == isa


def test_the_backend_of_the_environment(monkeypatch):
    monkeypatch.delenv("MSROI_BACKEND", raising=False)
    assert backends.backend_name() == "native"
    monkeypatch.setenv("MSROI_BACKEND", "numpy")
    assert (backends.backend_name(), native.isa_name()) == ("numpy", None)
    monkeypatch.setenv("MSROI_BACKEND", "fortran")
    with pytest.raises(ArgumentError, match=r"MSROI_BACKEND: expected one of native, numpy, got 'fortran'"):
        backends.backend_name()


def test_seconds_are_added_up():
    call = large_call()
    seconds = backends.np.full(4, 100.0)
    out = pool(call)
    backends.native_pool(out, call, 2, seconds)
    assert (seconds > 100).all()
    assert (seconds < 160).all()
