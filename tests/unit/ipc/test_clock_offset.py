"""The true offset is always within the bounds, whatever the latencies of messages."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS, US_NS
from amoc.ipc.clock_offset import MAX_DRIFT_PPM, ClockOffset, Offset

DELAYS = st.integers(0, 3 * S_NS)
EXCHANGES = st.lists(
    st.tuples(st.integers(0, 10 * S_NS), DELAYS, st.integers(0, 10 * MS_NS), DELAYS),
    min_size=1,
    max_size=30,
)
DRIFTS = st.lists(
    st.tuples(st.integers(1, 30 * S_NS), st.integers(-MAX_DRIFT_PPM, MAX_DRIFT_PPM)), max_size=10
)
OFFSETS = st.integers(-(10**18), 10**18)


class Clocks:
    """A controller's clock, that drifts; times are told by that of the node."""

    def __init__(self, offset_ns: int, drifts: list[tuple[int, int]]) -> None:
        self.points = [(0, 0.0, 0)]
        self.base_ns = offset_ns
        for length_ns, ppm in drifts:
            at_ns, gone_ns, _ = self.points[-1]
            self.points[-1] = at_ns, gone_ns, ppm
            self.points.append((at_ns + length_ns, gone_ns + length_ns * ppm / 1e6, 0))

    def offset_ns(self, now_ns: int) -> int:
        at_ns, gone_ns, ppm = self.points[
            bisect_right(self.points, now_ns, key=lambda point: point[0]) - 1
        ]
        return self.base_ns + round(gone_ns + (now_ns - at_ns) * ppm / 1e6)

    def there(self, now_ns: int) -> int:
        return now_ns + self.offset_ns(now_ns)


def exchanged(clock: ClockOffset, clocks: Clocks, exchanges) -> list[int]:
    """When each answer was heard."""
    now_ns, heard = 0, []
    for pause_ns, out_ns, there_ns, back_ns in exchanges:
        asked_ns = now_ns + pause_ns
        received_ns = asked_ns + out_ns
        now_ns = received_ns + there_ns + back_ns
        assert clock.note(
            asked_ns, clocks.there(received_ns), clocks.there(received_ns + there_ns), now_ns
        )
        heard.append(now_ns)
        found = clock.at(now_ns)
        # One nanosecond for each of the two times that are rounded here.
        assert found.low_ns - 2 <= clocks.offset_ns(now_ns) <= found.high_ns + 2
    return heard


@given(OFFSETS, DRIFTS, EXCHANGES, st.integers(0, 60 * S_NS))
def test_the_truth_is_never_outside_the_bounds(offset_ns, drifts, exchanges, later_ns):
    clock, clocks = ClockOffset(), Clocks(offset_ns, drifts)
    now_ns = exchanged(clock, clocks, exchanges)[-1] + later_ns
    found = clock.at(now_ns)
    assert found.low_ns - 2 <= clocks.offset_ns(now_ns) <= found.high_ns + 2
    assert abs(found.middle_ns - clocks.offset_ns(now_ns)) <= found.bound_ns + 2


@given(OFFSETS, EXCHANGES)
def test_the_fastest_message_in_each_direction_decides(offset_ns, exchanges):
    clock = ClockOffset()
    heard = exchanged(clock, Clocks(offset_ns, []), exchanges)
    now_ns = heard[-1]

    def widened(age_ns):
        return age_ns * MAX_DRIFT_PPM / 1e6 + len(exchanges) + 1

    found = clock.at(now_ns)
    quickest_out = min(
        out + widened(now_ns - at + out + there + back)
        for at, (_, out, there, back) in zip(heard, exchanges, strict=True)
    )
    quickest_back = min(
        back + widened(now_ns - at) for at, (_, _, _, back) in zip(heard, exchanges, strict=True)
    )
    assert found.high_ns - offset_ns <= quickest_out
    assert offset_ns - found.low_ns <= quickest_back


@given(OFFSETS, EXCHANGES)
def test_without_answers_the_bound_grows_as_clocks_drift_and_no_faster(offset_ns, exchanges):
    clock = ClockOffset()
    now_ns = exchanged(clock, Clocks(offset_ns, []), exchanges)[-1]
    bounds = [clock.at(now_ns + seconds * S_NS).bound_ns for seconds in range(5)]
    assert all(later - sooner == MAX_DRIFT_PPM * US_NS for sooner, later in pairwise(bounds))


def test_on_a_fast_network_the_bound_is_below_a_millisecond():
    clock = ClockOffset()
    exchanged(clock, Clocks(2 * S_NS, []), [(S_NS, 100 * US_NS, 20 * US_NS, 150 * US_NS)] * 60)
    found = clock.at(61 * S_NS)
    assert found.bound_ns < MS_NS
    assert abs(found.middle_ns - 2 * S_NS) < MS_NS


@given(st.integers(S_NS, 10**15), st.sampled_from([-1, 1]))
def test_a_clock_that_was_set_is_known_anew_at_the_next_answer(jump_ns, sign):
    clock = ClockOffset()
    way = [(S_NS, MS_NS, 0, MS_NS)] * 3
    now_ns = exchanged(clock, Clocks(0, []), way)[-1]
    assert clock.restarts == 0
    there_ns = now_ns + sign * jump_ns + S_NS
    assert clock.note(now_ns + S_NS, there_ns + MS_NS, there_ns + MS_NS, now_ns + S_NS + 2 * MS_NS)
    assert clock.restarts == 1
    assert abs(clock.at(now_ns + S_NS).middle_ns - sign * jump_ns) < 10 * MS_NS


@pytest.mark.parametrize(
    "times", [(10, 0, 0, 9), (0, 5, 4, 10), (0, 0, 100, 10)], ids=["heard", "answered", "longer"]
)
def test_impossible_times_are_ignored(times):
    clock = ClockOffset()
    assert not clock.note(*times)
    assert clock.at(0) is None
    assert clock.answers == 0


def test_an_answer_older_than_the_last_one_is_ignored():
    clock = ClockOffset()
    assert clock.note(0, 100, 100, 200)
    assert not clock.note(0, 100, 100, 150)
    assert clock.at(200) == Offset(-100, 101)
