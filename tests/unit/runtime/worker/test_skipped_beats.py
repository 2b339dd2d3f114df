"""Beats that an idle worker skips count as late as they would have been."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.runtime.worker.skipped_beats import SkippedBeats

INTERVAL, USUAL, DUE = 100, 3, 500
WAITS_AND_TURNS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 400)), max_size=10)


def test_beats_in_a_turn_are_as_late_as_it_lasts_and_others_as_usual() -> None:
    skipped = SkippedBeats(1000, INTERVAL)
    assert list(skipped.turn(1000, 1010)) == []
    assert list(skipped.turn(1150, 1420)) == [220, 120, 20]  # due at 1200, 1300 and 1400
    assert list(skipped.turn(1450, 1460)) == []
    assert list(skipped.end(1500, 1501, USUAL)) == [USUAL, 1]  # due at 1100 and 1500


def test_after_a_process_was_stopped_all_beats_since_the_due_time_are_late() -> None:
    skipped = SkippedBeats(0, INTERVAL)
    assert list(skipped.turn(0, 1)) == []
    assert list(skipped.end(DUE, 750, USUAL)) == [USUAL, USUAL, USUAL, USUAL, 250, 150, 50]


@given(WAITS_AND_TURNS, st.integers(1, 300))
def test_each_beat_counts_once(turns: list[tuple[int, int]], last_wait: int) -> None:
    skipped, now, told = SkippedBeats(0, INTERVAL), 0, list[int]()
    within = 0
    for wait, lasted in turns:
        began, now = now + wait, now + wait + lasted
        due = [at for at in range(0, now + 1, INTERVAL) if at >= began and at > 0]
        late = list(skipped.turn(began, now))
        assert late == [now - at for at in due]
        within += len(due)
        told += late
    now += last_wait
    told += skipped.end(DUE, now, USUAL)
    assert len(told) == now // INTERVAL
    assert all(0 <= one <= max(now, USUAL) for one in told)
