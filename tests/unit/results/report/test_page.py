"""The report page: its content, its escaping, and its size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from dataclasses import replace
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ResourceError
from amoc.metrics.health_limits import Limits
from amoc.metrics.histogram import Histogram
from amoc.metrics.workers_together import Together
from amoc.results.report import generator_charts as own
from amoc.results.report import render, shell, tables, traces, write
from amoc.results.report.charted import MAX_TIMERS
from amoc.results.report.downsample import MAX_ROWS, downsample
from amoc.results.run_totals import RunTotals
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point, ThrottlePoint
from amoc.results.summary import rebuild, window_of
from tests.unit.results import runs

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\u2028&{{ 7 * 7 }}'
VERDICTS = (
    "ok",
    "stopped",
    "failed thresholds",
    "generator-limited",
    "interrupted",
    "failed",
    "killed",
    "running",
)


def record(points: list[Point], journal: list[dict[str, Any]] | None = None, **run) -> SavedRun:
    journal = runs.journal() if journal is None else journal
    summary = rebuild("a-run", "amoc-runs/a-run", journal, points, running=False)
    summary["run"].update({"verdict": "ok", "exit_code": 0, "reasons": [], **run})
    return SavedRun(Path("amoc-runs/a-run"), summary, points, journal, True)


class Page(HTMLParser):
    """A page taken apart.

    Attributes:
        elements: Each with its attributes, in order.
        texts: Each with the element that began last before it.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements:
            self.texts.append((self.elements[-1][0], data))

    @property
    def said(self) -> str:
        """The visible text, with a space between elements."""
        hidden = ("script", "style")
        return " ".join(" ".join(text for tag, text in self.texts if tag not in hidden).split())

    @cached_property
    def data(self) -> dict[str, Any]:
        return next(json.loads(text) for tag, text in self.texts if text.startswith('{"began_at'))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for one, attributes in self.elements if one == tag]


def values(found: Page, chart: str, label: str) -> list[float | None]:
    lines = found.data["charts"][chart]["lines"]
    return next(line["values"] for line in lines if line["label"] == label)


def test_the_page_shows_the_values_of_the_summary():
    one = record(runs.points(60), comment="before the change", seed=42)
    found = Page(render(one))
    timer = one.summary["timers"]["message_ttd"]
    assert "before the change" in found.said
    assert f"{one.summary['counters']['messages_sent']:,}" in found.said
    assert f"{timer['p99_s'] * 1e3:.3g} ms" in found.said
    assert "OSError: timed out (chat.py:12 in start)" in found.said
    assert 'File "chat.py", line 12, in start' in found.said
    assert "half the rate" in found.said
    assert "amoc replay amoc-runs/a-run" in found.said


def test_the_head_names_stages_arrival_rate_and_targets():
    load = {"stages": "30s:100", "arrival_rate": "1m:200/s", "targets": ["h:5222", "http://h"]}
    said = Page(render(record(runs.points(3), **load))).said
    assert "stages 30s:100 arrival rate 1m:200/s target h:5222, http://h" in said


@pytest.mark.parametrize("verdict", VERDICTS)
def test_each_verdict_is_the_title_and_has_a_sentence_and_its_reasons(verdict):
    told = {"scenario": "/srv/scenarios/chat.py", "reasons": ["the lag was 80 ms"]}
    found = Page(render(record(runs.points(3), verdict=verdict, **told)))
    heading = next(text for tag, text in found.texts if tag == "title")
    assert heading == f"{verdict}: chat.py – amoc"
    assert re.search(rf"{verdict} chat.py [^.]+\. .*the lag was 80 ms", found.said)


def test_an_aborted_run_is_not_shown_as_completed():
    why = "the run was aborted after 6.9 s of 1 min (--abort-on-fail): crashes must be == 0"
    said = Page(render(record(runs.points(7), verdict="failed thresholds", reasons=[why]))).said
    assert "The run completed" not in said
    assert f"The run was aborted because a threshold failed. {why}" in said
    said = Page(render(record(runs.points(7), verdict="failed thresholds", reasons=["no"]))).said
    assert "The run completed" in said


