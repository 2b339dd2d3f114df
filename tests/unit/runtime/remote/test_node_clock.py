"""A node's clock is adjusted in steps too small to disturb durations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import S_NS
from amoc.base.run_clock import host_clock
from amoc.ipc.clock_offset import MAX_DRIFT_PPM
from amoc.runtime.remote.node_clock import FIRST_ANSWERS, STEP_NS, STEP_S, NodeClock, step

TIMES = st.integers(-(10**15), 10**15)


@given(TIMES, st.integers(-100 * STEP_NS, 100 * STEP_NS))
def test_steps_reach_the_target_and_none_is_large(have_ns, difference_ns):
    want_ns, steps = have_ns + difference_ns, 0
    while have_ns != want_ns:
        next_ns = step(have_ns, want_ns)
        assert abs(next_ns - have_ns) <= STEP_NS
        assert abs(want_ns - next_ns) < abs(want_ns - have_ns)
        have_ns, steps = next_ns, steps + 1
    assert steps <= abs(difference_ns) // STEP_NS + 1


def test_steps_keep_up_with_clocks_that_drift():
    assert STEP_NS / (STEP_S * S_NS) >= MAX_DRIFT_PPM / 1e6


def test_on_the_controllers_host_the_clock_is_known_from_the_start():
    clock = NodeClock(host_clock())
    assert clock.is_known
    clock.note(0, 10**18, 10**18, 1)
    assert clock.bound_ns == 0


def test_elsewhere_a_node_waits_until_the_offset_is_known():
    clock = NodeClock("another")
    for number in range(FIRST_ANSWERS):
        assert not clock.is_known
        clock.note(number, number + 10**18, number + 10**18, number + 2)
    assert clock.is_known
