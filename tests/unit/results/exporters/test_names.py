"""The names of a point's values in backends that use paths."""

import dataclasses
import re
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.metrics.health_figures import NodePoint, WorkerPoint
from amoc.metrics.histogram import Histogram
from amoc.results.exporters import names
from amoc.results.exporters.names import Causes, Elements, Entry, Naming, element, number
from amoc.results.series import Point, Tally, ThrottlePoint
from tests.unit.results import runs

PAGE = (Path(__file__).parents[4] / "docs/exporters.md").read_text()


def entries(*points):
    """The entries of the last of `points`, by path."""
    naming = Naming()
    found = []
    for point in points:
        found = list(naming.entries(point))
    assert len({one.path for one in found}) == len(found)
    return {one.path: one for one in found}


def point(**fields):
    return Point(**{"t_s": 1.0, "span_s": 1.0, "at": 1e9, **fields})


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("messages_sent", "messages_sent"),
        ("_private-1", "_private-1"),
        ("message_ttd.response", "message_ttd_response"),
        ("OSError: timed out (chat.py:12 in start)", "OSError_timed_out_chat_py_12_in_start"),
        ("größe", "gr_e"),
        ("a b\nc;d", "a_b_c_d"),
        ("…", "_"),
        ("", "_"),
        ("x" * 300, "x" * names.MAX_ELEMENT),
    ],
)
def test_an_element_has_only_characters_every_backend_accepts(name, clean):
    assert element(name) == clean


@given(st.lists(st.text("ab._ é/", max_size=6) | st.text(max_size=200), unique=True))
def test_every_name_gets_a_unique_element_and_keeps_it(some):
    elements = Elements()
    elements.learn(some[: len(some) // 2])
    early = dict(elements)
    elements.learn(some)
    assert {name: elements[name] for name in early} == early
    assert len({elements[name] for name in some}) == len(some)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", elements[name]) for name in some)


def test_a_name_that_needs_no_change_keeps_its_element():
    elements = Elements()
    elements.learn(["a.b", "a_b", "a:b"])
    assert elements["a_b"] == "a_b"
    assert re.fullmatch(r"a_b_[0-9a-f]{6}", elements["a.b"])


def test_the_hash_of_a_name_is_the_same_in_every_run():
    first, second = Elements(), Elements()
    first.learn(["a_b", "a.b"])
    second.learn(["a_b", "a:b", "a.b"])
    assert first["a.b"] == second["a.b"]


def test_counts_have_an_increment_and_a_total():
    found = entries(
        point(counters={"sent": 3}, crashes={"E": 2}, users={"started": 5}),
        point(counters={"sent": 4}, crashes={"E": 1}, users={"started": 9}),
    )
    assert found["counters.sent"] == Entry("counters.sent", 4, 7)
    assert found["crashes"] == Entry("crashes", 1, 3)
    assert found["crashes.causes.E"] == Entry("crashes.causes.E", 1, 3)
    assert found["users.started"] == Entry("users.started", 4, 9)


def test_an_idle_second_has_zeros_and_no_percentiles():
    busy = point(counters={"sent": 3}, timers={"t": Histogram.of([10**6])}, crashes={"E": 2})
    found = entries(busy, point())
    for path, total in {"counters.sent": 3, "timers.t": 1, "crashes.causes.E": 2}.items():
        assert found[path] == Entry(path, 0, total)
    assert not [path for path in found if path.startswith("timers.t.")]


def test_timers_are_exported_in_milliseconds():
    durations = [1_000_000 * ms for ms in range(1, 101)]
    found = entries(point(timers={"t": Histogram.of(durations)}))
    assert found["timers.t"].value == 100
    told = {key: found[f"timers.t.{key}_ms"].value for key in ("p50", "p95", "p99", "mean", "max")}
    assert told == pytest.approx(
        {"p50": 50, "p95": 95, "p99": 99, "mean": 50.5, "max": 100}, rel=0.004
    )
    assert told["max"] == 100


def test_a_gauge_without_a_finite_value_is_left_out():
    found = entries(point(gauges={"a": nan, "b": inf, "c": -1.5}))
    assert [path for path in found if path.startswith("gauges.")] == ["gauges.c"]
    assert found["gauges.c"] == Entry("gauges.c", -1.5)


def test_a_throttle_without_a_limit_has_no_target_rate():
    found = entries(
        point(
            throttles={
                "free": ThrottlePoint(None, 60.0, "run", 5, 4, 1, 2),
                "a.b": ThrottlePoint(600.0, 60.0, "run", 5, 4, 1, 2),
            }
        )
    )
    assert "throttles.free.wanted_rate" not in found
    assert found["throttles.a_b.wanted_rate"].value == 10
    assert found["throttles.a_b.executions"] == Entry("throttles.a_b.executions", 4, 4)
    assert found["throttles.a_b.waiting"] == Entry("throttles.a_b.waiting", 2)


def test_users_removed_and_added_again_count_as_started_once():
    found = entries(
        point(users={"started": 5}), point(users={"started": 4}), point(users={"started": 6})
    )
    assert found["users.started"] == Entry("users.started", 1, 6)


def test_causes_beyond_the_limit_are_grouped_as_other():
    causes = Causes(most=2)
    assert causes.grouped({"a": 1, "b": 5, "c": 3}) == {"b": 5, "c": 3, names.OTHER_CAUSES: 1}
    assert causes.grouped({"a": 7, "c": 1, "d": 2}) == {"c": 1, names.OTHER_CAUSES: 9}


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9)), max_size=8))
def test_no_crash_is_lost_among_the_causes(seconds):
    causes = Causes(most=3)
    grouped = [causes.grouped(crashes) for crashes in seconds]
    assert [sum(one.values()) for one in grouped] == [sum(one.values()) for one in seconds]
    assert len({cause for one in grouped for cause in one}) <= 4