def test_notes_are_marked_as_not_affecting_the_verdict_and_have_no_box_if_empty():
    note = "sends let 147 a second through, not 400: there were too few users"
    said = Page(render(record(runs.points(3), notes=[note]))).said
    assert f"These notes do not affect the verdict: {note}" in said
    assert "does not change the verdict" not in Page(render(record(runs.points(3)))).said
    said = Page(render(record(runs.points(3), notes=[f"note {n}" for n in range(25)]))).said
    assert "note 19 And 5 more notes." in said
    assert "note 20" not in said


@pytest.mark.parametrize("verdict", ["killed", "running"])
def test_the_verdict_sentence_does_not_repeat_the_reason(verdict):
    journal = [one for one in runs.journal(5) if one["kind"] != "end"]
    summary = rebuild("a-run", "a-run", journal, runs.points(5), running=verdict == "running")
    assert summary["run"]["verdict"] == verdict
    said = Page(render(SavedRun(Path("a-run"), summary, runs.points(5), journal, False))).said
    assert said.count("the run was killed") + said.count("the run is still running") == 1
    assert "The run" not in said.split(summary["run"]["reasons"][0])[0]


def test_thresholds_show_outcome_value_and_source():
    one = record(runs.points(3))
    one.summary["thresholds"] = [
        {
            "expression": "crashes == 0",
            "source": "--expect",
            "passed": False,
            "value": 3.0,
            "value_text": "3",
            "reason": "must be 0",
        },
        {"expression": "x.p99 < 1s", "source": "chat.py", "passed": True, "value": 0.5,
         "value_text": "500 ms", "reason": ""},
    ]  # fmt: skip
    found = Page(render(one))
    assert "failed crashes == 0 measured 3 (from --expect)" in found.said
    assert "passed x.p99 < 1s measured 500 ms (from chat.py)" in found.said


def test_health_findings_show_place_time_and_advice():
    one = record(runs.points(20), verdict="generator-limited")
    one.summary["health"] = {
        "limited": True,
        "findings": [
            {
                "where": "worker 1 of node0",
                "what": "loop_lag",
                "text": "worker 1 of node0: loop lag was 80 ms",
                "from_s": 7.0,
                "to_s": 75.0,
                "advice": "use more workers",
            }
        ],
    }
    one.summary["blocked"] = [
        {
            "place": "chat.py:31 in encode",
            "times": 3,
            "total_s": 1.4,
            "longest_s": 0.7,
            "trace": "in b()",
        }
    ]
    said = Page(render(one)).said
    assert "worker 1 of node0 loop lag was 80 ms 0:07 to 1:15 use more workers" in said
    assert "3 times chat.py:31 in encode: 1.4 s in total, 700 ms at most" in said
    assert "in b()" in said


def test_a_threshold_without_a_sample_is_marked_as_such():
    one = record(runs.points(3))
    one.summary["thresholds"] = [
        {"expression": "x.p99 < 1s", "source": "chat.py", "passed": False, "value": None,
         "value_text": "", "reason": "x.p99 must be < 1s, but x has no sample (from chat.py)"},
    ]  # fmt: skip
    said = Page(render(one)).said
    assert "failed x.p99 < 1s x.p99 must be < 1s, but x has no sample (from chat.py)" in said


