"""Waiters, gates and alarms: nobody waits beyond a deadline."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent import get_hub

from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.base.open_gate import OpenGate
from amoc.base.waiting import Alarm, Waiter, wait

DEADLINE_S = 60.0


def test_an_open_gate_does_not_block():
    assert OpenGate().wait(0)


def test_all_waiters_resume_when_the_gate_opens():
    latch = OpenGate()
    latch.shut()
    waiting = [gevent.spawn(latch.wait, DEADLINE_S) for _ in range(100)]
    gevent.sleep(0)
    latch.open()
    latch.open()
    assert all(one.get(timeout=DEADLINE_S) for one in waiting)


def test_a_released_waiter_succeeds_even_if_the_gate_shuts_at_once():
    latch = OpenGate()
    latch.shut()
    waiting = gevent.spawn(latch.wait, DEADLINE_S)
    gevent.sleep(0)
    latch.open()
    latch.shut()
    assert waiting.get(timeout=DEADLINE_S)


def test_a_wait_ends_at_its_deadline_or_when_woken():
    latch = OpenGate()
    latch.shut()
    assert not latch.wait(0.001)
    waiters = []

    def wait(waiter, timeout):
        waiters.append(waiter)
        get_hub().loop.run_callback(waiter.wake)
        return waiter.wait(timeout)

    assert not latch.wait(DEADLINE_S, wait)
    assert len(waiters) == 1
    assert not latch.waiting


def test_a_wait_after_long_work_in_one_loop_turn_is_not_shortened():
    waiter: Waiter[None] = Waiter()
    timer = get_hub().loop.timer(0)
    timer.start(waiter.give, None)
    waiter.wait()
    timer.close()
    time.sleep(0.1)  # the loop's cached time does not advance
    begun = time.monotonic()
    assert not Waiter().wait(0.05)
    assert time.monotonic() - begun >= 0.05


def test_a_killed_greenlet_no_longer_waits():
    latch = OpenGate()
    latch.shut()
    waiting = gevent.spawn(latch.wait)
    gevent.sleep(0)
    waiting.kill()
    assert not latch.waiting
    latch.open()


def test_waiting_in_the_event_loop_raises():
    latch, errors = OpenGate(), []
    latch.shut()

    def handler():
        with pytest.raises(ScenarioError) as caught:
            latch.wait(DEADLINE_S)
        errors.append(caught.value)

    get_hub().loop.run_callback(handler)
    gevent.sleep(0.001)
    assert errors
    assert not latch.waiting


class CountingLoop:
    """Wraps the event loop; counts the timers created."""

    def __init__(self) -> None:
        self.timers = 0
        self._loop = get_hub().loop

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def timer(self, *args: object, **options: object) -> object:
        self.timers += 1
        return self._loop.timer(*args, **options)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> CountingLoop:
    counting = CountingLoop()
    monkeypatch.setattr(get_hub(), "loop", counting)
    return counting


def watched(alarm: Alarm, seconds: float) -> bool:
    """Wait for `seconds`, using the alarm."""
    waiter: Waiter[bool] = Waiter()
    waiter.alarm = alarm
    return wait(waiter, seconds)


def test_an_alarm_serves_consecutive_waits_with_one_timer(loop: CountingLoop):
    alarm, waiters = Alarm(), []

    def receive() -> None:
        for _ in range(10):
            waiter: Waiter[bool] = Waiter()
            waiter.alarm = alarm
            waiters.append(waiter)
            assert wait(waiter, DEADLINE_S)

    receiving = gevent.spawn(receive)
    for count in range(1, 11):
        while len(waiters) < count:
            gevent.idle()
        waiters[-1].set(True)
        waiters[-1].wake()
    receiving.join()
    assert receiving.successful()
    assert loop.timers == 1
    alarm.close()


@pytest.mark.parametrize(("first", "second"), [(60, 0.02), (0.01, 0.03), (0.02, 0.0)])
def test_each_wait_has_its_own_limit(first: float, second: float):
    alarm, waiter = Alarm(), Waiter[bool]()
    waiter.alarm = alarm
    get_hub().loop.run_callback(waiter.give, True)
    assert wait(waiter, first)
    begin = time.monotonic()
    assert not watched(alarm, second)
    assert second <= time.monotonic() - begin < 10
    assert alarm.waiter is None
    alarm.close()


def test_two_concurrent_waits_on_one_alarm_both_end():
    alarm = Alarm()
    waits = [gevent.spawn(watched, alarm, seconds) for seconds in (0.02, 0.01)]
    gevent.joinall(waits, timeout=10)
    assert [one.value for one in waits] == [False, False]


def test_an_alarm_without_a_waiter_is_not_set_again(loop: CountingLoop):
    alarm = Alarm()
    assert not watched(alarm, 0.001)
    gevent.sleep(0.01)
    made = loop.timers
    assert not watched(alarm, 0.001)
    assert loop.timers > made
    alarm.close()


def parked_by(alarm: Alarm, seconds: float) -> gevent.Greenlet:
    """Return a greenlet that waits for `seconds`, using the alarm."""
    waiter: Waiter[bool] = Waiter()
    waiter.alarm = alarm
    user = gevent.spawn(wait, waiter, seconds)
    while alarm.waiter is not waiter:
        gevent.idle()
    return user


def test_a_killed_waiter_frees_the_alarm_for_the_next():
    alarm = Alarm()
    parked_by(alarm, DEADLINE_S).kill()
    assert alarm.waiter is None
    assert not watched(alarm, 0.01)
    alarm.close()


def test_a_wait_whose_alarm_rings_in_a_pause_gets_the_rest_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pause, "clock", pause.PauseClock())
    alarm, begin_ns = Alarm(), pause.clock.run_ns()
    user = parked_by(alarm, 0.1)
    pause.pause()
    try:
        while alarm.waiter is not None:  # until it has rung
            gevent.sleep(0.01)
        assert not user.dead
    finally:
        pause.resume()
    user.join(10)
    assert user.value is False
    assert pause.clock.run_ns() - begin_ns >= 100_000_000
    alarm.close()
