"""Thresholds: valid and invalid expressions, and their results on merged values."""

from __future__ import annotations

import sys
import textwrap
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

import amoc
from amoc import metrics
from amoc.base.errors import ScenarioError, UsageError
from amoc.metrics import registry
from amoc.metrics.area import Kind
from amoc.metrics.histogram import Histogram
from amoc.metrics.step_names import AGGREGATED
from amoc.results.run_totals import RunTotals
from amoc.results.series import Point, Tally, ThrottlePoint
from amoc.results.thresholds import declared
from amoc.results.thresholds.threshold import Outlook, gather, known_of, misfits, parse, to_json
from amoc.scenario import settings
from amoc.scenario.loader import load
from tests.unit.results.runs import points

KNOWN = {
    "message_ttd": Kind.TIMER,
    "messages_sent": Kind.COUNTER,
    "messages_received": Kind.COUNTER,
    "connections": Kind.COUNTER,
    "connection_failures": Kind.COUNTER,
    "connected": Kind.GAUGE,
}
WINDOW = Tally.of(points(60))


def check(text, *made, known=KNOWN):
    """The result of a threshold on these points, or on a run of 60 s."""
    window = Tally.of(made) if made else WINDOW
    return parse(text).evaluate(window, known)


@pytest.mark.parametrize(
    "text",
    [
        "message_ttd.p99 < 200ms",
        "message_ttd.p99.9 <= 0.2 s",
        "message_ttd.p50 > 100 us",
        "message_ttd.mean < 100µs",
        "message_ttd.mean < 100μs",
        "message_ttd.max < 1m",
        "message_ttd.min > 10ns",
        "message_ttd.response.p99 < 2min",
        "message_ttd.count >= 5000",
        "message_ttd.rate > 10/s",
        "messages_sent > 1",
        "messages_sent.total > 1",
        "messages_sent.rate>900/s",
        "messages_sent.rate > 54000 / min",
        "errors.rate == 0/s",
        "connected >= -3",
        "connected.last == 1.5",
        "connected.max < 50",
        "connection_failures / connections < 1%",
        "connection_failures/connections < .01",
        "crashes / users.started <= 0",
        "messages_received / messages_sent == 100%",
        "crashes == 0",
        "crashes.rate < 1/h",
        "users.peak >= 100",
        "starts.rate > 10/s",
        "throttle.a.b-c.executions.rate > 100/s",
        "throttle.executions.executions == 7",
        "throttle.messages.missed == 0",
        "throttle.messages.waiting < 5",
        "level.of.water.max < 5",
    ],
)
def test_valid_thresholds_are_parsed(text):
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "expected METRIC OPERATOR LIMIT"),
        ("crashes", "expected METRIC OPERATOR LIMIT"),
        ("crashes <", "expected METRIC"),
        ("< 3", "expected METRIC"),
        ("crashes = 0", "got =; equality is =="),
        ("crashes => 0", "expected one of < <= > >= == !=, got =>"),
        ("message_ttd.p99 < 200", "p99 is a duration and must be compared with one .*limit is 200"),
        ("message_ttd.p99 < 5 lightyears", "must be one of ns us .* got lightyears"),
        ("message_ttd.p99 < fast", "must be a number, with or without a unit, got 'fast'"),
        ("message_ttd.p99 < nan", "must be a number"),
        ("message_ttd.p0 < 1s", "must lie between 0 and 100, got p0"),
        ("message_ttd.p100 < 1s", "must lie between 0 and 100, got p100; the extremes are"),
        ("message_ttd.p99 == 1s", "measured, not counted, so never exactly 1s"),
        ("message_ttd.p99 < -1s", "never below 0, so this passes in no run"),
        (
            "message_ttd < 5ms",
            "names no statistic; only a timer's statistic, such as message_ttd.p99,|",
        ),
        ("message_ttd.avg < 5ms", "message_ttd.avg names no statistic; use message_ttd.mean,"),
        ("message_ttd.med < 5ms", "names no statistic; use message_ttd.p50,"),
        ("GET /.p(99.9) < 5ms", r"GET /.p\(99.9\) names no statistic; use GET /.p99.9 "),
        ("http_req_duration: p(95)<500", "no statistic; use http_req_duration.p95 "),
        ("messages_sent.rate > 900", "is a rate and must be compared with one such as 900/s"),
        ("messages_sent.rate != 900/s", "never exactly 900/s"),
        ("messages_sent.total > 900/s", "total is a count"),
        ("crashes < 0", "never below 0, so this passes in no run"),
        ("crashes >= 0", "never below 0, so this passes in every run"),
        ("crashes == 0.5", "is a whole number, so it is never 0.5"),
        ("crashes / users.started < 5ms", "is a ratio and must be compared with a share"),
        ("a.rate / b < 1%", "must be one of two counts, but a.rate is a rate"),
        ("a / b / c < 1%", "must be one of two counts, but 'b / c' is a ratio itself"),
        ("a / < 1%", "a / is a count"),
        ("messages_sent < 1%", "messages_sent is a count"),
        ("users < 4", "there is no users; use one of users.running"),
        ("crashes.p99 < 4s", "there is no crashes.p99; use one of crashes, crashes.total"),
        ("throttle.a.rate > 5/s", "a throttle has throttle.NAME.executions"),
        ("throttle.a.waiting.rate > 5/s", "a throttle has"),
        ("x" * 2000 + " < 3", "at most 1000 characters"),
    ],
)
def test_an_invalid_threshold_is_rejected_with_name_rule_and_source(text, what):
    with pytest.raises(ValueError, match=what) as caught:
        parse(text, "the file")
    message = str(caught.value)
    assert message.startswith("threshold ")
    assert message.endswith("(from the file)")
    assert "\n" not in message


