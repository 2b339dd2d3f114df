"""Both sides of throttles in one process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest

from amoc import metrics
from amoc.base.clock import S_NS, now_ns
from amoc.metrics.area import Kind
from amoc.throttle.controller import Pacer
from amoc.throttle.worker import Gate

DEADLINE_S = 60.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` returns a true value, and return it; fail the test at the deadline."""
    give_up = now_ns() + int(DEADLINE_S * S_NS)
    while not (result := condition()):
        if now_ns() > give_up:
            pytest.fail(f"not within {DEADLINE_S:g} s: {what}")
        gevent.sleep(0.002)
    return result


def counted(name: str, what: str) -> float:
    (counts,) = (
        one.value for one in metrics.read() if (one.kind, one.name) == (Kind.THROTTLE, name)
    )
    return getattr(counts, what)


def size_of(what: object) -> int:
    """Return the approximate size of `what` and everything it refers to."""
    return len(pickle.dumps(what))


@dataclass
class Used:
    """A used slot."""

    name: str
    epoch: int
    slot: int
    due_ns: int
    used_ns: int


@dataclass
class Here:
    """Pacer and gate in this process."""

    pacer: Pacer
    gate: Gate
    used: list[Used]
    greenlets: list[gevent.Greenlet] = field(default_factory=list)

    def spawn(self, fn: Callable[..., Any], *args: Any) -> gevent.Greenlet:
        greenlet = gevent.spawn(fn, *args)
        self.greenlets.append(greenlet)
        return greenlet
