"""Background queues deliver what they are given, even if the backend is down or slow."""

from dataclasses import replace
from math import inf

import gevent
import pytest
from gevent.event import Event

from amoc.base import periodic_yield
from amoc.results.exporters import background
from amoc.results.exporters.background import BackgroundQueue, RefusedError, in_turns
from amoc.results.exporters.backlog import MAX_POINTS, ChunkBacklog, PointBacklog
from amoc.results.series import Tally, ThrottlePoint
from tests.unit.results import runs
from tests.unit.results.exporters.support import eventually


class Backend:
    """Accepts chunks while it is up."""

    def __init__(self):
        self.error = None
        self.fails = inf
        self.taken = []
        self.tries = 0
        self.hangs = False
        self.reached = Event()

    def __call__(self, chunk):
        self.tries += 1
        self.reached.set()
        if self.hangs:
            Event().wait()
        if self.error and self.fails > 0:
            self.fails -= 1
            raise self.error
        self.taken.append(chunk)


@pytest.fixture(autouse=True)
def _short_retry_pauses(monkeypatch):
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.004)


def begin(repeat=0):
    backend, told = Backend(), []
    return backend, told, BackgroundQueue("it", ChunkBacklog(1000, repeat), backend, told.append)


def test_chunks_are_delivered_in_order():
    backend, told, one = begin()
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: len(backend.taken) == 2, "both are there")
    one.put(b"c")
    one.close(5.0)
    assert (backend.taken, told) == ([b"a", b"b", b"c"], [])


def test_a_backend_that_is_down_causes_one_warning_and_gets_everything_later():
    backend, told, one = begin()
    backend.error = ConnectionRefusedError(111, "Connection refused")
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: backend.tries > 5, "it is tried again and again")
    backend.error = None
    one.close(5.0)
    assert backend.taken == [b"a", b"b"]
    assert told == [
        (
            "it does not accept data: Connection refused; the run continues, and the latest points"
            " are kept"
        )
    ]


def test_undelivered_points_are_reported_at_the_end():
    backend, told, one = begin()
    backend.error = TimeoutError("timed out")
    one.put(b"a")
    one.put(b"b")
    eventually(lambda: backend.tries > 2, "it is tried")
    one.close(60.0)
    assert told[1:] == ["it: 2 points could not be delivered"]


def test_a_connection_found_broken_at_the_end_is_reopened():
    backend, told, one = begin(repeat=1)
    one.put(b"a")
    eventually(lambda: backend.taken, "the first is there")
    backend.error, backend.fails = BrokenPipeError(32, "Broken pipe"), 1
    one.put(b"b")
    one.close(60.0)
    assert backend.taken == [b"a", b"a", b"b"]
    assert len(told) == 1


def test_points_sent_earlier_are_reported_as_possibly_undelivered():
    backend, told, one = begin(repeat=100)
    one.put(b"a")
    eventually(lambda: backend.taken, "the first is there")
    backend.error = BrokenPipeError(32, "Broken pipe")
    one.put(b"b")
    assert not one.close(60.0)
    assert told[1:] == [
        "it: 1 point could not be delivered, and 1 point may not have been delivered"
    ]


def test_a_hanging_backend_is_not_awaited_beyond_the_deadline():
    backend, told, one = begin()
    backend.hangs = True
    one.put(b"a")
    backend.reached.wait()
    one.close(0.01)
    assert told == ["it: 1 point could not be delivered"]


@pytest.mark.parametrize("error", [RefusedError("no"), ZeroDivisionError("no")])
def test_a_rejected_chunk_does_not_block_the_others(error):
    backend, told, one = begin()
    backend.error = error
    one.put(b"a")
    eventually(lambda: backend.tries, "it is refused")
    backend.error = None
    one.put(b"b")
    one.close(5.0)
    assert backend.taken == [b"b"]
    assert told == ["it rejected one of the points: no", "it: 1 point could not be delivered"]


# Points


def begin_points(work, told=None):
    told = [] if told is None else told
    return BackgroundQueue("it", PointBacklog(), work, told.append)


def lost(queue):
    return sum(queue.backlog.missing())


def test_points_are_processed_in_order_and_the_remaining_ones_at_the_end():
    seen = []
    queue = begin_points(seen.append)
    points = runs.points(5)
    for point in points:
        queue.put(point)
    assert seen == []
    queue.stop(5.0)
    assert (seen, lost(queue)) == (points, 0)


def test_a_slow_consumer_loses_the_oldest_points_and_does_not_delay_the_end():
    begun = Event()

    def never(point):
        begun.set()
        Event().wait()

    queue = begin_points(never)
    points = runs.points(MAX_POINTS + 4)
    queue.put(points[0])
    begun.wait()
    for point in points[1:]:
        queue.put(point)
    # The point it hangs on, and those that did not fit.
    assert lost(queue) - MAX_POINTS == 1 + 3
    queue.stop(0.01)
    assert lost(queue) == len(points)


def test_an_error_is_reported_once_and_the_queue_continues():
    told, seen = [], []

    def work(point):
        seen.append(point)
        raise OSError(101, "Network is unreachable")

    queue = begin_points(work, told)
    for point in runs.points(3):
        queue.put(point)
    eventually(lambda: len(seen) == 3, "all were tried")
    assert not queue.close(5.0)
    assert told == [
        "it does not accept data: Network is unreachable; the run continues",
        "it: 3 points may not have been delivered",
    ]


def test_counts_of_dropped_points_are_added_to_the_next_one():
    seen = []
    queue = begin_points(seen.append)
    points = runs.points(MAX_POINTS + 5)
    points[2] = replace(points[2], throttles={"gone": ThrottlePoint(executions=7)})
    for point in points:  # before the queue gets to run
        queue.put(point)
    queue.stop(5.0)
    assert lost(queue) == 5
    assert seen[1:] == points[6:]
    first, now, before = seen[0], points[5], Tally.of(points[:6])
    assert (first.t_s, first.at, first.gauges, first.users) == (
        *(now.t_s, now.at),
        *(now.gauges, now.users),
    )
    # It acts as one longer point, so rates cover all of them.
    assert (first.span_s, first.begin_s) == (before.span_s, points[0].begin_s)
    assert first.throttles["gone"] == ThrottlePoint(executions=7)
    whole, found = Tally.of(points), Tally.of(seen)
    assert found.counters == whole.counters
    assert found.crashes == whole.crashes
    assert found.timers == whole.timers
    assert found.throttles == whole.throttles
    assert (found.span_s, found.starts) == (whole.span_s, whole.starts)


def test_event_loop_timers_fire_while_very_many_values_are_produced(monkeypatch):
    monkeypatch.setattr(periodic_yield, "HOLD_NS", 0)
    turns = []

    def turn():
        while True:
            gevent.sleep(periodic_yield.PAUSE_S)
            turns.append(1)

    beside = gevent.spawn(turn)
    values = list(in_turns(range(100)))
    beside.kill()
    assert values == list(range(100))
    # Each pause is as long as a turn; a turn that begins within one ends in the next.
    assert len(turns) >= 40


def test_quick_work_does_not_yield_to_the_event_loop(monkeypatch):
    monkeypatch.setattr(periodic_yield, "HOLD_NS", 10**18)
    turns = []
    beside = gevent.spawn(turns.append, 1)
    assert list(in_turns(range(1000))) == list(range(1000))
    assert turns == []
    beside.join()
