"""The verdict: outcome, exit code and reasons; and when a run is aborted."""

from __future__ import annotations

import pytest

from amoc.base.errors import ExitCode
from amoc.metrics.area import Kind
from amoc.results.series import Point, Tally
from amoc.results.thresholds.abort import AbortOnFail
from amoc.results.thresholds.threshold import Result, parse
from amoc.results.verdict import MAX_DEATHS, judge

MET = Result(True, 1.0, "1 s", "")
UNMET = Result(False, 3.0, "3 s", "turn.p99 must be < 2s, got 3 s (from --expect)")
SLOW = "worker 1 was late"


@pytest.mark.parametrize(
    ("ended", "results", "limited", "limited_ok", "verdict", "code"),
    [
        ("ok", [], False, False, "no criteria", ExitCode.OK),
        ("ok", [MET], False, False, "ok", ExitCode.OK),
        ("stopped", [MET], False, False, "stopped", ExitCode.OK),
        ("ok", [MET, UNMET], False, False, "failed thresholds", ExitCode.THRESHOLD),
        ("stopped", [UNMET], False, False, "failed thresholds", ExitCode.THRESHOLD),
        ("ok", [MET], True, False, "generator-limited", ExitCode.GENERATOR_LIMITED),
        ("ok", [UNMET], True, False, "generator-limited", ExitCode.GENERATOR_LIMITED),
        ("ok", [MET], True, True, "ok", ExitCode.OK),
        ("stopped", [], True, True, "stopped", ExitCode.OK),
        ("ok", [UNMET], True, True, "failed thresholds", ExitCode.THRESHOLD),
        ("failed", [UNMET], True, False, "failed", ExitCode.NODE_LOST),
        ("interrupted", [UNMET], True, False, "interrupted", ExitCode.NODE_LOST),
    ],
)
def test_verdicts_follow_their_order_of_precedence(
    ended, results, limited, limited_ok, verdict, code
):
    failure = {"failure": "a node was lost", "code": ExitCode.NODE_LOST}
    judged = judge(ended, results, limited, limited_ok, **failure if code == 8 else {})
    assert (judged.verdict, judged.exit_code) == (verdict, code)
    assert bool(judged.reasons) == (verdict not in ("ok", "no criteria", "stopped") or limited)


def test_a_limited_run_lists_the_bottleneck_before_failed_thresholds():
    assert judge("ok", [MET, UNMET], True, False, findings=[SLOW]).reasons == (SLOW, UNMET.reason)
    assert judge("ok", [UNMET], True, True, findings=[SLOW]).reasons == (UNMET.reason, SLOW)
    assert judge("ok", [UNMET], False, False, findings=[SLOW]).reasons == (UNMET.reason,)


@pytest.mark.parametrize(("ended", "verdict"), [("ok", "no criteria"), ("failed", "failed")])
def test_worker_deaths_are_among_the_reasons_of_any_verdict(ended, verdict):
    killed = {"worker 0 was killed by SIGKILL": 1, "worker 1 exited with 3": 2}
    told = ("worker 1 exited with 3, 2 times", "worker 0 was killed by SIGKILL")
    judged = judge(ended, [], False, False, deaths=killed)
    assert (judged.verdict, judged.reasons) == (verdict, told)
    many = {f"worker {number} exited with 1": 1 for number in range(MAX_DEATHS + 3)}
    assert judge("ok", [], False, False, deaths=many).reasons[MAX_DEATHS:] == (
        "workers died 3 more times",
    )


def test_a_run_in_which_nothing_succeeded_fails_with_and_without_thresholds():
    futile = "no iteration succeeded: 7 iterations crashed"
    for results in ([], [MET]):
        judged = judge("ok", results, False, False, futile=futile)
        assert (judged.verdict, judged.exit_code) == ("everything failed", ExitCode.THRESHOLD)
        assert judged.reasons == (futile,)
    assert judge("ok", [UNMET], False, False, futile=futile).reasons == (futile, UNMET.reason)
    assert judge("ok", [], True, False, futile=futile).verdict == "generator-limited"


def test_a_broken_run_names_its_cause_and_evaluates_no_thresholds():
    judged = judge(
        "failed", [UNMET], False, False, failure="the node died", code=ExitCode.NODE_LOST
    )
    assert judged.reasons == ("the node died",)
    assert judge("interrupted", [], False, False).exit_code is ExitCode.INTERRUPTED
    assert judge("failed", [], False, False).exit_code is ExitCode.INTERNAL


def test_an_aborted_run_has_failed_however_it_ended():
    verdict = judge("ok", [], False, False, aborted="the run was aborted after 7 s: …")
    assert verdict.verdict == "failed thresholds"
    assert verdict.exit_code is ExitCode.THRESHOLD
    assert verdict.reasons == ("the run was aborted after 7 s: …",)


def test_the_threshold_that_aborted_a_run_is_not_repeated_in_the_reasons():
    aborted = "the run was aborted after 7 s: x.p99 must be < 1s, got 2 s (from --expect), for 5 s"
    results = [
        Result(False, 2.1, "2.1 s", f"{one} must be < 1s, got 2.1 s (from --expect)")
        for one in ("x.p99", "y.p99")
    ]
    assert judge("ok", results, False, False, aborted=aborted).reasons == (
        aborted,
        "y.p99 must be < 1s, got 2.1 s (from --expect)",
    )


# The watchdog

KNOWN = {"turns": Kind.COUNTER, "turn": Kind.TIMER, "level": Kind.GAUGE}


def look(dog, window, at_s, *texts, **fields):
    window.add(Point(t_s=at_s, span_s=1.0, **fields))
    results = [(one, one.evaluate(window, KNOWN)) for one in map(parse, texts)]
    return dog.reasons(at_s, results, KNOWN)


def test_a_threshold_that_cannot_recover_aborts_the_run_at_once():
    dog, window = AbortOnFail(30.0), Tally()
    assert look(dog, window, 1.0, "crashes == 0") == []
    (why,) = look(dog, window, 2.0, "crashes == 0", crashes={"ValueError": 1})
    assert why == "crashes must be == 0, got 1 (from --expect)"


def test_a_threshold_that_may_recover_gets_the_grace_time():
    dog, window = AbortOnFail(3.0), Tally()
    seen = [
        look(dog, window, float(at), "level < 5", gauges={"level": level})
        for at, level in enumerate([9, 9, 9, 1, 9, 9, 9, 9, 9])
    ]
    assert seen[:7] == [[]] * 7  # it was met at the fourth check
    assert seen[7] == ["level must be < 5, got 9 (from --expect), for 3 s"]
    assert seen[8] == ["level must be < 5, got 9 (from --expect), for 4 s"]


def test_without_a_grace_time_one_failed_check_aborts():
    assert look(AbortOnFail(0.0), Tally(), 1.0, "level < 5", gauges={"level": 9})


@pytest.mark.parametrize("text", ["turns > 100", "users.started >= 10", "turns == 100"])
def test_a_threshold_still_to_be_reached_does_not_abort(text):
    dog, window = AbortOnFail(3.0), Tally()
    for second in range(50):
        assert look(dog, window, float(second), text, counters={"turns": 1}) == []


def test_a_threshold_without_samples_neither_aborts_nor_uses_its_grace_time():
    dog, window = AbortOnFail(3.0), Tally()
    for second in range(50):
        assert look(dog, window, float(second), "turn.p99 < 1s", "unheard.p99 < 1s") == []
