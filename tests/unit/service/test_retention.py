"""Which runs are kept, and when that is checked again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.service.retention import DAY_S, LONGEST_S, SHORTEST_S, next_look_s, surplus


@given(
    st.lists(st.floats(0, 1000), max_size=30).map(sorted),
    st.none() | st.integers(1, 40),
    st.none() | st.floats(1, 500),
)
def test_the_newest_runs_within_the_age_limit_are_kept(
    days: list[float], keep: int | None, keep_days: float | None
) -> None:
    runs = list(range(len(days)))
    gone = set(surplus(runs, days, keep, keep_days))
    kept = [run for run in runs if run not in gone]
    assert kept == runs[: len(kept)]
    assert keep is None or len(kept) <= keep
    assert keep_days is None or all(days[run] <= keep_days for run in kept)
    if gone:
        first = len(kept)
        assert first == keep or (keep_days is not None and days[first] > keep_days)


@given(st.lists(st.floats(0, 3), max_size=30), st.none() | st.floats(0.1, 2))
def test_the_wait_until_the_next_check_is_bounded_and_ends_near_the_next_expiry(
    days: list[float], keep_days: float | None
) -> None:
    wait_s = next_look_s(days, keep_days)
    assert SHORTEST_S <= wait_s <= LONGEST_S
    due_s = [
        (keep_days - age) * DAY_S for age in days if keep_days is not None and age <= keep_days
    ]
    assert all(wait_s <= max(SHORTEST_S, one) for one in due_s)
    if wait_s < LONGEST_S:
        assert any(one <= wait_s for one in due_s)
