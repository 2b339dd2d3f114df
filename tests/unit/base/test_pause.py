"""The pause of a run: no wait returns while it holds, and its time does not count."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import MS_NS, now_ns
from amoc.base.waiting import Waiter, wait

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(pause, "clock", pause.PauseClock())


def test_without_a_pause_nobody_is_held():
    pause.wait_resumed()
    assert not pause.clock.since_ns
    assert pause.clock.paused_ns() == 0


def test_waiters_for_the_end_of_a_pause_resume_after_it():
    pause.pause()
    pause.pause()  # idempotent
    held = [gevent.spawn(pause.wait_resumed) for _ in range(3)]
    gevent.sleep(0.005)
    assert not any(one.ready() for one in held)
    pause.resume()
    gevent.joinall(held, timeout=DEADLINE_S, raise_error=True)
    assert all(one.successful() for one in held)
    assert pause.clock.paused_ns() >= 5 * MS_NS
    paused_ns = pause.clock.paused_ns()
    pause.resume()
    assert pause.clock.paused_ns() == paused_ns


def test_a_pause_that_begins_again_at_once_keeps_holding():
    pause.pause()
    held = gevent.spawn(pause.wait_resumed)
    gevent.sleep(0)
    pause.resume()
    pause.pause()
    gevent.sleep(0.005)
    assert not held.ready()
    pause.resume()
    held.get(timeout=DEADLINE_S)


def test_a_held_greenlet_can_be_killed_and_is_not_woken_later():
    pause.pause()
    held = gevent.spawn(pause.wait_resumed)
    gevent.sleep(0)
    held.kill(timeout=DEADLINE_S)
    pause.resume()
    gevent.sleep(0)
    assert held.dead


def test_time_in_a_pause_does_not_count_towards_a_wait():
    begun_ns = now_ns()
    waiting = gevent.spawn(wait, Waiter(), 0.05)
    gevent.sleep(0.01)
    pause.pause()
    gevent.sleep(0.1)
    pause.resume()
    assert waiting.get(timeout=DEADLINE_S) is False
    assert now_ns() - begun_ns - pause.clock.paused_ns() >= 50 * MS_NS
    assert now_ns() - begun_ns >= 150 * MS_NS


def test_a_satisfied_waiter_is_held_by_a_pause():
    pause.pause()
    waiter = Waiter()
    waiter.set("it")
    waiting = gevent.spawn(wait, waiter, 1000.0)
    gevent.sleep(0.005)
    assert not waiting.ready()
    pause.resume()
    assert waiting.get(timeout=DEADLINE_S) is True


def test_own_paused_time_excludes_time_spent_on_other_waits():
    def held_by(do, *arguments):
        do(*arguments)
        return pause.own_paused_ns()

    answered = Event()

    def ask():
        answered.wait()  # such as for the network, which a pause does not stop
        pause.wait_resumed()

    sleeper = gevent.spawn(held_by, wait, Waiter(), 0.01)
    asker = gevent.spawn(held_by, ask)
    bystander = gevent.spawn(held_by, gevent.sleep, 0)
    gevent.sleep(0)
    pause.pause()
    gevent.sleep(0.02)
    answered.set()
    gevent.sleep(0.02)
    pause.resume()
    assert bystander.get(timeout=DEADLINE_S) == 0
    assert sleeper.get(timeout=DEADLINE_S) == pause.clock.paused_ns()
    held_ns = asker.get(timeout=DEADLINE_S)
    assert held_ns >= 20 * MS_NS, "from the answer to the end of the pause"
    assert held_ns <= pause.clock.paused_ns() - 20 * MS_NS, (
        "what took place within the pause counts"
    )


def test_a_timer_does_not_count_the_pause():
    timer = metrics.timer("across_a_pause")

    def act():
        with timer.time():
            wait(Waiter(), 0.01)

    begun_ns = now_ns()
    acting = gevent.spawn(act)
    gevent.sleep(0.005)
    pause.pause()
    gevent.sleep(0.1)
    pause.resume()
    acting.get(timeout=DEADLINE_S)
    (found,) = [one.value for one in metrics.read() if one.name == "across_a_pause"]
    assert 10 * MS_NS <= found.max_ns <= now_ns() - begun_ns - pause.clock.paused_ns()


def test_a_response_time_does_not_count_a_pause_between_the_slot_and_the_request():
    timer = metrics.timer("asked_after_a_pause")

    def act():
        metrics.put_token(gevent.getcurrent(), now_ns())
        wait(Waiter(), 0.01)
        with timer.time():
            gevent.sleep(0.001)

    begun_ns = now_ns()
    acting = gevent.spawn(act)
    gevent.sleep(0.005)
    pause.pause()
    gevent.sleep(0.1)
    pause.resume()
    acting.get(timeout=DEADLINE_S)
    found = {one.name: one.value for one in metrics.read()}
    response_ns = found["asked_after_a_pause.response"].max_ns
    assert 11 * MS_NS <= response_ns <= now_ns() - begun_ns - pause.clock.paused_ns()


def test_the_token_of_one_iteration_is_not_used_by_the_next():
    timer = metrics.timer("not_throttled")

    def act():
        me = gevent.getcurrent()
        metrics.put_token(me, now_ns())
        metrics.drop_token(me)
        with timer.time():
            pass

    gevent.spawn(act).get(timeout=DEADLINE_S)
    assert "not_throttled.response" not in {one.name for one in metrics.read()}
