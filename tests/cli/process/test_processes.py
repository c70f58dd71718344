"""`msroi` as a process: start-up, signals, pipes and closed streams, memory, and that a name means a whole file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from msroi_cli import __version__, open_crops
from msroi_cli.core.backends.environment import BLAS_THREADS
from msroi_cli.extension import NATIVE
from tests.builders import IDS, SAMPLE_DATA, process, ran, random_rows, write_batched, write_json

ROWS = random_rows(20).tolist()
MANY = 20000
# What a job leaves that is to be resumed.
UNFINISHED = [".o.h5.journal", ".o.h5.partial"]


@pytest.fixture
def inputs(tmp_path):
    """A small pyramid and boxes on it."""
    return write_batched(tmp_path / "p.h5", ids=IDS), write_json(tmp_path / "b.json", ROWS)


@pytest.fixture
def large(tmp_path):
    """A pyramid and enough boxes to be at work for a while, given many samples a bin."""
    maps = {"p2": np.ones((1, 4, 16, 24), np.float32)}
    return write_batched(tmp_path / "p.h5", maps), write_json(tmp_path / "b.json", random_rows(MANY, 1).tolist())


def left(folder):
    """The files of a folder that are no inputs."""
    return sorted(path.name for path in folder.iterdir() if path.name not in ("p.h5", "b.json"))


def test_extract(tmp_path):
    out = tmp_path / "crops.h5"
    arguments = (SAMPLE_DATA / "pyramid.h5", SAMPLE_DATA / "words.json", "--box-space", "original", "-o", out)
    code, stdout, stderr = ran("extract", *arguments)
    assert (code, stdout) == (0, "")
    assert stderr.startswith("level ")
    assert len(open_crops(out)) == 134


def test_errors_have_their_codes(tmp_path, inputs):
    for arguments, code in (
        (("extract", *inputs, "-o", tmp_path / "none" / "o.h5"), 2),
        (("extract", *inputs, "-o", tmp_path / "o.h5", "--output-size", "0"), 2),
        (("extract", inputs[0], tmp_path / "none.json", "-o", tmp_path / "o.h5"), 3),
    ):
        got, stdout, stderr = ran(*arguments)
        assert (got, stdout) == (code, "")
        assert stderr.startswith("msroi: error: ")
        assert stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["extract", "--help"]])
def test_help_is_instant(arguments):
    """It imports neither NumPy nor h5py, which take most of the time of a start."""
    script = (
        "import sys\n"
        "from msroi_cli.cli import main\n"
        "try:\n    main(sys.argv[1:], prog_name='msroi')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({'numpy', 'h5py', 'PIL', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    assert lines[0].startswith("Usage: msroi" if "--help" in arguments else f"msroi, version {__version__}")


UNUSED = (
    "concurrent.futures.process",
    "multiprocessing",
    "numpy.ma",
    "gzip",
    "zipfile",
    "csv",
    "secrets",
    "PIL",
    "msroi_cli.model",
    "msroi_cli.io.stream.streamed",
    "msroi_cli.io.boxes.tabular.table",
    "msroi_cli.io.pyramid.arrays.stored",
    "msroi_cli.io.pyramid.many.joined",
)


def test_a_job_imports_what_it_needs(tmp_path, inputs):
    script = (
        "import sys\n"
        "from msroi_cli.cli import main\n"
        "try:\n    main(sys.argv[1:], prog_name='msroi')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(sorted({set(UNUSED)!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, "extract", *map(str, inputs), "-o", str(tmp_path / "o.h5"), "-q"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "1"),
        ({"OMP_NUM_THREADS": "3"}, ""),
        ({"OPENBLAS_NUM_THREADS": "2"}, "2"),
        ({"MSROI_BACKEND": "numpy"}, ""),
    ],
)
@pytest.mark.sampled(3)
def test_openblas_starts_no_threads_that_nobody_uses(environment, expected):
    if not NATIVE:
        pytest.skip("NumPy's own backend uses them")
    script = (
        "from msroi_cli.core.backends import environment as e; e.spare_blas_threads(); "
        "import os; print(os.environ.get('OPENBLAS_NUM_THREADS', ''))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in BLAS_THREADS}
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


def test_module_and_library_import_are_light():
    script = "import sys, msroi_cli; print('numpy' in sys.modules, dir(msroi_cli)); msroi_cli.open_crops"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")
    assert "multi_scale_roi_align" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.sampled(2)
def test_signal_while_it_waits_for_standard_input(tmp_path, inputs, number, code):
    child = process("extract", inputs[0], "-", "-o", tmp_path / "o.h5")
    child.stdin.write(b"[[0, 1")
    child.stdin.flush()
    # It is surely waiting once it has opened the pyramid; where that cannot be seen, a while will do.
    time.sleep(1.5)
    child.send_signal(number)
    stdout, stderr = child.communicate(timeout=30)
    assert (child.returncode, stdout) == (code, b"")
    assert b"Traceback" not in stderr
    assert stderr.strip().startswith(b"msroi: ")
    assert left(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.sampled(2)
def test_signal_at_work(tmp_path, large, number, code):
    child = process("extract", *large, "-o", tmp_path / "o.h5", "--sampling-ratio", "1024")
    deadline = time.monotonic() + 30
    while not any("journal" in name for name in left(tmp_path)):
        assert time.monotonic() < deadline
        assert child.poll() is None, child.communicate()
        time.sleep(0.002)
    child.send_signal(number)
    stdout, stderr = child.communicate(timeout=30)
    assert (child.returncode, stdout) == (code, b""), stderr
    assert b"Traceback" not in stderr
    assert left(tmp_path) in ([], UNFINISHED)


SIGNAL_IN_A_DESTRUCTOR = """
import os, sys
from msroi_cli.cli import main
from msroi_cli.io.crops.contiguous import PlainWriter

