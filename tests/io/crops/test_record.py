"""The records of batches: what is written is read back, and anything else is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.io.crops.record import BatchRecord, NonfiniteRows, SpoolBlock, Written

SIZES = st.integers(0, 2**63)
BLOCKS = st.none() | st.builds(SpoolBlock, SIZES, SIZES, SIZES)
WRITTEN = st.builds(Written, SIZES, BLOCKS)
NONFINITE = st.builds(NonfiniteRows, SIZES, st.lists(SIZES, max_size=5).map(tuple))
RECORDS = st.builds(BatchRecord, SIZES, SIZES, st.lists(st.lists(SIZES)), WRITTEN, NONFINITE)
PLAIN = {"batch": 1, "rows": 2, "stats": [[0]], "crc": 3, "nonfinite": 2, "nonfinite_rows": [4, 9]}


@given(RECORDS)
def test_what_is_written_is_read_back(record):
    values = {**json.loads(json.dumps(record.as_json())), "later": [1]}
    assert BatchRecord.from_json(values) == record


@pytest.mark.parametrize("key", [*PLAIN, "offset", "bytes", "chunks"])
@pytest.mark.parametrize("value", [..., None, -1, 1.5, True, "1"], ids=str)
def test_anything_else_is_refused(key, value):
    record = {**PLAIN, "offset": 0, "bytes": 10, "chunks": 1, key: value}
    if value is ...:
        del record[key]
    if key == "offset" and value is ...:
        assert BatchRecord.from_json(record).written.block is None
    elif key != "stats" or value != "1":
        with pytest.raises(ValueError, match="expected the record of a batch"):
            BatchRecord.from_json(record)
