"""What h5py raises becomes one line about the file; what msroi raises is that already."""

from __future__ import annotations

import pytest

from msroi_cli.errors import InputError, MissingFileError, UsageError
from msroi_cli.io.hdf5.errors import H5PY_ERRORS, guarded


@pytest.mark.parametrize("kind", H5PY_ERRORS)
def test_errors_of_h5py_are_input_errors(kind):
    with (
        pytest.raises(InputError, match=r"^maps\.h5: cannot be opened: bad heap$") as caught,
        guarded("maps.h5", "cannot be opened"),
    ):
        raise kind("bad heap")
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("kind", [InputError, MissingFileError, UsageError])
def test_errors_of_msroi_pass_as_they_are(kind):
    error = kind("maps.h5:/p2: expected 3 channels, got 4")
    with pytest.raises(kind) as caught, guarded("maps.h5"):
        raise error
    assert caught.value is error
