"""Items come in order, each once, within the limit, and errors where they belong."""

from __future__ import annotations

import threading
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msroi_cli.io.stream.feed import Ahead, Feed


@given(
    groups=st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6),
    calls=st.integers(1, 3),
    limit=st.integers(0, 20),
)
def test_items_come_in_order_each_once(groups, calls, limit):
    feed = Feed(lambda group: (item * 10 for item in group), groups, lambda item: item, Ahead(calls, limit))
    try:
        assert list(feed) == [item * 10 for item in chain.from_iterable(groups)]
    finally:
        feed.close()


@pytest.mark.parametrize("calls", [1, 2])
def test_no_more_is_made_ahead_than_the_limit(calls):
    made = []

    def make(group):
        for item in group:
            made.append(item)
            yield item

    taken = 0
    feed = Feed(make, [range(start, start + 5) for start in range(0, 50, 5)], lambda item: 10, Ahead(calls, 30))
    for _ in feed:
        taken += 1
        # 3 items of 10 fill the limit; each call may be making one more, and one is taken.
        assert len(made) <= taken + 3 + calls
    feed.close()
    assert taken == len(made) == 50


def test_an_error_is_raised_after_the_items_before_it():
    def make(group):
        yield 1
        raise KeyError("gone")

    feed = Feed(make, [[0], [0]], lambda item: 1, Ahead(2, 100))
    items = iter(feed)
    assert next(items) == 1
    with pytest.raises(KeyError, match="gone"):
        next(items)
    feed.close()


def test_close_ends_calls_that_wait_for_room():
    feed = Feed(lambda group: iter(range(1000)), [[0]], lambda item: 1, Ahead(1, 2))
    assert next(iter(feed)) == 0
    feed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("msroi-feed")]


def test_a_generator_that_is_left_is_closed():
    closed = threading.Event()

    def make(group):
        try:
            yield from range(1000)
        finally:
            closed.set()

    feed = Feed(make, [[0]], lambda item: 1, Ahead(1, 2))
    assert next(iter(feed)) == 0
    feed.close()
    assert closed.wait(5)