def test_untrusted_text_cannot_create_elements_or_escape_the_data():
    points = [
        replace(
            point,
            crashes={HOSTILE: 1},
            gauges={HOSTILE: 1.0},
            counters={HOSTILE: 1},
            throttles={HOSTILE: point.throttles["messages"]},
            timers={HOSTILE: point.timers["message_ttd"]},
            late=[HOSTILE] if point.t_s == 4 else [],
        )
        for point in runs.points(6)
    ]
    journal = [
        {"t_s": 1.0, "at": HOSTILE, "kind": "command", "name": HOSTILE, "comment": HOSTILE,
         "outcome": HOSTILE, "answer": HOSTILE},
        {"t_s": 2.0, "at": "", "kind": "event", "level": "error", "text": HOSTILE},
        {"t_s": 3.0, "at": "", "kind": "crash", "cause": HOSTILE, "user_id": HOSTILE,
         "traceback": HOSTILE},
        {"t_s": 4.0, "at": "", "kind": "end", "verdict": HOSTILE, "message": HOSTILE},
    ]  # fmt: skip
    one = record(
        points, journal, verdict=HOSTILE, reasons=[HOSTILE], scenario=HOSTILE, comment=HOSTILE,
        id=HOSTILE, seed=HOSTILE, started_at=HOSTILE,
    )  # fmt: skip
    text = {"expression": HOSTILE, "source": HOSTILE, "value_text": HOSTILE, "reason": HOSTILE}
    one.summary["thresholds"] = [{**text, "passed": False, "value": 0}]
    one.summary["health"]["findings"] = [
        dict.fromkeys(("where", "what", "text", "advice"), HOSTILE) | {"from_s": 0, "to_s": 1}
    ]
    one.summary["blocked"] = [{"place": HOSTILE, "trace": HOSTILE}]
    one.summary["settings"] = [
        dict.fromkeys(("name", "value", "source", "description", "module"), HOSTILE)
    ]
    one.summary["versions"] = {HOSTILE: HOSTILE}
    plain = Page(render(record(runs.points(6))))
    hostile = Page(render(replace(one, directory=Path(HOSTILE.replace("/", "")))))
    assert len(hostile.attributes("script")) == len(plain.attributes("script")) == 2
    assert hostile.attributes("img") == []
    assert not [name for _, found in hostile.elements for name in found if name.startswith("on")]
    assert hostile.data["annotations"][1]["text"].startswith("</script><script>alert(1)")
    assert "{{ 7 * 7 }}" in hostile.said
    assert "49" not in hostile.said


def test_names_of_ten_thousand_characters_are_cut():
    long = "n" * 10_000
    points = [
        replace(
            point,
            counters={f"{long}{number}": 1 for number in range(30)},
            crashes={long: 1},
            timers={long: point.timers["message_ttd"], f"{long}.response": Histogram.of([5])},
        )
        for point in runs.points(5)
    ]
    html = render(record(points, comment=long, scenario=long, reasons=[long]))
    assert len(html) < 400_000
    assert not re.search("n{2000}", html)


