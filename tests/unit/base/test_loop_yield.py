"""Batches of calls in the loop: all are made, in order, and the loop runs in between."""

from __future__ import annotations

import gevent
import pytest
from gevent import get_hub

from amoc.base import loop_yield
from amoc.base.loop_yield import call_in_batches, yield_to_loop

DEADLINE_S = 20.0


def wait_until(condition) -> None:
    with gevent.Timeout(DEADLINE_S):
        while not condition():
            gevent.sleep(0)


def test_callbacks_run_in_order_in_the_hub() -> None:
    called: list[int] = []
    hubs: set[object] = set()

    def call(number: int) -> None:
        called.append(number)
        hubs.add(gevent.getcurrent())

    call_in_batches([lambda number=number: call(number) for number in range(1000)])
    assert not called  # not before the loop turns
    wait_until(lambda: len(called) == 1000)
    assert called == list(range(1000))
    assert hubs == {get_hub()}


def test_timers_run_between_long_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_yield, "HOLD_NS", 0)
    called: list[int] = []
    seen: list[int] = []
    call_in_batches([lambda: called.append(1)] * 100)
    while len(called) < 100:
        yield_to_loop()
        seen.append(len(called))
    assert len(set(seen)) >= 50


def test_an_exception_does_not_stop_other_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[BaseException] = []
    hub = get_hub()
    monkeypatch.setattr(hub, "handle_error", lambda *what: failed.append(what[2]), raising=False)
    called: list[int] = []

    def fail() -> None:
        raise ValueError("on purpose")

    call_in_batches([lambda: called.append(1), fail, lambda: called.append(2)])
    wait_until(lambda: len(called) == 2)
    assert [str(one) for one in failed] == ["on purpose"]
