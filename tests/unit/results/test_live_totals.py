"""What is known of a run: samples come in any order, twice or never; the totals are the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.messages import Sample, WorkerFigures
from amoc.metrics.board import Merge, UserState
from amoc.metrics.health_figures import WORKER
from amoc.metrics.histogram import Histogram
from amoc.results.live_totals import QUANTILES, LiveTotals
from amoc.results.series import ThrottlePoint

SECOND_NS = 10**9
RUN = {"id": "r1", "scenario": "chat", "duration_s": 10.0, "verdict": "ok", "exit_code": 0}


def worker(worker=0, incarnation=1, users=0, peak=0, restarted=0):
    return tuple(
        WorkerFigures(
            worker=worker,
            incarnation=incarnation,
            beat_ns=0,
            users_peak=peak,
            restarted=restarted,
            max_rss_bytes=2**20,
            loop_lag_p99_s=0.001,
            health=tuple((dict.fromkeys(WORKER, 0) | {"users": users, "cpu": 1.5e9}).values()),
        )
    )


def sample(at_s=1.0, users=None, peak=0, **parts):
    return Sample(
        sequence=int(at_s * 10),
        at_ns=int(at_s * SECOND_NS),
        users=users or {},
        users_peak=peak,
        counters=parts.get("counters", {}),
        gauges=parts.get("gauges", {}),
        timers=parts.get("timers", {}),
        crashes=parts.get("crashes", {}),
        throttles=parts.get("throttles", {}),
        waiting=parts.get("waiting", {}),
        workers=parts.get("workers", ()),
        host=(),
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
            history.append(
                sample(
                    at_s=second,
                    users={UserState.RUNNING: sent, UserState.CRASHED: hits},
                    peak=sent,
                    counters={"sent": sent, f"only_{number}": hits},
                    gauges={"queue": (Merge.SUM, [float(sent)])},
                    timers={"ttd": (hits * 50, [200, hits, 900, sent])},
                    crashes={"ValueError": hits},
                    workers=[worker(worker=number, peak=sent, restarted=hits)],
                )
            )
        nodes[f"node{number}"] = history
    return nodes


def totals(figures: LiveTotals):
    return (
        (figures.started, figures.running, figures.finished, figures.removed, figures.restarted),
        (
            figures.crashed,
            figures.crashes(),
            figures.counters(),
            figures.gauges(),
            figures.timers(),
        ),
        {tuple(one) for one in figures.workers()},
        figures.peak if len(figures._latest) == 1 else None,
    )


@given(histories(), st.data())
def test_any_order_repetition_or_loss_ends_in_the_totals_of_the_latest_samples(nodes, data):
    in_order = LiveTotals()
    for name, history in nodes.items():
        in_order.take(name, history[-1])
    all_of_them = [(name, one) for name, history in nodes.items() for one in history]
    latest = [(name, history[-1]) for name, history in nodes.items()]
    lossy = data.draw(st.lists(st.sampled_from(all_of_them), max_size=30))
    mixed = LiveTotals()
    for name, one in data.draw(st.permutations(lossy + latest)):
        mixed.take(name, one)
    assert totals(mixed)[:3] == totals(in_order)[:3]
    assert mixed.peak >= in_order.peak


def test_the_order_in_which_nodes_are_heard_does_not_show_in_the_summary():
    def summary(*names):
        figures = LiveTotals()
        for name in names:
            figures.take(name, sample(counters={name: 1}, workers=[worker(worker=0)]))
        return figures.summary(RUN)

    assert summary("node0", "node1") == summary("node1", "node0")


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
        (UserState.RESTARTING, None),
    ],
)
def test_a_user_is_counted_once_by_where_it_stands(state, part):
    figures = LiveTotals()
    figures.take("node0", sample(users={int(state): 3}))
    parts = {name: getattr(figures, name) for name in ("running", "finished", "removed")}
    assert parts == {name: 3 * (name == part) for name in parts}
    never_ran = state in (UserState.NONE, UserState.STARTING)
    assert figures.started == (0 if never_ran else 3)


def test_the_peak_between_two_samples_is_not_missed():
    figures = LiveTotals()
    figures.take("node0", sample(1, {UserState.RUNNING: 2}, peak=2))
    figures.take("node0", sample(2, {UserState.FINISHED: 50}, peak=48))
    assert figures.peak == 48


def test_starts_per_second_are_those_between_two_samples():
    figures = LiveTotals()
    for at_s, users in ((1, 100), (3, 500), (3.1, 900), (4.1, 900)):
        figures.take("node0", sample(at_s, {UserState.RUNNING: users}))
    assert figures.starts_per_s == 0
    assert figures.starts_per_s_peak == 200  # the 0.1 s in between say little about a second


def test_starts_per_second_of_several_nodes_add_up():
    figures = LiveTotals()
    for at_s in (1, 2, 3):
        for name in ("node0", "node1"):
            figures.take(name, sample(at_s, {UserState.RUNNING: 100 * at_s}))
    assert figures.starts_per_s == 200


@pytest.mark.parametrize(
    ("rule", "merged"), [(Merge.SUM, 9.0), (Merge.MAX, 5.0), (Merge.MIN, 1.0), (Merge.MEAN, 3.0)]
)
def test_gauges_of_all_workers_are_merged_by_their_rule(rule, merged):
    figures = LiveTotals()
    figures.take("node0", sample(gauges={"queue": (rule, [1.0, 5.0])}))
    figures.take("node1", sample(gauges={"queue": (int(rule), [3.0])}))
    assert figures.gauges() == {"queue": merged}


def test_timers_of_all_nodes_are_one_histogram():
    one, other = Histogram.of([1000, 2000]), Histogram.of([2000, 9_000_000])
    figures = LiveTotals()
    for name, part in (("node0", one), ("node1", other)):
        flat = [number for item in part.cells.items() for number in item]
        figures.take(name, sample(timers={"ttd": (part.max_ns, flat)}))
    assert figures.timers() == {"ttd": Histogram.of([1000, 2000, 2000, 9_000_000])}


def test_the_most_frequent_cause_comes_first():
    figures = LiveTotals()
    figures.take("node0", sample(crashes={"a": 1, "b": 5, "c": 2}))
    figures.take("node1", sample(crashes={"c": 9}))
    assert list(figures.crashes().items()) == [("c", 11), ("b", 5), ("a", 1)]


def summary_of(**parts):
    figures = LiveTotals()
    figures.take("node0", sample(**parts))
    return figures.summary(RUN)


def test_the_summary_has_the_documented_fields_and_no_others():
    summary = summary_of(
        users={UserState.RUNNING: 2, UserState.FINISHED: 1},
        counters={"sent": 3},
        timers={"ttd": (2000, [240, 1])},
        crashes={"ValueError": 2},
        workers=[worker(incarnation=3)],
    )
    assert list(summary) == [
        *("run", "users", "crashes", "counters", "gauges", "timers", "throttles", "workers")
    ]
    assert set(summary["users"]) == {
        *("started", "finished", "crashed", "removed", "restarted", "peak", "running"),
        "starts_per_s_peak",
    }
    assert set(summary["timers"]["ttd"]) == {"count", "mean_s", "max_s", *QUANTILES}
    assert summary["crashes"] == [{"cause": "ValueError", "count": 2}]
    assert summary["workers"] == [
        {
            "node": "node0",
            "worker": 0,
            "restarts": 2,
            "users_peak": 0,
            "cpu_s": 1.5,
            "max_rss_bytes": 2**20,
            "loop_lag_p99_s": 0.001,
        }
    ]


def test_a_run_too_short_for_a_rate_shows_its_mean_rate_as_the_peak():
    assert summary_of(users={UserState.FINISHED: 50})["users"]["starts_per_s_peak"] == 5.0


def test_a_worker_that_never_came_up_was_not_restarted():
    assert summary_of(workers=[worker(incarnation=0)])["workers"][0]["restarts"] == 0


def test_the_summary_of_nothing_can_be_made():
    summary = LiveTotals().summary({**RUN, "duration_s": 0.0})
    assert summary["users"]["started"] == 0
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e300])
def test_a_summary_is_json_whatever_a_gauge_was_set_to(value):
    # RFC 8259 section 6: Infinity and NaN are not numbers there, and other readers stop at them.
    summary = summary_of(gauges={"queue": (Merge.SUM, [value, value])})
    json.dumps(summary, allow_nan=False)


def test_throttles_have_a_part_of_their_own_also_those_that_were_stopped():
    figures = LiveTotals()
    counts = {"requests": 7, "executions": 5, "missed": 1}
    throttles = dict.fromkeys(("a.b", "gone"), tuple(counts.values()))
    figures.take("node0", sample(1, counters={"mine": 3}, throttles=throttles, waiting={"a.b": 2}))
    assert figures.counters() == {"mine": 3}
    assert figures.gauges() == {}
    known = {"a.b": ThrottlePoint(rate=None, interval_s=60.0, mode="open")}
    found = figures.summary({"duration_s": 10.0}, known)["throttles"]
    assert found == {
        "a.b": {
            "rate": None,
            "interval_s": 60.0,
            "mode": "open",
            **counts,
            "waiting": 2,
            "executions_per_s": 0.5,
        },
        "gone": {
            "rate": 0.0,
            "interval_s": 0.0,
            "mode": "stopped",
            **counts,
            "waiting": 0,
            "executions_per_s": 0.5,
        },
    }