def test_the_content_security_policy_allows_only_the_pages_own_hashes():
    html = render(record(runs.points(3)))
    found = Page(html)
    policy = next(
        one["content"]
        for one in found.attributes("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)[1]
    script = re.search("<script>(.*?)</script>", html, re.DOTALL)[1]
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not [one for _, one in found.elements if "style" in one]


def test_the_page_has_no_external_references():
    found = Page(render(record(runs.points(3))))
    assert not [one for _, one in found.elements if "src" in one]
    hrefs = [one["href"] for _, one in found.elements if "href" in one]
    assert [one for one in hrefs if not one.startswith(("#", "data:,"))] == []
    targets = {one.get("id") for _, one in found.elements}
    assert {one[1:] for one in hrefs if one.startswith("#")} <= targets


def test_the_page_includes_the_licence_of_its_chart_library():
    html = render(record([]))
    assert "Copyright (c) 2022 Leon Sorokin" in html
    assert "The MIT License (MIT)" in html


def test_a_run_without_a_point_is_a_page_without_charts():
    found = Page(render(record([], [], verdict="killed")))
    assert found.data["charts"] == {}
    assert found.data["times"] == []
    assert "No data." in found.said


def test_a_run_of_one_point_has_charts_of_one_value():
    found = Page(render(record(runs.points(1))))
    assert found.data["times"] == [1.0]
    assert values(found, "users", "running") == [10]


def test_a_pause_is_a_gap_in_rates_and_a_band():
    points = [
        replace(point, state="paused", counters={}, timers={}) if 11 <= point.t_s <= 14 else point
        for point in runs.points(20)
    ]
    found = Page(render(record(points)))
    assert values(found, "counters0", "messages_sent")[9:15].count(None) == 4
    assert values(found, "timer00", "p99")[9:15].count(None) == 4
    assert values(found, "users", "running")[10:14] == [50] * 4
    assert found.data["bands"] == [
        {"kind": "paused", "from_s": 10.0, "to_s": 14.0, "label": "paused"}
    ]


def test_a_late_node_is_a_gap_a_band_and_an_event():
    points = [
        replace(point, late=["node1"]) if 6 <= point.t_s <= 8 else point
        for point in runs.points(12)
    ]
    found = Page(render(record(points)))
    assert values(found, "users", "running")[5:8] == [None] * 3
    assert found.data["bands"][0]["label"] == "node1 sent no samples"
    assert "node1 sent no samples for 3 s" in found.said


def test_seconds_missing_from_the_series_are_a_gap():
    points = [point for point in runs.points(30) if not 10 < point.t_s <= 20]
    found = Page(render(record(points)))
    sent = values(found, "counters0", "messages_sent")
    assert found.data["times"][10] == 20.0
    assert sent[10] is None
    assert None not in sent[:10] + sent[11:]


def test_commands_and_lost_workers_are_numbered_in_charts_and_in_the_table():
    found = Page(render(record(runs.points(60))))
    first, second = found.data["annotations"]
    assert [(one["number"], one["t"]) for one in (first, second)] == [(1, 30.5), (2, 40.0)]
    assert first["text"] == "half the rate (update_settings: message_rate is 600)"
    assert second["serious"]
    assert "1 0:30 02:00:00 command half the rate – update_settings" in found.said
    assert "2 0:40 02:00:00 event worker 1 was <b>slow</b>" in found.said


def test_key_metrics_show_their_names_above_their_values():
    said = Page(render(record(runs.points(60)))).said
    assert "Peak users 50 50 started, 0 finished Crashed iterations 3 1 cause" in said


def test_each_counter_has_a_distinct_colour():
    found = Page(render(record(runs.points(60))))
    colours = {one["label"]: one["colour"] for one in found.data["charts"]["counters0"]["lines"]}
    assert colours == {"messages_received": 1, "messages_sent": 2}


def test_with_many_workers_the_worst_ones_have_lines():
    points = runs.points(10)
    some = [replace(points[0].workers[0], worker=n, lag_p99_s=n / 100) for n in range(12)]
    points = [replace(one, workers=some) for one in points]
    points[3] = replace(points[3], workers=some[:11])  # a worker that was absent still counts
    found = Page(render(record(points)))
    labels = [line["label"] for line in found.data["charts"]["lag"]["lines"]]
    assert labels[:2] == ["median of all workers", "maximum of all workers"]
    assert labels[2:-1] == [f"worker {n} of node0" for n in range(8, 12)]


def test_jointly_reported_workers_have_lines_for_mean_and_maximum():
    points, few = runs.points(10), runs.points(10)[0].workers[0]
    told = [
        Together(f"node{n}", 32, replace(few, cpu=0.1 * n), replace(few, cpu=0.3 * n))
        for n in (1, 2)
    ]
    some = [replace(few, worker=n, cpu=n / 100) for n in range(12)]
    points = [replace(one, workers=some[n : n + 3], together=told) for n, one in enumerate(points)]
    found = Page(render(record(points)))
    mean, highest, *named = found.data["charts"]["cpu"]["lines"]
    assert (mean["label"], {*mean["values"]}) == ("mean of all workers", {0.15})
    assert (highest["label"], {*highest["values"]}) == ("maximum of all workers", {0.6})
    assert named[0]["values"].count(None) == 7


def test_the_warm_up_is_shaded_and_excluded_from_the_values():
    points = runs.points(60, stall=range(1, 6))
    one = record(points, warmup_s=10.0)
    one.summary["window"] = window_of(RunTotals.of(points, 10.0).window)
    found = Page(render(one))
    assert found.data["bands"][0] == {
        "kind": "warmup", "from_s": 0.0, "to_s": 10.0, "label": "warm-up"
    }  # fmt: skip
    longest = max(found.data["spectra"]["timer0spectrum"]["lines"][0]["values"])
    assert longest < 1.0 < one.summary["timers"]["message_ttd"]["max_s"]
    steady = one.summary["window"]["timers"]["message_ttd"]
    assert steady["count"] < one.summary["timers"]["message_ttd"]["count"]
    assert f"message_ttd {steady['count']:,}" in found.said


def test_kinds_show_all_their_users_and_iterations_after_the_warm_up():
    points = [
        replace(
            one,
            counters={
                **one.counters,
                "kind.Buyer.users": int(one.t_s == 1),
                "kind.Buyer.iterations": 2,
            },
            crashes={"Buyer: OSError: timed out (chat.py:12 in start)": 1},
        )
        for one in runs.points(20)
    ]
    one = record(points)
    one.summary["window"] = window_of(RunTotals.of(points, 10.0).window)
    found = Page(render(one))
    assert (
        "Kinds of users kind users started iterations per second crashes Buyer 1 20" in found.said
    )
    assert re.search(r"Buyer 1 20 [0-9.]+ 20\b", found.said)
    counted = found.said.partition(" counter total per second ")[2].partition("Gauges")[0]
    assert counted
    assert "kind." not in counted
    assert "Kinds of users" not in Page(render(record(runs.points(20)))).said


def test_a_run_that_ended_during_its_warm_up_shows_the_warm_up():
    points = runs.points(20)
    one = record(points, warmup_s=60.0)
    one.summary["window"] = window_of(RunTotals.of(points, 60.0).window)
    one.summary["run"]["warmup_s"] = 60.0
    found = Page(render(one))
    assert "The run ended during its warm-up of 60 s, so these are metrics of it." in found.said
    assert "Metrics cover" not in found.said
    assert f"message_ttd {one.summary['timers']['message_ttd']['count']:,}" in found.said
    assert max(found.data["spectra"]["timer0spectrum"]["lines"][0]["values"]) > 0


def test_service_and_response_time_share_a_scale_and_are_adjacent():
    found = Page(render(record(runs.points(10))))
    charts = found.data["charts"]
    assert charts["timer00"]["title"] == "message_ttd service time"
    assert charts["timer01"]["title"] == "message_ttd response time"
    assert charts["timer00"]["family"] == charts["timer01"]["family"] == "timer0"
    labels = [line["label"] for line in found.data["spectra"]["timer0spectrum"]["lines"]]
    assert labels == ["service time", "response time"]
    figures = [one["data-chart"] for one in found.attributes("figure") if "data-chart" in one]
    assert figures.index("timer01") == figures.index("timer00") + 1


def test_each_chart_has_a_text_alternative():
    found = Page(render(record(runs.points(30))))
    drawn = [one for one in found.attributes("figure") if "data-chart" in one]
    words = [one for one in found.attributes("table") if one.get("class") == "words"]
    assert len(words) == len([one for one in drawn if one["data-chart"] in found.data["charts"]])


def test_busy_metrics_come_first_and_the_others_are_counted():
    points = [
        replace(
            point,
            counters={f"c{number}": number for number in range(1, 101)},
            timers={
                f"t{number}": Histogram({2000: number}, 10**6) for number in range(1, 41)
            } | {"loop_lag": Histogram({2000: 999}, 10**6)},
        )
        for point in runs.points(3)
    ]  # fmt: skip
    found = Page(render(record(points)))
    charts = found.data["charts"]
    assert [line["label"] for line in charts["counters0"]["lines"][:2]] == ["c100", "c99"]
    assert charts["timer00"]["title"] == "t40"
    assert charts["generator0"]["title"] == "loop_lag"
    assert f"timer{MAX_TIMERS}0" not in charts
    assert f"{40 - MAX_TIMERS} less busy timers are not charted" in found.said
    assert "68 less busy counters are not charted" in found.said
    assert "80 more rows" in found.said
    assert " c1 3 1 " in found.said, "tables have all of them"


@pytest.mark.once
@pytest.mark.slow
def test_a_long_run_with_very_many_metrics_stays_below_three_megabytes():
    some = [Histogram.of(range(at * 10**4, 5 * 10**7, 4 * 10**6)) for at in range(1, 50)]
    (base,) = runs.points(1)
    seconds = [
        replace(
            base,
            counters={f"requests_{at:04}": 1000 - at + number for at in range(1000)},
            timers={f"operation_{at:03}": some[(number + at) % 49] for at in range(300)}
            | {f"operation_{at:03}.response": some[(number * at) % 49] for at in range(300)},
            workers=[
                replace(base.workers[0], worker=worker, cpu=((worker + 1) * number % 97) / 97)
                for worker in range(64)
            ],
        )
        for number in range(49)
    ]
    # The number of rows of a run of any length: more seconds would only make them longer.
    points = [replace(seconds[t % 49], t_s=float(t)) for t in range(1, 2 * MAX_ROWS)]
    # Summing hours of 600 timers takes a minute; a minute of data shows which are busiest.
    summary = rebuild("a-run", "a-run", [], points[:60], running=False)
    html = render(SavedRun(Path("a-run"), summary, points, [], complete=True))
    assert len(html.encode()) < 3_000_000
    found = Page(html)
    assert len(found.data["times"]) == MAX_ROWS
    lines = [line for chart in found.data["charts"].values() for line in chart["lines"]]
    assert all(len(line["values"]) == len(found.data["times"]) for line in lines)
    assert len(found.data["charts"]["lag"]["lines"]) == own.MAX_WORKERS + 1


def test_a_page_is_private_to_its_owner_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o644)
    write(record(runs.points(3)), path)
    assert path.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    with pytest.raises(
        ResourceError, match=r"^report .*/no/report.html cannot be written: No such"
    ):
        write(record([]), tmp_path / "no" / "report.html")


def test_an_old_page_survives_a_failed_write(tmp_path):
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(ResourceError, match="cannot be written"):
        write(record([]), path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_embedded_data_cannot_end_its_element_and_is_still_json():
    text = shell.json_text({"a": [HOSTILE, "\ud800", "\x00"], "b": None})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text)["a"][0] == HOSTILE


def test_a_very_long_traceback_keeps_both_its_ends():
    long = "first\n" + "x" * 100_000 + "\nlast"
    (cause,) = tables.causes([{"cause": "E", "count": 1, "user_id": 1, "traceback": long}])
    assert cause.traceback.startswith("first")
    assert cause.traceback.endswith("last")
    assert "characters left out" in cause.traceback
    assert len(cause.traceback) < 10_000


OURS = """\
  File "/opt/lib/python3.11/site-packages/amoc/users/user.py", line 129, in run
    crowd.run_once(user_id)
"""
THEIRS = """\
  File "/home/amoc/user/shop.py", line 35, in start
    amoc.sleep(seconds)
    ^^^^^^^^^^^^^^^^^^^
"""
HEAD = "Traceback (most recent call last):\n"


def test_frames_of_amoc_above_the_scenario_are_left_out_and_counted():
    inner = OURS.replace("user.py", "waiting.py")
    found = traces.shortened(HEAD + OURS + OURS + THEIRS + inner + "ValueError: no\n")
    hint = "  … 2 frames of amoc …\n"
    assert found == HEAD + hint + THEIRS + inner + "ValueError: no\n"
    assert traces.shortened(OURS + THEIRS) == "  … 1 frame of amoc …\n" + THEIRS


def test_a_stack_entirely_within_amoc_is_unchanged():
    no_file = THEIRS.replace("shop.py", "amoc/" + 300 * "x" + ".py")
    for trace in (HEAD + OURS + "ValueError: no\n", OURS, THEIRS, no_file, "", "no traceback"):
        assert traces.shortened(trace) == trace


def test_each_of_several_stacks_is_shortened_to_the_scenario():
    between = "KeyError: 1\n\nDuring handling of the above exception, another occurred:\n\n"
    found = traces.shortened(HEAD + OURS + THEIRS + between + HEAD + OURS + THEIRS + "E\n")
    assert found.count("… 1 frame of amoc …") == 2
    assert "user.py" not in found


def test_a_throttle_is_charted_with_target_rate_and_waiting_users():
    found = Page(render(record(runs.points(5))))
    assert values(found, "throttle0flow", "target rate") == [100] * 5
    assert values(found, "throttle0wait", "waiting") == [20] * 5
    assert [row.t_s for row in downsample(runs.points(5))] == found.data["times"]


@pytest.mark.parametrize(
    ("waiting", "rate", "charted"), [(0, 100.0, False), (3, 100.0, True), (0, 50.0, True)]
)
def test_the_start_rate_is_charted_only_if_users_waited_or_it_changed(waiting, rate, charted):
    own = ThrottlePoint(rate=100.0, interval_s=1.0, mode="run", requests=5, executions=5)
    points = [replace(point, throttles={"user_rate": own}) for point in runs.points(5)]
    changed = own._replace(waiting=waiting, rate=rate)
    points[3] = replace(points[3], throttles={"user_rate": changed})
    found = Page(render(record(points)))
    assert ("throttle0flow" in found.data["charts"]) is charted
    assert "user_rate" in found.said, "its values are still in the table"


def test_cpu_waits_are_shares_and_a_worker_that_released_no_one_has_no_lateness():
    (point,) = runs.points(1)
    late = [0.004, 0.0]
    half = [
        replace(worker, gc_s=0.1, cpu_wait_s=0.2, late_p99_s=late[worker.worker])
        for worker in point.workers
    ]
    found = Page(render(record([replace(point, t_s=2.0, span_s=2.0, workers=half)])))
    assert values(found, "gc", "worker 0 of node0") == [0.05]
    assert values(found, "cpu_wait", "worker 0 of node0") == [0.1]
    assert values(found, "late", "worker 0 of node0") == [0.004]
    assert values(found, "late", "worker 1 of node0") == [None]


def test_charts_of_amoc_itself_show_their_limits():
    found = Page(render(record(runs.points(5))))
    limits = Limits()
    assert found.data["charts"]["lag"]["limits"] == [
        {"label": "limit", "value": limits.lag_s},
        {"label": "limit of the controller", "value": limits.controller_lag_s},
    ]
    assert "Limit 100 ms, for the controller 100 ms." in found.said
    assert "Limit 90 %, for the controller 95 %." in found.said
    assert found.data["charts"]["cpu_wait"]["limits"] == [{"label": "limit", "value": 0.8}]
    assert found.data["charts"]["rss"]["limits"] == []


def test_settings_of_the_scenario_and_explicit_ones_come_first():
    given = [
        ("workers", "default", "amoc.scenario.builtin_settings"),
        ("user_rate", "--set", "amoc.scenario.builtin_settings"),
    ]
    given += [("port", "default", "shop"), ("host", "AMOC_HOST", "shop")]
    table = tables.settings(
        [dict(zip(("name", "source", "module"), one, strict=True)) for one in given]
    )
    assert [row[0] for row in table.rows] == ["host", "port", "user_rate", "workers"]
