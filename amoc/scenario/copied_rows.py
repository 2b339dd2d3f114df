"""Queues and iterators whose rows are used repeatedly, as each worker gets a copy. Pure.

A scenario that takes rows from a queue made in init() works with one worker. With two, each of them
has a copy of the queue, and each row is used twice, which nothing else would tell. Only objects are
named whose rows are certain to be left and to be consumed by use: not lists or tuples, which are
usually read only; not a deque with a ``maxlen``, which keeps the latest values; not a csv.reader,
which may be at its end. Only exact types count, so that no code of the scenario runs.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Mapping
from operator import length_hint
from types import GeneratorType

MAX_NAMED = 5
_QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "JoinableQueue")
_ITERATORS = frozenset({type(iter(())), type(iter([])), type(iter({})), type(reversed([]))})


def note_on(values: Mapping[str, object], workers: int) -> str:
    """Return a sentence on those of `values` whose rows each of `workers` will use; or nothing.

    Args:
        values: What users can see of the scenario, by name.
        workers: The number of workers of the run.
    """
    if workers < 2:
        return ""
    kinds = _queue_types()
    found = {
        id(one): f"{name} ({what})" for name, one in values.items() if (what := _what(one, kinds))
    }
    if not found:
        return ""
    names = [*found.values()]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (
        f"each of {workers} workers has its own copy of {', '.join(names[:MAX_NAMED])}{more}, so"
        " each item is used once per worker; a feed (feed.csv, feed.rows) hands each row out once"
        " over the whole run"
    )


def _queue_types() -> frozenset[object]:
    """Return the types of queues that can exist, those of gevent only if it is loaded."""
    modules = filter(None, map(sys.modules.get, ("queue", "gevent.queue")))
    return frozenset(vars(one).get(name) for one in modules for name in _QUEUES) - {None}


def _what(value: object, queues: frozenset[object]) -> str:
    """Return what `value` is if it has rows that are consumed by use; otherwise nothing."""
    kind = type(value)
    if kind in queues:
        return "a queue" if value.qsize() else ""  # type: ignore[attr-defined]
    if isinstance(value, deque):
        return "a deque" if kind is deque and value and value.maxlen is None else ""
    if isinstance(value, GeneratorType):
        return "a generator" if inspect.getgeneratorstate(value) != inspect.GEN_CLOSED else ""
    return "an iterator" if kind in _ITERATORS and length_hint(value) else ""
