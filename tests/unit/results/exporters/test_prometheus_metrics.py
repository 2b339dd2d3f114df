"""The metrics of a run in Prometheus format."""

import re
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from amoc.metrics.histogram import Histogram
from amoc.results.exporters import RunInfo
from amoc.results.exporters.buckets import BOUNDS_S
from amoc.results.exporters.prometheus_metrics import Families, cumulative
from amoc.results.series import Point, Tally, ThrottlePoint
from tests.unit.results import runs

RUN = RunInfo("20261125T020000-1a2b", "chat")
PAGE = (Path(__file__).parents[4] / "docs/exporters.md").read_text()
FORMATS = {
    "text": (generate_latest, parse),
    "openmetrics": (generate_openmetrics, parse_openmetrics),
}


def point(**fields):
    return Point(**{"t_s": 1.0, "span_s": 1.0, "at": 1e9, **fields})


def seen(points, how="text"):
    """The samples of a scrape, by name and labels, as prometheus_client's parser reads them."""
    families = Families(RUN)
    tally = Tally()
    for one in points:
        tally.add(one)
        families.take(one, tally)
    registry = CollectorRegistry()
    registry.register(families)
    write, read = FORMATS[how]
    found = {}
    for family in read(write(registry).decode()):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


@pytest.mark.parametrize("how", FORMATS)
def test_a_scrape_matches_the_totals_of_the_run(how):
    points = runs.points(40)
    tally, found = Tally.of(points), seen(points, how)
    for name, total in tally.counters.items():
        assert found[f"amoc_{name}_total",] == total
    timer = tally.timers["message_ttd"]
    assert found["amoc_message_ttd_seconds_count",] == timer.count
    assert found["amoc_message_ttd_seconds_sum",] == pytest.approx(timer.mean_s * timer.count)
    quantile = ("amoc_message_ttd_response_seconds_quantile", ("quantile", "0.99"))
    last = points[-1].timers["message_ttd.response"]
    assert found[quantile] == pytest.approx(last.quantiles_s(0.99)[0])
    assert found["amoc_users", ("state", "running")] == 50
    assert found["amoc_user_starts_total",] == 50
    cause = "OSError: timed out (chat.py:12 in start)"
    assert found["amoc_crashes_total", ("cause", cause)] == 2
    executions = tally.throttles["messages"].executions
    assert found["amoc_throttle_executions_total", ("throttle", "messages")] == executions
    assert found["amoc_throttle_wanted_rate", ("throttle", "messages")] == 100
    worker = (("node", "node0"), ("worker", "1"))
    assert found["amoc_worker_rss_bytes", *worker] == 40 << 20
    assert found["amoc_worker_gc_seconds", *worker] == 0.001
    assert found["amoc_node_cpu", ("node", "node0")] == 0.4
    assert found["amoc_controller_lag_seconds",] == 0.002


@pytest.mark.parametrize("how", FORMATS)
def test_a_scrape_before_the_first_point_identifies_the_run(how):
    (key,) = seen([], how)
    assert key[0] == "amoc_run_info"
    assert ("run_id", RUN.run_id) in key
    assert ("scenario", "chat") in key


def test_a_run_without_metrics_can_be_scraped():
    assert seen([point()])["amoc_run_seconds",] == 1


durations = st.lists(st.integers(0, 10**11), max_size=200)


@given(durations)
def test_a_bucket_is_exact_except_near_its_bound(some):
    for (end, count), bound in zip(cumulative(Histogram.of(some)), [*BOUNDS_S, inf], strict=True):
        assert end == pytest.approx(bound)
        least = sum(ns <= bound * 1e9 * (1 - 0.004) for ns in some)
        most = sum(ns <= bound * 1e9 * (1 + 0.004) for ns in some)
        assert least <= count <= most


@given(durations)
def test_buckets_are_cumulative_and_the_last_one_holds_all(some):
    counts = [count for _, count in cumulative(Histogram.of(some))]
    assert counts == sorted(counts)
    assert counts[-1] == len(some)


