from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import ticks
from amoc.base.clock import S_NS
from amoc.base.ticks import to_next_tick_s


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=5), st.sampled_from([0.5, 1.0, 2.0]))
def test_periodic_work_is_due_at_common_ticks(times_ns, period_s):
    """The ticks are half a second apart, so work with longer periods shares them."""
    found = set()
    for now_ns in times_ns:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ticks, "now_ns", lambda now_ns=now_ns: now_ns)
            left_s = to_next_tick_s(period_s)
        assert period_s / 4 < left_s <= period_s * 1.25
        found.add((now_ns + round(left_s * S_NS)) % (S_NS // 2))
    assert len(found) == 1


@given(st.integers(0, 10**18), st.integers(0, 10**18), st.sampled_from([0.5, 1.0, 2.0]))
def test_ticks_can_be_aligned_with_wake_ups_by_another_process(now_ns, woken_ns, period_s):
    ticks.align(woken_ns)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ticks, "now_ns", lambda: now_ns)
            left_s = to_next_tick_s(period_s)
    finally:
        ticks.align(None)
    assert period_s / 4 < left_s <= period_s * 1.25
    assert (now_ns + round(left_s * S_NS) - woken_ns) % (S_NS // 2) == 0