def test_totals_match_the_tally_of_the_run():
    points = runs.points(30, stall=range(10, 12))
    tally, found = Tally.of(points), entries(*points)
    for name, total in tally.counters.items():
        assert found[f"counters.{name}"].total == total
    for name, timer in tally.timers.items():
        assert found[f"timers.{element(name)}"].total == timer.count
    for kind, total in tally.throttles["messages"]._asdict().items():
        assert found[f"throttles.messages.{kind}"].total == total
    assert found["crashes"].total == sum(tally.crashes.values())


@pytest.mark.parametrize(("record", "told"), [(WorkerPoint, names.WORKER), (NodePoint, names.NODE)])
def test_every_value_of_a_process_is_exported(record, told):
    fields = {field.name for field in dataclasses.fields(record)}
    place = {"node", "worker", "incarnation", "name"}
    # A time series does not need running totals.
    so_far = {"users_peak", "cpu_s", "max_rss_bytes", "loop_lag_p99_s"}
    assert fields - set(told) <= place | so_far
    assert set(told) <= fields


def test_the_docs_list_exactly_the_paths():
    everything = dataclasses.replace(
        runs.points(20)[-1], throttles={"messages": ThrottlePoint(60.0, 60.0, "run", 5, 4, 1, 2)}
    )
    generic = {
        r"(counters|gauges|timers|throttles)\.\w+": r"\1.NAME",
        r"(crashes\.causes)\.\w+": r"\1.CAUSE",
        r"workers\.\w+\.\d+": "workers.NODE.WORKER",
        r"nodes\.\w+": "nodes.NODE",
    }
    real = set()
    for entry in Naming().entries(everything):
        path = entry.path
        for pattern, name in generic.items():
            path = re.sub(f"^{pattern}", name, path)
        real.add((path, "gauge" if entry.total is None else "counted"))
    section = PAGE.split("## Names in Graphite and statsd")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z][\w.]*)` \| (gauge|counted) \|", section, re.MULTILINE)
    assert set(rows) == real
    assert len(rows) == len(real)


@given(st.integers(-(10**15), 10**15) | st.floats(-1e300, 1e300))
def test_numbers_are_written_as_plain_decimals(value):
    text = number(value)
    assert re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text)
    assert float(text) == pytest.approx(value, rel=1e-9)
    assert not isinstance(value, int) or int(text) == value
