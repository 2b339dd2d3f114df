from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.health_limits import Limits
from amoc.results.generator_health import KINDS, Health
from amoc.results.series import Point, ThrottlePoint

WELL = WorkerPoint(node="node0", worker=0, cpu=0.3, lag_p99_s=0.001, fds=20, fd_limit=20_000)
WORKER = "worker 0 of node0"


def second(number: int, *, state: str = "running", **worker: Any) -> Point:
    """The point of one second with one worker, healthy except for the given values."""
    return Point(
        t_s=float(number),
        span_s=1.0,
        state=state,
        workers=[replace(WELL, **worker)],
        nodes=[NodePoint("node0", 0.99, 1000, 500, 28_000, 0)],
        controller_cpu=0.1,
        controller_lag_s=0.01,
    )


def of_lags(lags: list[float]) -> Health:
    health = Health()
    for number, lag_s in enumerate(lags, 1):
        health.take(second(number, lag_p99_s=lag_s))
    return health


@pytest.mark.parametrize(("deaths", "limited"), [(4, False), (5, True)])
def test_users_that_keep_restarting_limit_a_run(deaths: int, limited: bool) -> None:
    health, restarted = Health(), 0
    for number in range(30):
        restarted += 30 if number % 2 and number < 2 * deaths else 0
        users = {"running": 60, "restarted": restarted}
        health.take(replace(second(number + 1), users=users))
    assert health.limited is limited
    if limited:
        (found,) = health.findings()
        assert (found["where"], found["what"], found["worst"]) == ("users", "restarts", 0.5)
        assert found["text"] == (
            "users: up to 50 % of them were started again in a second, because their worker had"
            " died, above the limit of 5 % for 5 s between 1 s and 10 s"
        )


def test_a_healthy_run_has_no_findings() -> None:
    health = of_lags([0.001] * 60)
    assert not health.limited
    assert health.to_json() == {"limited": False, "findings": []}


@pytest.mark.parametrize(
    ("lags", "limited"),
    [
        ([0.5], False),
        ([0.5] * 4 + [0.0] * 20, False),
        ([0.5, 0.0] * 5, True),
        ([0.5] * 5 + [0.0] * 95, True),
        ([0.5] * 5 + [0.0] * 96, False),
        ([0.5] * 9 + [0.0] * 991, False),
        ([0.5] * 10 + [0.0] * 990, True),
        (([0.5] * 5 + [0.0] * 95) * 2, True),
        (([0.5] * 5 + [0.0] * 96) * 2, False),
    ],
)
def test_a_run_is_limited_after_five_seconds_and_a_twentieth_or_ten_in_a_row(
    lags: list[float], limited: bool
) -> None:
    assert of_lags(lags).limited is limited


def test_missed_slots_in_seconds_far_apart_are_not_in_a_row() -> None:
    health = Health()
    for number in range(1, 401):
        missed = ThrottlePoint(
            rate=100, interval_s=1, executions=80, missed=20 * (number % 30 == 0)
        )
        assert not health.take(replace(second(number), throttles={"turns": missed}))
    assert not health.limited


def test_seconds_before_and_after_a_pause_are_not_in_a_row() -> None:
    health = of_lags([0.0] * 300)
    for number in range(301, 401):
        is_late = number % 20 < 2
        point = second(number, lag_p99_s=0.5 * is_late, state="running" if is_late else "paused")
        assert not health.take(point)
    assert not health.limited


def test_a_finding_names_place_figure_time_and_worst_value() -> None:
    (found,) = of_lags([0.0] * 10 + [0.15] * 4 + [0.35] + [0.0] * 5).findings()
    assert (found["where"], found["what"], found["unit"]) == (WORKER, "loop lag", "s")
    assert (found["limit"], found["worst"]) == (0.1, 0.35)
    assert (found["seconds"], found["from_s"], found["to_s"]) == (5.0, 10.0, 15.0)
    assert found["text"] == (
        f"{WORKER}: event loop lag of up to 0.35 s, above the limit of 0.1 s"
        " for 5 s between 10 s and 15 s"
    )