def test_all_problems_are_reported_at_once_and_duplicates_count_once():
    with pytest.raises(UsageError) as caught:
        gather(("--expect", ["crashes", "crashes == 0"]), ("scenario chat", ["x.p99 < 3"]))
    assert len(str(caught.value).splitlines()) == 2
    first, second = gather(("--expect", ["crashes==0"]), ("scenario", ["crashes == 0", "x > 1"]))
    assert (first.source, second.source) == ("--expect", "scenario")


@given(st.text(max_size=30))
def test_any_text_is_a_threshold_or_a_one_line_error(text):
    problem = ""
    try:
        parse(text)
    except ValueError as error:
        problem = str(error)
    assert len(problem.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("messages_sent > 1", 5983, "5983"),
        ("messages_sent.rate > 1/s", 5983 / 60, "99.7/s"),
        ("messages_sent.rate > 1/min", 5983 / 60, "5983/min"),
        ("message_ttd.count > 1", 5983, "5983"),
        ("connected > 1", 50.0, "50"),
        ("connected.min > 1", 10.0, "10"),
        ("connected.max > 1", 50.0, "50"),
        ("messages_received / messages_sent == 100%", 1.0, "100%"),
        ("crashes > 1", 3, "3"),
        ("crashes.rate > 1/min", 0.05, "3/min"),
        ("crashes / users.started > 1%", 0.06, "6%"),
        ("users.peak > 1", 50, "50"),
        ("starts.rate > 1/h", 50 / 60, "3000/h"),
        ("throttle.messages.executions > 1", 5983, "5983"),
        ("throttle.messages.executions.rate > 1/s", 5983 / 60, "99.7/s"),
        ("throttle.messages.missed < 1", 0, "0"),
        ("throttle.messages.waiting > 1", 20, "20"),
        ("connection_failures == 0", 0, "0"),
        ("connection_failures.rate < 1/s", 0.0, "0/s"),
    ],
)
def test_each_statistic_has_the_expected_value(text, value, shown):
    result = check(text)
    assert result.passed, result.reason
    assert result.value == pytest.approx(value)
    assert (result.value_text, result.reason) == (shown, "")


