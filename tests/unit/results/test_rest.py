"""Notes about users that rest between iterations for most of a run."""

import pytest

from amoc.results.rest import Rest
from amoc.results.series import Point


def notes(*seconds):
    """Notes after seconds given as (running users, resting users among them, active seconds)."""
    rest = Rest()
    for running, resting, active_s in seconds:
        users = {"running": running, "resting": resting}
        rest.take(Point(t_s=1.0, span_s=1.0, active_s=active_s, at=1e9, users=users))
    return rest.notes()


def test_resting_for_more_than_half_of_the_time_is_noted_with_the_settings_to_change():
    [note] = notes((10, 10, 1.0), (10, 3, 1.0))
    assert "for 65% of the time" in note
    assert "repeat_interval" in note
    assert "crash_pause" in note


@pytest.mark.parametrize(
    "seconds",
    [
        [(10, 5, 1.0)],
        [],
        [(0, 0, 1.0)],
        [(10, 10, 0.0), (10, 1, 1.0)],  # while the run was paused
        [(100, 0, 1.0), (1, 1, 1.0), (1, 1, 1.0)],  # a few stragglers at the end
    ],
)
def test_resting_for_half_of_the_time_is_not_noted(seconds):
    assert notes(*seconds) == []