@pytest.mark.parametrize(
    ("worker", "what"),
    [
        ({"lag_p99_s": 0.2}, "loop lag"),
        ({"late_p99_s": 0.2}, "token lateness"),
        ({"gc_s": 0.2}, "garbage collection"),
        ({"cpu": 1.0}, "cpu"),
        ({"cpu": 0.05, "cpu_wait_s": 0.85}, "cpu wait"),
        ({"cpu": 0.6, "cpu_wait_s": 0.4}, "saturation"),
        ({"fds": 19_800}, "file descriptors"),
    ],
)
def test_every_figure_of_a_worker_is_checked(worker: dict[str, Any], what: str) -> None:
    health = Health()
    for number in range(1, 7):
        health.take(second(number, **worker))
    assert [(one["where"], one["what"]) for one in health.findings()] == [(WORKER, what)]


def test_time_recorded_late_is_spread_over_the_seconds() -> None:
    health = Health()
    for number in range(1, 11):
        health.take(second(number, cpu=0.7 if number % 2 else 1.3))
    assert [one["what"] for one in health.findings()] == ["cpu"]


def test_a_new_worker_is_not_smoothed_over_earlier_seconds() -> None:
    health = Health()
    health.take(second(1, cpu=2.0))
    health.take(second(2, cpu=0.1, incarnation=2))
    assert health.past[WORKER, "cpu"].seconds == 1.0


@pytest.mark.parametrize(
    ("fields", "where", "what"),
    [
        ({"nodes": [NodePoint("node0", ports=1000, ports_used=980)]}, "node0", "ephemeral ports"),
        (
            {"nodes": [NodePoint("node0", memory_bytes=1000, memory_free_bytes=10)]},
            "node0",
            "memory",
        ),
        ({"controller_cpu": 1.0}, "controller", "controller cpu"),
        ({"controller_lag_s": 1.0}, "controller", "controller lag"),
    ],
)
def test_nodes_and_the_controller_are_checked(
    fields: dict[str, Any], where: str, what: str
) -> None:
    health = Health()
    for number in range(1, 7):
        health.take(replace(second(number), **fields))
    assert [(one["where"], one["what"]) for one in health.findings()] == [(where, what)]


def test_unknown_values_are_not_findings() -> None:
    health = Health()
    for number in range(1, 30):
        point = second(number, fds=5, fd_limit=0)
        health.take(replace(point, nodes=[NodePoint("node0")]))
    assert not health.limited


@pytest.mark.parametrize("state", ["starting", "paused", "stopping"])
def test_seconds_in_which_the_run_is_not_running_do_not_count(state: str) -> None:
    health = Health()
    for number in range(1, 30):
        assert health.take(second(number, state=state, lag_p99_s=9.0)) == []
    health.take(replace(second(30, lag_p99_s=9.0), active_s=0.4))  # a pause ends in it
    assert (health.seconds, health.limited) == (0.0, False)
    health.take(second(31))
    assert health.seconds == 1.0


def test_smoothing_restarts_after_a_pause() -> None:
    health = Health()
    for number in range(1, 20):
        assert health.take(second(number, cpu=0.0)) == []
    assert health.take(second(20, state="paused")) == []
    said = [bool(health.take(second(20 + number, cpu=1.0))) for number in range(1, 5)]
    assert said == [False, False, True, False], "as in a run that begins so"
    fresh = Health()
    assert [bool(fresh.take(second(number, cpu=1.0))) for number in range(1, 5)] == said


@pytest.mark.parametrize(
    ("late", "worker", "advice"),
    [
        ({"round_trip_s": 0.12}, {}, "the controller and all workers were in time in most of"),
        ({}, {}, "leave amoc a core"),
        ({"round_trip_s": 0.12, "controller_lag_s": 0.06}, {}, "leave amoc a core"),
        ({"round_trip_s": 0.12}, {"lag_p99_s": 0.06}, "leave amoc a core"),
        ({"round_trip_s": 0.12}, {"cpu_wait_s": 0.3}, "leave amoc a core"),
    ],
    ids=["far away", "on one host", "the controller", "a worker", "no CPU"],
)
def test_slots_delayed_in_transit_are_not_attributed_to_the_cpu(
    late: dict[str, float], worker: dict[str, Any], advice: str
) -> None:
    health = Health()
    throttles = {"turns": ThrottlePoint(rate=100, interval_s=1, executions=80, missed=20)}
    said = []
    for number in range(1, 11):
        # A process that is late occasionally does not make all slots late.
        slow = number in (2, 5)
        it = {"lag_p99_s": 0.08} if slow else worker
        said += health.take(replace(second(number, **it), throttles=throttles, **late))
    [found] = health.findings()
    assert (found["where"], found["what"]) == ("throttle turns", "missed slots")
    assert found["advice"].startswith(advice)
    assert said == [f"{said[0].partition('; ')[0]}; {found['advice']}"]
    assert ("120 ms" in found["advice"]) == (not advice.startswith("leave"))