def test_durations_come_from_the_merged_histogram():
    timer = Histogram.of([ns * 1_000_000 for ns in range(1, 1001)])
    point = Point(t_s=1, span_s=1, timers={"turn": timer})
    for statistic, expected in {
        "p50": timer.quantiles_s(0.5)[0],
        "p99": timer.quantiles_s(0.99)[0],
        "p99.9": timer.quantiles_s(0.999)[0],
        "mean": timer.mean_s,
        "max": 1.0,
        "min": timer.quantiles_s(0)[0],
    }.items():
        assert check(f"turn.{statistic} > 1ns", point).value == expected


def test_a_failed_threshold_states_rule_value_and_source():
    result = parse("messages_sent.rate > 900/s", "--expect").evaluate(WINDOW, KNOWN)
    assert not result.passed
    assert result.reason == "messages_sent.rate must be > 900/s, got 99.7/s (from --expect)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("request.p99 < 1s", "there was no metric request"),
        ("message_tdd.p99 < 1s", "there was no metric message_tdd; did you mean message_ttd"),
        ("connection_errors == 0", "there was no metric connection_errors"),
        ("throttle.logins.missed == 0", "there was no throttle logins"),
        ("messages_sent / connections < 1", "connections is 0"),
        ("messages_sent.p99 < 1s", "messages_sent is a counter, which has total and rate"),
        ("message_ttd < 1", "message_ttd is a timer, which has percentiles"),
        ("connected.max < 1s", "connected is a gauge, so connected.max is a plain number"),
    ],
)
def test_a_threshold_without_a_sample_fails(text, why):
    result = check(text)
    assert (result.passed, result.value, result.value_text) == (False, None, "no sample")
    assert f", but {why}" in result.reason


@pytest.mark.parametrize(
    "text",
    [
        "message_ttd.p99 < 1s",
        "connected < 1",
        "crashes == 0",
        "crashes.rate < 1/s",
        "messages_sent < 3",
        "message_ttd.count < 3",
        "users.peak < 3",
        "starts.rate < 3/s",
    ],
)
def test_every_threshold_fails_on_an_empty_window(text):
    result = parse(text).evaluate(Tally(), KNOWN)
    assert (result.passed, result.value) == (False, None)


@pytest.mark.parametrize(
    "text",
    [
        "login.failures == 0",
        "login.failures.rate < 1/s",
        "login.failures < 1%",
        "failures == 0",
        "failures < 1%",
        "total is right.failed == 0",
        "total is right.failed < 1%",
    ],
)
def test_a_threshold_on_failures_fails_if_nothing_was_executed(text):
    ends = {
        "login": "count failures",
        AGGREGATED: "count failures",
        "total is right": "passed failed",
    }
    names = [f"{name}.{end}" for name, all_ends in ends.items() for end in all_ends.split()]
    known = dict.fromkeys(names, Kind.COUNTER)
    none = Point(t_s=1, span_s=1, counters=dict.fromkeys(names, 0))
    result = check(text, none, known=known)
    assert (result.passed, result.value, result.value_text) == (False, None, "no sample")
    good = dict.fromkeys((one for one in names if one.endswith(("count", "passed"))), 5)
    assert check(text, none, Point(t_s=2, span_s=1, counters=good), known=known).passed


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_gauge_that_is_nan_is_not_a_sample(value):
    point = Point(t_s=1, span_s=1, gauges={"level": value})
    for text in ("level < 5", "level.min < 5", "level.max > 5"):
        assert check(text, point).value is None


def test_starts_are_counted_within_the_window_and_users_since_the_run_began():
    later = points(60)[29:]  # all 50 had started by then
    assert check("starts.rate == 0/s", *later).passed
    assert check("users.started == 50", *later).passed


