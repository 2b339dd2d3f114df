"""Points are worked on beside whoever has taken them."""

from dataclasses import replace

import gevent
from gevent.event import Event

from amoc.results.exporters import point_queue
from amoc.results.exporters.point_queue import PointQueue, in_turns
from amoc.results.series import Tally, ThrottlePoint
from tests.unit.results import runs
from tests.unit.results.exporters.support import eventually


def test_points_are_worked_on_in_order_and_those_that_are_left_at_the_end():
    seen = []
    feeder = PointQueue("it", seen.append, lambda text: None)
    points = runs.points(5)
    for point in points:
        feeder.take(point)
    assert seen == []
    feeder.close(5.0)
    assert (seen, feeder.lost) == (points, 0)


def test_what_is_too_slow_loses_the_oldest_and_the_end_does_not_wait_for_it():
    begun = Event()

    def never(point):
        begun.set()
        Event().wait()

    feeder = PointQueue("it", never, lambda text: None)
    points = runs.points(point_queue.MAX_WAITING + 4)
    feeder.take(points[0])
    begun.wait()
    for point in points[1:]:
        feeder.take(point)
    assert feeder.lost == 1 + 3  # what it hangs with, and what there was no room for
    feeder.close(0.01)
    assert feeder.lost == len(points)


def test_an_error_is_said_once_and_does_not_end_it():
    told, seen = [], []

    def work(point):
        seen.append(point)
        raise OSError(101, "Network is unreachable")

    feeder = PointQueue("it", work, told.append)
    for point in runs.points(3):
        feeder.take(point)
    eventually(lambda: len(seen) == 3, "all were tried")
    feeder.close(5.0)
    assert told == ["it takes nothing: Network is unreachable; the run goes on"]
    assert feeder.lost == 3


def test_what_points_that_were_dropped_have_counted_comes_with_the_next_one():
    seen = []
    feeder = PointQueue("it", seen.append, lambda text: None)
    points = runs.points(point_queue.MAX_WAITING + 5)
    points[2] = replace(points[2], throttles={"gone": ThrottlePoint(executions=7)})
    for point in points:  # before the feeder has its turn
        feeder.take(point)
    feeder.close(5.0)
    assert feeder.lost == 5
    assert seen[1:] == points[6:]
    first, now, before = seen[0], points[5], Tally.of(points[:6])
    assert (first.t_s, first.at, first.gauges, first.users) == (
        *(now.t_s, now.at),
        *(now.gauges, now.users),
    )
    # It is as if it had been longer, so rates are those of all of them.
    assert (first.span_s, first.begin_s) == (before.span_s, points[0].begin_s)
    assert first.throttles["gone"] == ThrottlePoint(executions=7)
    whole, found = Tally.of(points), Tally.of(seen)
    assert found.counters == whole.counters
    assert found.crashes == whole.crashes
    assert found.timers == whole.timers
    assert found.throttles == whole.throttles
    assert (found.span_s, found.starts) == (whole.span_s, whole.starts)


def test_timers_of_the_loop_fire_while_very_many_values_are_made(monkeypatch):
    monkeypatch.setattr(point_queue, "HOLD_NS", 0)
    turns = []

    def turn():
        while True:
            gevent.sleep(point_queue.PAUSE_S)
            turns.append(1)

    beside = gevent.spawn(turn)
    values = list(in_turns(range(100)))
    beside.kill()
    assert values == list(range(100))
    # Each pause is as long as a turn; where a turn begins within one, it ends in the next.
    assert len(turns) >= 40


def test_the_loop_is_not_bothered_by_what_is_quick(monkeypatch):
    monkeypatch.setattr(point_queue, "HOLD_NS", 10**18)
    turns = []
    beside = gevent.spawn(turns.append, 1)
    assert list(in_turns(range(1000))) == list(range(1000))
    assert turns == []
    beside.join()
