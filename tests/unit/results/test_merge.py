"""Samples may be reordered, repeated or lost without changing the totals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.messages.samples import Sample
from amoc.ipc.messages.users import UsersNow
from amoc.metrics import gauge_sums
from amoc.metrics.area import Merge
from amoc.metrics.board import UserState
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_block import TimerBlock
from amoc.results.merge import SampleMerger
from amoc.results.series import GONE

SECOND_NS = 10**9


def sample(at_s=1.0, users=None, peak=0, **parts):
    return Sample(
        sequence=int(at_s * 10),
        at_ns=int(at_s * SECOND_NS),
        users=users or {},
        users_peak=peak,
        counters=parts.get("counters", {}),
        gauges=parts.get("gauges", {}),
        timers=parts.get("timers", ()),
        crashes=parts.get("crashes", {}),
        throttles=parts.get("throttles", {}),
        waiting=parts.get("waiting", {}),
        workers=(),
        host=(0.0, 0, 0, 0, 0),
        first=parts.get("first", 0),
        alive=parts.get("alive", ()),
        restarted=parts.get("restarted", 0),
    )


@st.composite
def histories(draw):
    """Samples of up to three nodes, each with totals that only grow."""
    nodes = {}
    for number in range(draw(st.integers(1, 3))):
        sent, hits, history = 0, 0, []
        for second in range(1, draw(st.integers(2, 6))):
            sent += draw(st.integers(0, 9))
            hits += draw(st.integers(0, 9))
            ttd = Histogram({200: hits, 900: sent}, hits * 50)
            history.append(
                sample(
                    at_s=second,
                    users={UserState.RUNNING: sent, UserState.CRASHED: hits},
                    peak=sent,
                    counters={"sent": sent, f"only_{number}": hits},
                    gauges={"queue": (Merge.SUM, float(sent), 1)},
                    timers=TimerBlock.of({"ttd": ttd}).wire(),
                    crashes={"ValueError": hits},
                    throttles={"pages": (sent, hits, 0)},
                    waiting={"pages": sent},
                    first=number,
                    alive=[sent],
                    restarted=hits,
                )
            )
        nodes[f"node{number}"] = history
    return nodes


def known(samples: SampleMerger):
    growth = samples.take_growth()
    return (
        {name: count for name, count in samples.users().items() if name != "peak"},
        samples.gauges(),
        samples.waiting(),
        growth.throttles,
        (growth.counters, growth.crashes, growth.timers),
        {name: samples.alive(name) for name in samples.latest},
    )


@given(histories(), st.data())
def test_reordered_repeated_or_lost_samples_end_in_the_totals_of_the_latest(nodes, data):
    in_order = SampleMerger()
    for name, history in nodes.items():
        in_order.take(name, history[-1])
    all_of_them = [(name, one) for name, history in nodes.items() for one in history]
    latest = [(name, history[-1]) for name, history in nodes.items()]
    lossy = data.draw(st.lists(st.sampled_from(all_of_them), max_size=30))
    mixed = SampleMerger()
    for name, one in data.draw(st.permutations(lossy + latest)):
        mixed.take(name, one)
    assert known(mixed) == known(in_order)
    assert mixed.peak >= in_order.peak


@pytest.mark.parametrize(
    ("state", "part"),
    [
        (UserState.NONE, None),
        (UserState.STARTING, None),
        (UserState.RUNNING, "running"),
        (UserState.BETWEEN, "running"),
        (UserState.FINISHED, "finished"),
        (UserState.CRASHED, "finished"),
        (UserState.REMOVED, "removed"),
        (UserState.TIMED_OUT, "timed_out"),
        (UserState.LOST, "lost"),
        (UserState.RESTARTING, None),
    ],
)
def test_each_user_is_counted_once_by_its_state(state, part):
    samples = SampleMerger()
    samples.take("node0", sample(users={int(state): 3}))
    users = samples.users()
    parts = {name: users[name] for name in ("running", *GONE)}
    assert parts == {name: 3 * (name == part) for name in parts}
    never_ran = state in (UserState.NONE, UserState.STARTING)
    assert users["started"] == (0 if never_ran else 3)


def test_a_peak_between_two_samples_is_not_missed():
    samples = SampleMerger()
    samples.take("node0", sample(1, {UserState.RUNNING: 2}, peak=2))
    samples.take("node0", sample(2, {UserState.FINISHED: 50}, peak=48))
    assert samples.peak == 48


@pytest.mark.parametrize(
    ("rule", "merged"), [(Merge.SUM, 9.0), (Merge.MAX, 5.0), (Merge.MIN, 1.0), (Merge.MEAN, 3.0)]
)
def test_gauges_of_all_workers_follow_their_merge_rule(rule, merged):
    samples = SampleMerger()
    for name, values in (("node0", [1.0, 5.0]), ("node1", [3.0])):
        gauges = {}
        for value in values:
            gauge_sums.add(gauges, [("queue", (rule, value, 1))])
        samples.take(name, sample(gauges=gauges))
    assert samples.gauges() == {"queue": merged}


def test_timers_of_all_nodes_are_merged_into_one_histogram():
    one, other = Histogram.of([1000, 2000]), Histogram.of([2000, 9_000_000])
    samples = SampleMerger()
    for name, part in (("node0", one), ("node1", other)):
        samples.take(name, sample(timers=TimerBlock.of({"ttd": part}).wire()))
    assert samples.take_growth().timers == {"ttd": Histogram.of([1000, 2000, 2000, 9_000_000])}


def test_user_states_follow_the_newest_report_of_the_node():
    samples = SampleMerger()
    samples.take("node0", sample(1, {UserState.RUNNING: 5}))
    at_ns = samples.at_ns
    samples.take_users("node0", UsersNow(1, at_ns + 1, {int(UserState.REMOVED): 5}, [0]))
    users = samples.users()
    assert (users["running"], users["removed"], samples.at_ns) == (0, 5, at_ns + 1)
    assert samples.alive("node0") == {0: 0}
    samples.take_users(
        "node0", UsersNow(1, at_ns - 1, {}, [7])
    )  # an older report that arrives late
    users = samples.users()
    assert (users["running"], users["removed"], samples.at_ns) == (5, 0, at_ns)


def test_repeated_throttle_counts_are_not_growth():
    samples, said = SampleMerger(), {"a": (3, 2, 0), "b": (1, 1, 0)}
    samples.take("node0", sample(1.0, throttles=said))
    assert samples.take_growth().throttles == {"a": (3, 2, 0), "b": (1, 1, 0)}
    samples.take("node0", sample(2.0, throttles={**said, "b": (4, 2, 1)}))
    assert samples.take_growth().throttles == {"b": (3, 1, 1)}


def test_counts_of_a_lost_node_stay_and_its_users_restart_or_are_lost():
    merger = SampleMerger()
    ended = {UserState.FINISHED: 3, UserState.CRASHED: 1, UserState.REMOVED: 2}
    going = {UserState.RUNNING: 5, UserState.STOPPING: 1, UserState.STARTING: 4}
    merger.take(
        "node1",
        sample(
            users={**ended, **going},
            counters={"sent": 7},
            gauges={"queue": (Merge.SUM, 2.0, 1)},
            restarted=2,
        ),
    )
    merger.take("node0", sample(users={UserState.RUNNING: 5}))
    started = merger.users()["started"]
    # Seen later: users that left after the sample are unknown, so they start again.
    merger.take_users("node1", UsersNow(1, merger.at_ns + 1, {int(UserState.FINISHED): 9}, [0]))
    merger.lose("node1", lost=3)
    users = merger.users()
    assert (users["finished"], users["removed"], users["lost"]) == (4, 2 + 1, 3)
    assert (users["running"], users["restarted"]) == (5, 2)
    assert merger.gauges() == {}
    assert merger.take_growth().counters == {"sent": 7}
    merger.take("node0", sample(at_s=2.0, users={UserState.RUNNING: 7}))
    assert merger.users()["started"] == started, "two start again elsewhere, three are lost"
    merger.lose("node1", lost=3)
    assert merger.users()["lost"] == 3, "it is lost once"