def test_rates_and_levels_cover_only_seconds_in_which_the_run_was_running():
    made = [
        Point(
            t_s=float(second),
            span_s=1.0,
            state=state,
            users={"running": running, "started": started},
            starts=starts,
            counters={"turns": turns},
            timers={"turn": Histogram.of([1_000_000_000 * second])},
            gauges={"level": float(running)},
            crashes={"late": 1} if state == "stopping" else {},
            throttles={"a": ThrottlePoint(executions=turns, waiting=running)},
        )
        for second, state, running, started, starts, turns in [
            (1, "running", 5, 5, 5, 100),
            (2, "paused", 5, 5, 0, 0),
            (3, "running", 9, 9, 4, 100),
            (4, "stopping", 1, 10, 1, 50),
        ]
    ]
    for text in (
        "turns == 250",
        "turn.count == 4",
        "turn.max > 3.9s",
        "crashes == 1",
        "users.started == 10",
        "throttle.a.executions == 250",
        # and these without the others
        "users.running == 9",
        "level == 9",
        "level.min == 5",
        "level.max == 9",
        "crashes.rate == 0/s",
        "throttle.a.waiting == 9",
    ):
        assert check(text, *made).passed, text
    for text, per_s in (
        ("turns.rate > 1/s", 100),
        ("turn.rate > .5/s", 1),
        ("throttle.a.executions.rate > 1/s", 100),
        ("starts.rate > 1/s", 4.5),
    ):
        assert check(text, *made).value == per_s, text


def test_rates_cover_only_the_running_part_of_a_second():
    made = [
        Point(t_s=1, span_s=1, counters={"turns": 100}),
        Point(t_s=2, span_s=1, active_s=0.5, state="paused", counters={"turns": 50}),
        Point(t_s=9, span_s=7, active_s=0, state="paused"),
        Point(t_s=10, span_s=1, active_s=0.5, counters={"turns": 50}),
        Point(t_s=11, span_s=1, active_s=0, state="stopping", counters={"turns": 7}),
    ]
    assert check("turns.rate > 1/s", *made).value == 100
    assert check("turns == 207", *made).passed


def test_a_pause_does_not_count_as_warm_up():
    made = [
        Point(t_s=1, span_s=1, counters={"turns": 1}),
        Point(t_s=9, span_s=8, active_s=0, state="paused", counters={"turns": 10}),
        Point(t_s=10, span_s=1, counters={"turns": 100}),
        Point(t_s=11, span_s=1, counters={"turns": 1000}),
    ]
    assert parse("turns == 1000").evaluate(RunTotals.of(made, 2.0).window, KNOWN).passed
    assert parse("turns == 1000").evaluate(RunTotals.of(made, 1.5).window, KNOWN).passed
    assert parse("turns == 1110").evaluate(RunTotals.of(made, 1.0).window, KNOWN).passed


def test_points_without_a_throttle_keep_its_counts():
    used = Point(t_s=1, span_s=1, throttles={"a": ThrottlePoint(executions=3, waiting=2)})
    after = Point(t_s=2, span_s=1)
    assert check("throttle.a.executions == 3", used, after).passed
    assert check("throttle.a.waiting == 0", used, after).passed


@given(
    st.floats(1e-9, 5000),
    st.sampled_from(["200ms", "1s", "250us", "17ns", "1m"]),
    st.sampled_from(["<", "<=", ">", ">="]),
)
def test_a_rounded_value_stays_on_its_side_of_the_limit(value, limit, compare):
    one = parse(f"x.p99 {compare} {limit}")
    for near in (value, one.limit, one.limit * (1 + 1e-12), one.limit * (1 - 1e-7)):
        number, unit = one.shown(near).split()
        again = parse(f"x.p99 {compare} {number}{unit}").limit
        assert one.meets(again) == one.meets(near)
        assert again == pytest.approx(near, rel=0.01)


def test_a_value_next_to_the_limit_is_not_shown_as_the_limit():
    one = parse("x.p99 < 200ms")
    assert one.shown(0.1999) == "199.9 ms"
    assert one.shown(0.2) == "200 ms"
    assert one.shown(0.12345) == "123 ms"
    assert parse("a / b < 1%").shown(0.010001) == "1.0001%"


