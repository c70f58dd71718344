"""A signal ends a command wherever it arrives: also where Python drops what its handler raises."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each destroys objects whose last words are a signal, and then waits for what it raises.
DROPPING = {
    "a destructor": """
class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
Dying()
""",
    "the callback of a weak reference": """
class Dying:
    pass
dying = Dying()
reference = weakref.ref(dying, lambda gone: signal.raise_signal(signal.SIGTERM))
del dying
""",
    "one destructor after another": """
class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
class Slow:
    def __del__(self):
        end = time.monotonic() + 5 * SOON
        while time.monotonic() < end:
            pass
Dying()
for _ in range(5):
    Slow()
""",
}
SCRIPT = """
import signal, sys, time, weakref
from msroi_cli.cli.signals import RAISING, SOON, SignalReceived, StopSignals
signals = StopSignals()
before = signal.getsignal(RAISING), sys.unraisablehook
try:
    with signals.handled():
        exec(sys.argv[1])
        time.sleep(5)
        sys.exit("nothing was raised")
except SignalReceived:
    assert signals.received() == signal.SIGTERM
assert (signal.getsignal(RAISING), sys.unraisablehook) == before
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
"""


@pytest.mark.parametrize("dropping", DROPPING)
def test_a_signal_that_python_drops(dropping):
    command = [sys.executable, "-c", SCRIPT, DROPPING[dropping]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_job_asks_by_itself():
    """Where the exception was dropped just before a job began, the job is not interrupted, and knows."""
    script = SCRIPT.replace(
        "        time.sleep(5)\n", "        with signals.graceful():\n            time.sleep(20 * SOON)\n"
    )
    script = script.replace('sys.exit("nothing was raised")', "raise SignalReceived")
    command = [sys.executable, "-c", script, DROPPING["a destructor"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_else_python_drops_is_shown():
    script = """
from msroi_cli.cli.signals import StopSignals
class Dying:
    def __del__(self):
        raise ValueError("last words")
with StopSignals().handled():
    Dying()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    assert "last words" in done.stderr
