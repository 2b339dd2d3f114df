"""Queues and iterators with rows are named if there are several workers; nothing else is."""

from __future__ import annotations

import csv
import itertools
import queue
from collections import deque

import gevent.queue
import pytest

from amoc.scenario.copied_rows import MAX_NAMED, note_on


def filled(one):
    one.put(1)
    return one


def used_up():
    one = iter([1])
    next(one)
    return one


def generator(closed=False):
    one = (n for n in range(3))
    if closed:
        one.close()
    return one


class Rows(queue.Queue):
    """A queue of the scenario's own, whose code must not run."""

    def qsize(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "what"),
    [
        *((filled(kind()), "a queue") for kind in (queue.Queue, queue.LifoQueue)),
        *((filled(kind()), "a queue") for kind in (queue.SimpleQueue, queue.PriorityQueue)),
        *((filled(kind()), "a queue") for kind in (gevent.queue.Queue, gevent.queue.SimpleQueue)),
        (filled(gevent.queue.JoinableQueue()), "a queue"),
        (deque([1]), "a deque"),
        (generator(), "a generator"),
        (iter([1]), "an iterator"),
        (iter((1,)), "an iterator"),
        (iter({1: 2}), "an iterator"),
        (reversed([1]), "an iterator"),
    ],
)
def test_what_has_rows_that_are_consumed_by_use_is_named(value, what):
    assert note_on({"users": 3, "rows": value}, 2) == (
        f"each of 2 workers has its own copy of rows ({what}), so each item is used once per"
        " worker; a feed (feed.csv, feed.rows) hands each row out once over the whole run"
    )
    assert note_on({"rows": value}, 1) == ""


@pytest.mark.parametrize(
    "value",
    [
        *([1], (1,), {1: 2}, {1}, range(3), "text", None, queue, queue.Queue, generator),
        *(queue.Queue(), queue.SimpleQueue(), gevent.queue.Queue(), deque(), iter([])),
        *(used_up(), generator(closed=True), deque([1], maxlen=3)),
        *(itertools.count(), itertools.cycle([1]), csv.reader(["a,b"])),
        *(Rows(), type("Recent", (deque,), {})([1])),
    ],
)
def test_nothing_else_is_named(value):
    assert note_on({"rows": value}, 2) == ""


def test_no_row_is_taken_by_looking():
    rows = {"a": filled(queue.Queue()), "b": deque([1]), "c": generator(), "d": iter([1, 2])}
    note_on(rows, 2)
    assert (rows["a"].get_nowait(), [*rows["b"]], [*rows["c"]]) == (1, [1], [0, 1, 2])
    assert [*rows["d"]] == [1, 2]


def test_one_object_under_two_names_is_named_once_and_many_are_counted():
    rows = deque([1])
    assert note_on({"rows": rows, "also": rows}, 3).count("deque") == 1
    many = note_on({f"rows{n}": deque([n]) for n in range(MAX_NAMED + 2)}, 3)
    assert many.count("deque") == MAX_NAMED
    assert "rows4 (a deque) and 2 more, so" in many
