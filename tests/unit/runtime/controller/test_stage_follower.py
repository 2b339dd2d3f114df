"""Stages are followed exactly, however often they are evaluated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.base.clock import MS_NS, S_NS
from amoc.base.node_latency import NodeLatency
from amoc.runtime.controller.stage_follower import HORIZON_NS, MAX_EXACT, StageFollower
from amoc.scenario.load_profile import Stages

texts = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 5]), st.integers(0, 600)), min_size=1, max_size=5
).map(lambda stages: ", ".join(f"{seconds}s:{target}" for seconds, target in stages))
gaps = st.lists(st.integers(1, 400), min_size=1, max_size=200)


@given(texts, gaps, st.integers(0, 50))
def test_stages_are_followed_exactly_at_irregular_intervals(text, gaps, start):
    stages = Stages.parse(text, start)
    follower = StageFollower(stages, start)
    now_ns, users = 0, start
    for gap_ms in [*gaps, 30_000]:
        seen_ns, now_ns = now_ns + HORIZON_NS if now_ns else 0, now_ns + gap_ms * MS_NS
        change = follower.step(now_ns)
        for due_ns in change.dues_ns:
            assert seen_ns <= due_ns <= now_ns + HORIZON_NS
        assert change.dues_ns == sorted(change.dues_ns)
        users += len(change.dues_ns) - change.removed
        # At least as many as now, at most the maximum between now and the horizon.
        most = stages.most_between(now_ns, now_ns + HORIZON_NS)
        assert stages.count_at(now_ns) <= users == follower.target == most
    assert users == stages.count_at(stages.total_ns)
    assert follower.done


def test_users_are_added_ahead_by_the_latency_of_the_farthest_node():
    latency = NodeLatency()
    latency.round_trip_ns = S_NS
    change = StageFollower(Stages.parse("10s:100"), 0, latency).step(0)
    assert len(change.dues_ns) == 11
    assert change.dues_ns[-1] == S_NS + HORIZON_NS


def test_a_peak_between_two_steps_is_counted_exactly_once():
    for text, rises in (("1s:100, 1s:0", 100), ("10ms:1000, 10ms:0, 10ms:900, 1s:0", 1000)):
        follower = StageFollower(Stages.parse(text), 0)
        added = sum(len(follower.step(tick * MS_NS).dues_ns) for tick in range(0, 3_000, 20))
        assert added == rises, text


def test_each_user_of_a_ramp_starts_when_the_ramp_reaches_it():
    follower = StageFollower(Stages.parse("10s:100"), 0)
    dues = []
    for tick in range(0, 10_001, 20):
        dues += follower.step(tick * MS_NS).dues_ns
    assert dues == [k * S_NS // 10 for k in range(1, 101)]


def test_a_jump_starts_users_at_once_and_a_steep_ramp_spreads_them():
    jump = StageFollower(Stages.parse("0s:5"), 0).step(0)
    assert jump.dues_ns == [0] * 5
    steep = StageFollower(Stages.parse("1s:100000"), 0).step(0)
    assert len(steep.dues_ns) == 10_000 > MAX_EXACT
    spacings = {b - a for a, b in zip(steep.dues_ns, steep.dues_ns[1:], strict=False)}
    assert max(spacings) - min(spacings) <= 1


def test_no_user_is_removed_before_the_ramp_down_reaches_it():
    follower = StageFollower(Stages.parse("1s:0", 10), 10)
    assert follower.step(0).removed == 0
    assert follower.step(99 * MS_NS).removed == 1  # 9.01 users: rounded down
    assert follower.step(100 * MS_NS).removed == 0
    assert follower.step(101 * MS_NS).removed == 1