def test_a_silent_node_is_a_finding() -> None:
    health = Health()
    for number in range(1, 5):
        t_s = number * 1.5
        said = health.take(Point(t_s=t_s, span_s=1.5, late=["node0"]))
        assert bool(said) == (number == 2)
    (found,) = health.findings()
    assert (found["where"], found["what"], found["seconds"]) == ("node0", "silence", 6.0)


def test_the_operator_is_warned_once_per_figure_and_place() -> None:
    health = Health()
    said = [health.take(second(n, lag_p99_s=0.5 if n % 9 else 0.0)) for n in range(1, 60)]
    assert [n for n, lines in enumerate(said, 1) if lines] == [3]
    (line,) = said[2]
    assert line.startswith(f"{WORKER}: event loop lag of up to 0.5 s")
    for number in range(60, 64):
        assert health.take(second(number, lag_p99_s=0.5, cpu=1.0)) == []
    (line,) = health.take(second(64, cpu=1.0))
    assert "100 % of a core" in line


def test_brief_lateness_is_not_reported() -> None:
    health = Health()
    assert not any(health.take(second(n, lag_p99_s=0.5 if n % 3 else 0.0)) for n in range(1, 60))


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ({"cpu": 0.2}, "a user blocked its event loop"),
        ({"cpu": 0.85}, "caused by its own CPU use"),
        ({"cpu": 0.2, "cpu_wait_s": 0.4}, "caused by CPU wait"),
        ({"cpu": 0.5, "gc_s": 0.3}, "caused by garbage collection"),
        ({"cpu": 0.5, "cpu_wait_s": 0.375}, "caused by its own CPU use"),
        ({"cpu": 0.125, "cpu_wait_s": 0.1875}, "a user blocked its event loop"),
    ],
)
def test_the_advice_for_lateness_depends_on_what_the_worker_did(
    worker: dict[str, Any], said: str
) -> None:
    health = Health()
    for number in range(1, 7):
        health.take(second(number, lag_p99_s=0.5, **worker))
    (advice,) = [one["advice"] for one in health.findings() if one["what"] == "loop lag"]
    assert advice.startswith(said)


def test_findings_are_written_as_json_longest_first() -> None:
    health = Health()
    for number in range(1, 21):
        health.take(second(number, lag_p99_s=0.5 if number > 10 else 0.0, fds=20_000))
    written = json.loads(json.dumps(health.to_json()))
    assert written["limited"] is True
    assert [one["what"] for one in written["findings"]] == ["file descriptors", "loop lag"]
    assert set(written["findings"][0]) == {
        *("where", "what", "limit", "worst", "unit", "seconds", "from_s", "to_s", "text", "advice")
    }


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.sampled_from(["running", "paused", "stopping"])), max_size=80
    )
)
def test_findings_match_the_seconds_past_the_limit(seconds: list[tuple[float, str]]) -> None:
    health = Health()
    counted, past = 0, []
    for number, (lag_s, state) in enumerate(seconds, 1):
        health.take(second(number, lag_p99_s=lag_s, state=state))
        if state == "running":
            counted += 1
            if lag_s >= 0.1:
                past.append((number, lag_s))
    assert health.seconds == counted
    for found in health.findings():
        assert found["seconds"] == len(past) >= 5
        assert found["worst"] == pytest.approx(max(lag for _, lag in past), abs=1e-6)
        assert (found["from_s"], found["to_s"]) == (past[0][0] - 1, past[-1][0])
    assert health.limited is bool(health.findings())


def test_the_docs_list_every_health_figure_with_its_limit() -> None:
    page = (Path(__file__).parents[3] / "docs/health.md").read_text()
    rows = re.findall(
        r"^\| (?:worker|node|users|controller) \| `([\w ]+)`.*? \| (\d+) (ms|%) \|",
        page,
        re.MULTILINE,
    )
    documented = {what: int(limit) / (1000 if unit == "ms" else 100) for what, limit, unit in rows}
    assert documented == {what: getattr(Limits(), kind.limit) for what, kind in KINDS.items()}