def test_kinds_of_declared_metrics_are_checked_before_the_start():
    texts = [
        "messages_sent.p99 < 1s",
        "message_ttd < 5",
        "messages_sent >= 0",
        "connected.max < 1s",
        "connected.response.p99 < 1s",
        "message_tdd.p99 < 1s",
        "crash < 1",
    ]
    wrong, doubtful = misfits(map(parse, texts), KNOWN)
    assert [line.split("'")[1] for line in wrong] == texts[:5]
    assert [line.split("'")[1] for line in doubtful] == texts[5:]
    assert "did you mean message_ttd" in doubtful[0]
    assert "did you mean crashes" in doubtful[1]


def test_metrics_that_fit_or_may_be_declared_later_are_accepted():
    texts = ["rounds > 5", "message_ttd.response.p99 < 1s", "connected.max < 5", "crashes == 0"]
    assert misfits(map(parse, texts), KNOWN) == ([], [])


def test_a_metric_named_like_a_statistic_gets_a_hint_how_to_write_it():
    known = {"queue.max": Kind.GAUGE}
    ((line,), _) = misfits([parse("queue.max < 5")], known)
    assert "queue.max is itself a gauge; use queue.max.last" in line
    assert misfits([parse("queue.max.last < 5")], known) == ([], [])


@pytest.mark.parametrize(
    ("text", "value", "outlook"),
    [
        ("crashes == 0", 1, Outlook.LOST),
        ("crashes < 3", 3, Outlook.LOST),
        ("users.started == 50", 20, Outlook.PENDING),
        ("messages_sent > 1000", 10, Outlook.PENDING),
        ("messages_sent < 10", 10, Outlook.LOST),
        ("message_ttd.max < 1s", 2.0, Outlook.LOST),
        ("message_ttd.min > 1s", 0.5, Outlook.LOST),
        ("message_ttd.min < 1s", 2.0, Outlook.PENDING),
        ("message_ttd.p99 < 1s", 2.0, Outlook.OPEN),
        ("messages_sent.rate > 10/s", 2.0, Outlook.OPEN),
        ("connected > 10", 2.0, Outlook.OPEN),
        ("users.running >= 10", 2, Outlook.OPEN),
        ("throttle.a.missed < 5", 7, Outlook.LOST),
        ("messages_sent != 7", 7, Outlook.PENDING),
        ("connected.min != 7", 7, Outlook.PENDING),
        ("connected.min == 7", 8, Outlook.PENDING),
        ("connected.min == 7", 6, Outlook.LOST),
        ("connected.max != 7", 7, Outlook.PENDING),
        ("throttle.a.waiting < 5", 7, Outlook.OPEN),
        ("connection_failures / connections < 1%", 0.5, Outlook.OPEN),
    ],
)
def test_the_outlook_of_a_failed_threshold(text, value, outlook):
    assert parse(text).outlook(value, KNOWN) is outlook


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(1, 20),
)
def test_a_lost_threshold_never_recovers_and_a_pending_one_may(counts, compare, limit):
    one = parse(f"messages_sent {compare} {limit}")
    window, lost = Tally(), False
    for second, count in enumerate(counts, 1):
        window.add(Point(t_s=second, span_s=1, counters={"messages_sent": count}))
        result = one.evaluate(window, KNOWN)
        assert not (lost and result.passed)
        if not result.passed:
            outlook = one.outlook(result.value, KNOWN)
            assert outlook in (Outlook.LOST, Outlook.PENDING)
            lost = lost or outlook is Outlook.LOST


def test_the_summary_keeps_thresholds_as_written():
    one = parse("crashes == 0")
    assert to_json(one, check("crashes == 0")) == {
        "expression": "crashes == 0",
        "source": "--expect",
        "passed": False,
        "value": 3,
        "value_text": "3",
        "reason": "crashes must be == 0, got 3 (from --expect)",
    }


def test_kinds_are_read_from_numbers_and_crash_causes_are_not_metrics():
    with registry.Registry().activated():
        metrics.counter("rounds")
        metrics.timer("turn")
        metrics.gauge("level")  # never set, and declared all the same
        declared = registry.current.declared()
    assert known_of([*declared, ("ValueError: no", Kind.CRASH)]) == {
        "level": Kind.GAUGE,
        "rounds": Kind.COUNTER,
        "turn": Kind.TIMER,
    }


