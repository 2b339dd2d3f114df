"""Notification of the beginning and end of each turn of the loop."""

from __future__ import annotations

import gevent

from amoc.base.loop_turns import LoopTurns


def test_everything_done_in_a_turn_is_between_its_beginning_and_its_end() -> None:
    seen: list[str] = []

    def user() -> None:
        gevent.sleep(0.01)  # then this greenlet runs in the middle of a turn, woken by a timer
        turns.start()
        gevent.sleep(0.01)
        seen.append("timer")
        gevent.spawn(seen.append, "what it spawned")
        gevent.sleep(0.01)
        seen.append("timer again")

    turns = LoopTurns(lambda: seen.append("begin"), lambda: seen.append("end"))
    try:
        gevent.spawn(user).join()
    finally:
        turns.close()
    assert seen[0] == "end"  # of the turn in which it was started
    assert seen[-1] == "timer again"
    words = [one for one in seen if one in ("begin", "end")]
    assert words == ["end", "begin"] * (len(words) // 2)
    for what in ("timer", "what it spawned", "timer again"):
        at = seen.index(what)
        assert "begin" in seen[:at]
        before = max(n for n, one in enumerate(seen[:at]) if one in ("begin", "end"))
        assert seen[before] == "begin"


def test_nothing_is_reported_after_stop() -> None:
    seen: list[str] = []
    turns = LoopTurns(lambda: seen.append("begin"), lambda: seen.append("end"))
    turns.start()
    gevent.sleep(0.01)
    turns.stop()
    assert seen
    told = len(seen)
    gevent.sleep(0.01)
    turns.close()
    assert len(seen) == told
