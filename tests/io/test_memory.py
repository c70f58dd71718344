"""Memory of arrays that is given back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from msroi_cli.io import memory


def test_what_lies_before_stays():
    values = np.ones(1 << 20)
    memory.release(values, 1 << 20)
    assert (values[: 1 << 17] == 1).all()


@pytest.mark.skipif(not memory.NATIVE, reason="built without a compiler")
def test_it_is_given_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    values = np.ones(8 << 20)
    before = resident()
    memory.release(values, 8 << 20)
    assert before - resident() > 40 << 20
    memory.release(values, values.nbytes)


def test_without_the_extension(monkeypatch):
    monkeypatch.setattr(memory, "NATIVE", False)
    values = np.ones(1 << 16)
    memory.release(values, 0)
    assert values.all()


def test_owners():
    own = np.ones((10, 4))
    assert memory.owner(own) is own
    assert memory.owner(own[:5]) is own
    assert memory.owner(own[1:]) is None
    assert memory.owner(own[:, :2]) is None
    assert memory.owner(own.view(np.int64)[:5]) is None
    assert memory.owner(np.frombuffer(b"12345678")) is None
    own.flags.writeable = False
    assert memory.owner(own[:5]) is None