class Parting:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):
            pass

write = PlainWriter.write

def last_write(self, rows, crops, sums):
    record = write(self, rows, crops, sums)
    Parting()
    return record

PlainWriter.write = last_write
main(sys.argv[2:])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.sampled(2)
def test_signal_in_a_destructor_is_not_lost(tmp_path, inputs, number, code):
    """Python drops an exception that is raised in a destructor or a weak reference's callback, and h5py is full of
    those: a handler that does nothing but raise leaves the job running now and then."""
    script = [sys.executable, "-c", SIGNAL_IN_A_DESTRUCTOR, str(int(number))]
    done = subprocess.run([*script, "extract", *inputs, "-o", tmp_path / "o.h5"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    assert left(tmp_path) == UNFINISHED


SIGNALS_IN_C = """
import collections, itertools, sys
from msroi_cli.cli import main
from msroi_cli.io.boxes import open as boxes

def looping(*args):
    print("looping", flush=True)
    collections.deque(itertools.repeat(None), maxlen=0)

boxes._read = looping
main(sys.argv[1:])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.sampled(2)
def test_second_signal_ends_a_loop_in_c(tmp_path, inputs, number, code):
    """A damaged file can have a library loop for ever, where no handler in Python ever gets its turn."""
    if not NATIVE:
        pytest.skip("needs the native extension")
    command = [sys.executable, "-c", SIGNALS_IN_C, "assign", inputs[1], "--strides", "4,8,16"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"looping\n"
    # It is surely in the loop a while after it said so.
    time.sleep(0.5)
    child.send_signal(signal.SIGINT + signal.SIGTERM - number)
    time.sleep(0.3)
    assert child.poll() is None
    child.send_signal(number)
    child.communicate(timeout=10)
    assert child.returncode == code


BUG = """
import sys
from msroi_cli.cli import main
from msroi_cli.job import assign

def broken(request):
    raise ZeroDivisionError("as nobody foresaw")

assign.assign = broken
main(sys.argv[1:])
"""


def test_bug_of_ours_says_so(inputs):
    command = [sys.executable, "-c", BUG, "assign", inputs[1], "--strides", "4,8,16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "ZeroDivisionError: as nobody foresaw" in lines
    assert lines[-1].startswith("msroi: error: this is a bug in msroi, not in its input: please report it")


@pytest.mark.parametrize("where", ["before the command", "in the command"])
@pytest.mark.sampled(2)
def test_verbose_prints_the_cause_of_an_error(tmp_path, inputs, where):
    text = tmp_path / "b.json"
    text.write_bytes(b"[[0, 1, 2, 3,")
    arguments = ["extract", inputs[0], text, "-o", tmp_path / "o.h5"]
    code, stdout, quiet = ran(*arguments)
    assert (code, stdout, quiet.count("\n")) == (3, "", 1)
    code, stdout, stderr = ran(*(["-v", *arguments] if where == "before the command" else [*arguments, "-v"]))
    lines = stderr.splitlines(keepends=True)
    assert (code, stdout, lines[1:]) == (3, "", [quiet])
    assert lines[0].startswith("msroi: caused by JSONDecodeError: ")


def test_name_means_a_whole_file(tmp_path, large):
    """Whenever the name is there, the file can be opened and its checksums are right."""
    out = tmp_path / "o.h5"
    child = process("extract", *large, "-o", out, "-q", "--sampling-ratio", "8")
    while not out.exists():
        assert child.poll() is None or out.exists(), child.communicate()
        time.sleep(0.002)
    crops = open_crops(out)
    assert len(crops) == MANY
    with h5py.File(out) as file:
        assert file["checksums"][-1] != 0
        assert file["stats"]["boxes"].sum() == MANY
    assert child.wait(timeout=30) == 0
    child.communicate()
    assert left(tmp_path) == ["o.h5"]


@pytest.mark.parametrize("options", [("--dry-run",), ("--stats", "-")])
@pytest.mark.sampled(2)
def test_reader_that_has_gone(tmp_path, inputs, options):
    reading, writing = os.pipe()
    os.close(reading)
    child = process(
        "extract", *inputs, "-o", tmp_path / "o.h5", "-q" if "--stats" in options else "-v", *options, stdout=writing
    )
    os.close(writing)
    _, stderr = child.communicate(timeout=30)
    assert child.returncode in (0, 1, 141)
    assert b"Traceback" not in stderr
    assert b"msroi: " not in stderr


def closing(descriptor):
    """What a process does before it becomes `msroi`: close one of its streams."""
    return {"preexec_fn": lambda: os.close(descriptor)}


def test_without_standard_output(tmp_path, inputs):
    code, _, stderr = ran("extract", *inputs, "-o", tmp_path / "o.h5", **closing(1))
    assert (code, "Traceback" in stderr) == (0, False)
    assert len(open_crops(tmp_path / "o.h5")) == len(ROWS)


def test_without_standard_error(tmp_path, inputs):
    code, stdout, _ = ran("extract", *inputs, "-o", tmp_path / "o.h5", **closing(2))
    assert (code, stdout) == (0, "")
    assert len(open_crops(tmp_path / "o.h5")) == len(ROWS)


def test_without_standard_error_errors_keep_their_codes(tmp_path, inputs):
    code, stdout, _ = ran("extract", *inputs, "-o", tmp_path / "none" / "o.h5", **closing(2))
    assert (code, stdout) == (2, "")


def test_without_standard_input(tmp_path, inputs):
    code, stdout, stderr = ran("extract", inputs[0], "-", "-o", tmp_path / "o.h5", **closing(0))
    assert (code, stdout) == (3, "")
    assert stderr.startswith("msroi: error: -: ")
    assert left(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_standard_output_that_is_full(tmp_path, inputs):
    with Path("/dev/full").open("w") as full:
        code, _, stderr = ran("extract", *inputs, "-o", tmp_path / "o.h5", "-q", "--stats", "-", stdout=full)
    assert code == 1
    assert stderr.count("\n") == 1
    assert stderr.startswith("msroi: error: ")
    assert "No space left" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("where", ["--dry-run", "-v"])
@pytest.mark.sampled(2)
def test_names_that_are_not_unicode(tmp_path, inputs, where):
    name = os.fsencode(tmp_path) + b"/caf\xe9.h5"
    try:
        inputs[0].rename(os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    code, _, stderr = ran("extract", os.fsdecode(name), inputs[1], "-o", tmp_path / "o.h5", where, env=strict)
    assert (code, "Traceback" in stderr) == (0, False), stderr


def test_statistics_through_a_pipe(tmp_path, inputs):
    boxes = json.dumps(ROWS).encode()
    code, stdout, _ = ran("extract", inputs[0], "-", "-o", tmp_path / "o.h5", "--stats", "-", stdin=boxes)
    assert code == 0
    assert json.loads(stdout)["total"]["boxes"] == len(ROWS)


def peak_memory(folder, images):
    """The peak resident memory in bytes of a job over so many images of 4 MB each."""
    pyramid = folder / f"{images}.h5"
    with h5py.File(pyramid, "w") as file:
        file.create_dataset("p2", (images, 64, 128, 128), "f4", fillvalue=1, chunks=(1, 64, 128, 128)).attrs[
            "stride"
        ] = 4
    rows = [[image, 10, 10, 300, 300] for image in range(images)] * 2
    boxes = write_json(folder / f"{images}.json", rows)
    script = (
        "import resource, sys\n"
        "from msroi_cli.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "extract",
        pyramid,
        boxes,
        "-o",
        folder / f"{images}-o.h5",
        "-q",
        "--allow-fill",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = peak_memory(tmp_path, 20), peak_memory(tmp_path, 200)
    assert many - few < 100e6


def test_read_only_folder(tmp_path, inputs):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("whoever runs this may write to read-only folders")
    for options in ((), ("--dry-run",)):
        code, stdout, stderr = ran("extract", *inputs, "-o", folder / "o.h5", *options)
        assert (code, stdout) == (1, "")
        assert stderr.startswith(f"msroi: error: {folder / 'o.h5'}: cannot be written")


def test_file_size_limit_is_a_failed_run(tmp_path, inputs):
    """Like a full disk, but on any machine: the process may not write more than 16 kB to a file."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

    code, stdout, stderr = ran(
        "extract", *inputs, "-o", tmp_path / "o.h5", "--output-size", "50", "-q", preexec_fn=limit
    )
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"msroi: error: {tmp_path / 'o.h5'}: cannot be written: ")
    assert stderr.count("\n") == 1
    assert left(tmp_path) == []