# In a scenario


@pytest.fixture
def fresh(monkeypatch):
    """No run has begun, and modules imported by a test are removed after it."""
    monkeypatch.setattr(settings, "in_force", lambda: False)
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def scenario(tmp_path, text):
    file = tmp_path / "expecting_trial.py"
    file.write_text(textwrap.dedent(text) + "\ndef start(user_id): pass\n")
    return load(str(file))


def test_a_scenario_declares_thresholds_at_its_top_level(fresh, tmp_path):
    scenario(
        tmp_path,
        """
        import amoc
        amoc.expect("crashes  ==  0")
        amoc.expect("turn.p99 < 1s")
        amoc.expect("crashes == 0")
        """,
    )
    assert declared.declared() == ["crashes == 0", "turn.p99 < 1s"]


def test_invalid_thresholds_in_a_scenario_are_reported_with_file_and_line(fresh, tmp_path):
    scenario(tmp_path, 'import amoc\namoc.expect("turn.p99 < 1")\namoc.expect("x")\n')
    with pytest.raises(ScenarioError) as caught:
        declared.declared()
    first, second = str(caught.value).splitlines()
    assert first.endswith("(from expecting_trial.py:2)")
    assert second.endswith("(from expecting_trial.py:3)")


def test_thresholds_cannot_be_declared_during_a_run(fresh, monkeypatch):
    monkeypatch.setattr(settings, "in_force", lambda: True)
    with pytest.raises(ScenarioError, match=r"top level, before the run begins \(test_threshold"):
        amoc.expect("crashes == 0")
    assert declared.declared() == []


def test_thresholds_of_an_unloaded_module_are_dropped(fresh, tmp_path):
    loaded = scenario(tmp_path, 'import amoc\namoc.expect("crashes == 0")\n')
    assert declared.declared() == ["crashes == 0"]
    del sys.modules[loaded.module.__name__]
    assert declared.declared() == []


@pytest.mark.parametrize("name", ["GET /item/[id]", "a b", "x > 5", "a=b", "東京", "1st", "a/b"])
def test_a_metric_may_have_any_name(name):
    one = parse(f"{name}.p95 < 300 ms")
    assert (one.measure.name, one.measure.statistic, one.divisor) == (name, "p95", None)
    ratio = parse(f"{name} / {name}.count < 1%")
    assert (ratio.measure.name, ratio.divisor.name, ratio.limit) == (name, name, 0.01)


@pytest.mark.parametrize("name", ["GET /users", "a b", "x > 5", "a=b", "東京", "a.missed", "1"])
def test_a_throttle_may_have_any_name(name):
    one = parse(f"throttle.{name}.executions.rate >= 5/s")
    assert (one.measure.name, one.measure.statistic, one.comparison) == (
        name,
        "executions.rate",
        ">=",
    )
    assert one.divisor is None
    ratio = parse(f"throttle.{name}.missed / throttle.{name}.requests < 1%")
    assert (ratio.measure.name, ratio.measure.statistic) == (name, "missed")
    assert ratio.divisor is not None
    assert (ratio.divisor.name, ratio.divisor.statistic) == (name, "requests")
    assert parse(f"crashes / throttle.{name}.executions < 1%").divisor.name == name


@pytest.mark.parametrize("name", ["GET /users", "a b", "x > 5", "a=b", "東京", "a.adds", "1"])
def test_a_coordinator_may_have_any_name(name):
    one = parse(f"coordinator.{name}.adds.rate >= 5/s")
    assert (one.measure.name, one.measure.statistic) == (f"coordinator.{name}.adds", "rate")
    assert (one.comparison, one.divisor) == (">=", None)
    ratio = parse(f"coordinator.{name}.timeouts / coordinator.{name}.groups < 1%")
    assert ratio.measure.name == f"coordinator.{name}.timeouts"
    assert ratio.divisor is not None
    assert ratio.divisor.name == f"coordinator.{name}.groups"