# Names built to collide with each other or with those amoc uses itself.
words = st.sampled_from(["users", "run", "a", "a_seconds", "a_total", "crashes", "é", "a.b", "a-b"])
ends = st.sampled_from(["", "_total", "_seconds", "_count", "_sum", "_bucket", "_info", "_created"])
some_names = st.lists(st.builds("".join, st.tuples(words, ends)), unique=True, max_size=12)


@given(some_names, st.data())
def test_no_two_metrics_share_an_exported_name(names, data):
    kinds = {name: data.draw(st.sampled_from(["counter", "gauge", "timer"])) for name in names}
    one = point(
        counters={name: 1 for name, kind in kinds.items() if kind == "counter"},
        gauges={name: 1.0 for name, kind in kinds.items() if kind == "gauge"},
        timers={name: Histogram.of([5]) for name, kind in kinds.items() if kind == "timer"},
    )
    built_in = len(seen([point()]))
    each = {"counter": 1, "gauge": 1, "timer": len(BOUNDS_S) + 1 + 2 + 4}
    # `seen` fails on a duplicate sample, and both parsers on a duplicate family.
    for how in FORMATS:
        assert len(seen([one], how)) == built_in + sum(each[kind] for kind in kinds.values())


def test_an_exported_name_is_kept_for_the_whole_run():
    families = Families(RUN)
    tally = Tally()

    def told():
        return {family.name for family in families.collect()}

    for one in (point(counters={"a.b": 1}), point(counters={"a_b": 1})):
        tally.add(one)
        families.take(one, tally)
        assert "amoc_a_b" in told()
    assert len([name for name in told() if name.startswith("amoc_a_b_")]) == 1


def test_an_idle_timer_keeps_its_buckets_and_has_no_quantiles():
    found = seen([point(timers={"t": Histogram.of([10**6])}), point()])
    assert found["amoc_t_seconds_count",] == 1
    assert not [key for key in found if key[0] == "amoc_t_seconds_quantile"]


def test_infinite_and_nan_values_are_exported_as_such():
    found = seen([point(gauges={"a": inf, "b": nan})])
    assert found["amoc_a",] == inf
    assert found["amoc_b",] != found["amoc_b",]


def test_labels_may_have_any_characters():
    cause = 'ValueError: "no"\n\\ {é} (a.py:1)'
    throttles = {'a "b"\n': ThrottlePoint(60.0, 60.0, "run", 1, 1, 0, 0)}
    found = seen([point(crashes={cause: 3}, throttles=throttles)])
    assert found["amoc_crashes_total", ("cause", cause)] == 3
    assert found["amoc_throttle_wanted_rate", ("throttle", 'a "b"\n')] == 1


def test_exported_counters_never_decrease():
    users = [{"started": 5, "restarted": 1}, {"started": 4, "restarted": 1}]
    found = seen([point(users=one) for one in users])
    assert found["amoc_user_starts_total",] == 5
    assert found["amoc_user_restarts_total",] == 1


def test_encoding_yields_after_every_family():
    pauses = []
    families = Families(RUN, pause=lambda: pauses.append(1))
    one = runs.points(1)[0]
    families.take(one, Tally.of([one]))
    assert len(list(families.collect())) == len(pauses) + 1


def test_the_docs_list_exactly_the_families_with_their_labels():
    named = {
        "amoc_messages_received": "amoc_NAME",
        "amoc_messages_sent": "amoc_NAME",
        "amoc_connected": "amoc_NAME",
    }
    families = Families(RUN)
    points = runs.points(20)
    families.take(points[-1], Tally.of(points))
    real = set()
    for family in families.collect():
        name = re.sub(
            r"^amoc_(message_ttd|message_ttd_response|loop_lag)_s", "amoc_NAME_s", family.name
        )
        name = named.get(name, name)
        name += {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels}
        real.add((name, ", ".join(sorted(labels))))
    rows = re.findall(r"^\| `(amoc_\w+)` \| ([\w, ]*?) ?\|", PAGE, re.MULTILINE)
    assert {(name, ", ".join(sorted(labels.split(", ")))) for name, labels in rows} == real
