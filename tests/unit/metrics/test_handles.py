"""Metric handles: declared by name, recorded into memory, bound to a worker's area at its fork."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from gevent import GreenletExit
from hypothesis import given
from hypothesis import strategies as st

import amoc
from amoc import metrics
from amoc.base.errors import ClosedError, ScenarioError
from amoc.metrics import registry, reserved, together
from amoc.metrics.area import JOINT_ENTRIES, Area, Kind
from amoc.metrics.board_reader import AreaReader
from amoc.metrics.histogram import CELLS, Histogram
from amoc.metrics.throttle_counts import ThrottleCounts
from amoc.metrics.timer_cells import record

PACKAGE = Path(amoc.__file__).parent


@pytest.fixture(autouse=True)
def _private_registry():
    with registry.Registry().activated():
        yield


def read() -> dict[str, object]:
    return {metric.name: metric.value for metric in metrics.read()}


def test_outside_a_run_everything_records_into_private_memory():
    metrics.counter("rounds").inc()
    metrics.counter("rounds").inc(4)
    metrics.gauge("queue").set(2.5)
    metrics.timer("ttd").record(1e-6)
    assert read() == {"rounds": 5, "queue": 2.5, "ttd": Histogram.of([1000])}


def test_the_same_name_is_the_same_handle():
    for make in (metrics.counter, metrics.timer, metrics.gauge):
        name = make.__name__
        assert make(name) is make(name)


@pytest.mark.parametrize("first", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("second", ["counter", "gauge", "timer"])
def test_a_name_keeps_its_first_kind(first, second):
    getattr(metrics, first)("x")
    if first == second:
        getattr(metrics, second)("x")
        return
    with pytest.raises(ScenarioError, match=f"'x' is a {first}, so it cannot be a {second}"):
        getattr(metrics, second)("x")
    assert type(getattr(metrics, first)("x")).__name__.lower() == first


@pytest.mark.parametrize("name", ["", "a\n", "\0", "\udcff", 5, None, b"a", "x" * 201, "☎" * 78])
def test_an_unprintable_or_too_long_name_is_rejected(name):
    with pytest.raises(ScenarioError, match=r"the name of a metric must (be text|have at most)"):
        metrics.counter(name)
    assert read() == {}


@pytest.mark.parametrize("name", ["GET /item/[id]", "Zähler für ☎", "1st", "-x", "a:b|c", '"hi"'])
def test_a_metric_name_may_hold_spaces_punctuation_and_non_ascii_text(name):
    metrics.counter(name).inc()
    assert read() == {name: 1}


def test_the_longest_name_leaves_room_for_the_response_suffix():
    name = "☎" * 77  # 231 bytes
    timer = metrics.timer(name)
    timer.response.record_ns(5)
    assert read() == {name: Histogram(), name + ".response": Histogram.of([5])}


def test_the_error_for_a_huge_name_quotes_only_its_start():
    with pytest.raises(ScenarioError, match=r"1 to 200 characters.*, got 'xxx") as caught:
        metrics.counter("x" * 10**6)
    assert len(str(caught.value)) < 700


def test_mail_counters_fit_even_when_the_scenario_has_filled_the_area():
    number = 0
    while registry.current.fits(f"c{number}", 0):
        metrics.counter(f"c{number}")
        number += 1
    with pytest.raises(ScenarioError, match="no room for metric 'one_more'"):
        metrics.counter("one_more")
    for name in reserved.MAIL:
        metrics.built_in(metrics.Counter, name).inc()
    assert {name: read()[name] for name in reserved.MAIL} == dict.fromkeys(reserved.MAIL, 1)


def test_a_gauge_goes_up_and_down_from_zero():
    gauge = metrics.gauge("queue")
    gauge.inc()
    gauge.inc(2.5)
    gauge.dec()
    assert read() == {"queue": 2.5}
    gauge.set(-1)
    assert read() == {"queue": -1.0}


def test_a_gauge_decremented_first_is_negative():
    metrics.gauge("queue").dec(3)
    assert read() == {"queue": -3.0}


def test_an_unknown_merge_rule_is_rejected_with_the_list_of_valid_rules():
    with pytest.raises(
        ScenarioError, match="'queue' must merge by sum, max, min or mean, got 'avg'"
    ):
        metrics.gauge("queue", merge="avg")


def test_a_gauge_keeps_its_declared_merge_rule():
    metrics.gauge("queue", merge="max")
    assert metrics.gauge("queue", merge="max") is metrics.gauge("queue", merge="MAX")
    with pytest.raises(ScenarioError, match="merges by max, so it cannot merge by min"):
        metrics.gauge("queue", merge="min")


@given(st.lists(st.integers(-5, 2**50), min_size=1, max_size=30))
def test_a_timer_keeps_its_longest_duration_exactly(durations):
    with registry.Registry(Area(memoryview(bytearray(20 << 20)))).activated():
        for ns in durations:
            metrics.timer("ttd").record_ns(ns)
        assert read()["ttd"].max_ns == max([0, *durations])
        assert read()["ttd"].count == len(durations)


def test_a_block_is_timed_once_whether_it_returns_or_raises():
    with metrics.timer("ttd").time():
        pass
    with pytest.raises(ValueError, match="no"), metrics.timer("ttd").time():
        raise ValueError("no")
    assert read()["ttd"].count == 2


def test_a_block_is_not_timed_when_its_user_is_killed_inside_it():
    with pytest.raises(GreenletExit), metrics.timer("ttd").time():
        raise GreenletExit
    assert read()["ttd"].count == 0


def test_timed_blocks_may_be_nested():
    timer = metrics.timer("ttd")
    with timer.time(), timer.time():
        pass
    assert read()["ttd"].count == 2


def joint_metrics() -> tuple[metrics.Counter, metrics.Timer]:
    """A counter that feeds three others, and a timer that feeds two."""
    counters = tuple(metrics.counter(name) for name in ("a", "b", "all"))
    (counter,) = registry.joint(counters)
    (timer,) = registry.joint((metrics.timer("t of a"), metrics.timer("t of all")))
    return counter, timer


def test_a_joint_metric_counts_in_each_of_its_parts_and_is_not_listed_itself():
    counter, timer = joint_metrics()
    counter.inc(3)
    metrics.counter("all").inc()
    timer.record_ns(1_000)
    metrics.timer("t of all").record_ns(9_000)
    one, both = Histogram.of([1_000]), Histogram.of([1_000, 9_000])
    assert read() == {"a": 3, "b": 3, "all": 4, "t of a": one, "t of all": both}
    assert [metrics.counter(name).value for name in ("a", "b", "all")] == [3, 3, 4]
    assert [name for name, _ in registry.current.declared()] == [
        "a",
        "all",
        "b",
        "t of a",
        "t of all",
    ]
    metrics.counter("b").inc(2**64 - 2)
    assert metrics.counter("b").value == read()["b"] == 2**64 - 1


def test_a_reader_attributes_joint_counts_to_the_parts():
    timers: list[str] = []

    def number(name: str) -> int:
        if name not in timers:
            timers.append(name)
        return timers.index(name)

    reader = AreaReader(registry.current.area, number)
    found: dict[object, int] = {}
    longest: dict[str, int] = {}

    def look() -> None:
        found.clear()
        reader.read_new()
        for some in reader.changes():
            for one in some:
                found[one.name] = found.get(one.name, 0) + one.by
        for change in reader.timer_changes():
            assert len({*change.keys}) == len(change.keys)
            for key, count in zip(change.keys, change.by, strict=True):
                name = timers[key // CELLS], key % CELLS
                found[name] = found.get(name, 0) + count

    counter, timer = joint_metrics()
    (other,) = registry.joint((metrics.timer("t of b"), metrics.timer("t of all")))
    for _ in range(3):
        counter.inc(5)
        metrics.counter("all").inc()
        for one in (timer, other, metrics.timer("t of all")):
            one.record_ns(7)
        look()
        assert {name: by for name, by in found.items() if by} == {
            "a": 5,
            "b": 5,
            "all": 6,
            ("t of a", 7): 1,
            ("t of b", 7): 1,
            ("t of all", 7): 3,
        }
        longest |= {timers[place]: ns for place, ns in reader.records()}
    assert longest == dict.fromkeys(("t of a", "t of b", "t of all"), 7)


def test_joint_metrics_use_only_their_own_entries_and_fall_back_to_the_parts_when_full():
    free = registry.current.area.free
    parts = metrics.counter("a"), metrics.counter("b")
    for number in range(JOINT_ENTRIES):
        (joint,) = registry.joint((*parts, metrics.counter(f"c{number}")))
        joint.inc()
    assert registry.joint(parts[::-1]) == parts[::-1]
    assert registry.current.area.free == free - JOINT_ENTRIES - 2
    assert parts[0].value == JOINT_ENTRIES


def test_parts_of_another_registry_are_not_joined():
    here, elsewhere = metrics.counter("a"), metrics.counter("b")
    with registry.Registry().activated():
        there = metrics.counter("a"), elsewhere
        assert registry.joint(there) == there
        assert here.value == 0


def test_a_replacement_worker_continues_the_counts_of_joint_metrics():
    area = Area(memoryview(bytearray(24 << 20)))
    for lives in (1, 2):
        with registry.Registry().activated():
            counter, _ = joint_metrics()
            counter.inc()  # before the fork: one worker inherits these counts
            registry.current.attach(area, inherit=lives == 1)
            counter.inc()
            assert counter.value == metrics.counter("a").value == lives + 1


def test_a_throttle_may_share_a_metrics_name_and_is_not_a_scenario_metric():
    metrics.counter("logins").inc(3)
    meters = registry.current.throttle("logins")
    assert registry.current.throttle("logins") is meters
    meters.requests.inc()
    meters.executions.inc(2)
    meters.missed.inc(0)
    meters.waiting.set(4)
    found = [(one.kind, one.name, one.value) for one in metrics.read()]
    assert found == [
        (Kind.COUNTER, "logins", 3),
        (Kind.THROTTLE, "logins", ThrottleCounts(1, 2, 0)),
    ]
    assert registry.current.declared() == [("logins", Kind.COUNTER)]


def reader_of(area: Area) -> AreaReader:
    reader = AreaReader(area, {}.__getitem__)
    reader.read_new()
    return reader


def test_a_throttle_counts_in_the_area_its_process_is_attached_to():
    meters = registry.current.throttle("logins")
    meters.executions.inc(5)
    area = Area(memoryview(bytearray(20 << 20)))
    registry.current.attach(area, inherit=True)
    meters.executions.inc()
    meters.waiting.set(2)
    assert read() == {"logins": ThrottleCounts(executions=6)}
    assert list(reader_of(area).waiting()) == [("logins", 2)]


def test_a_throttle_without_room_in_the_area_is_not_reported():
    meters = metrics.ThrottleMeters("logins", None)
    meters.requests.inc()
    meters.waiting.set(1)
    assert read() == {}


def test_handles_created_before_the_fork_record_into_the_workers_area():
    counter, gauge, timer = metrics.counter("c"), metrics.gauge("g"), metrics.timer("t")
    counter.inc(100)
    area = Area(memoryview(bytearray(20 << 20)))
    registry.current.attach(area, inherit=False)
    counter.inc()
    gauge.set(1)
    timer.record(0)
    assert read() == {"c": 1, "g": 1.0, "t": Histogram.of([0])}
    assert {metric.name for metric in area.read()} == {"c", "g", "t"}
    assert metrics.counter("c") is counter


def test_one_worker_inherits_the_counts_made_before_the_fork():
    metrics.counter("c").inc(100)
    metrics.gauge("g").set(7)
    metrics.timer("t").record_ns(5000)
    registry.current.attach(Area(memoryview(bytearray(20 << 20))), inherit=True)
    metrics.counter("c").inc()
    metrics.timer("t").record_ns(1000)
    assert read() == {"c": 101, "t": Histogram.of([5000, 1000])}


def test_a_process_forked_by_a_user_cannot_record_into_its_workers_area():
    area = Area(memoryview(bytearray(20 << 20)))
    with registry.Registry(area).activated():
        mine, others = metrics.counter("mine"), metrics.built_in(metrics.Counter, "others")
        timer = metrics.timer("timer")
        mine.inc()
        registry.current.disable()
        for record in (
            *(
                mine.inc,
                others.inc,
                lambda: timer.record(1.0),
                lambda: metrics.counter("new").inc(),
            ),
            lambda: metrics.gauge("level").set(1),
        ):
            with pytest.raises(ClosedError, match="in a process forked by a user"):
                record()
    assert [metric.value for metric in area.read()] == [1, 0, Histogram()]


def test_a_replacement_worker_continues_counters_and_resets_gauges():
    memory = memoryview(bytearray(20 << 20))
    for expected in (1, 2, 3):
        registry.current.attach(Area(memory), inherit=False)
        metrics.counter("c").inc()
        assert read() == {"c": expected}
        metrics.gauge("g").set(9)


def test_a_longer_maximum_written_by_the_node_is_kept():
    area = registry.current.area
    timer = metrics.timer("lag")
    record(area.declare(Kind.TIMER, "lag"), 5_000)
    for ns, longest in ((3_000, 5_000), (4_000, 5_000), (6_000, 6_000)):
        timer.record_ns(ns)
        assert read()["lag"].max_ns == longest
    record(area.declare(Kind.TIMER, "lag"), 9_000)
    together.record((), (), (timer,), 8_000)
    assert read()["lag"].max_ns == 9_000


@pytest.mark.parametrize(
    "seconds", [float("nan"), float("inf"), -float("inf"), 1e12, 1e300, -5.0, -1e-9, None, "1"]
)
def test_an_invalid_duration_is_rejected_and_nothing_is_recorded(seconds):
    timer = metrics.timer("ttd")
    with pytest.raises(
        (ValueError, TypeError),
        match=re.escape(
            f"timer ttd must record a number of seconds from 0 to 1.8e+10, got {seconds!r}"
        ),
    ):
        timer.record(seconds)
    assert read()["ttd"] == Histogram()


def test_a_duration_that_rounds_to_zero_is_recorded_as_zero():
    metrics.timer("ttd").record(-1e-10)  # a difference of two floats
    metrics.timer("ttd").record(True)
    assert read()["ttd"] == Histogram.of([0, 1_000_000_000])


@pytest.mark.parametrize("n", [1.5, 1.0, None, "1", -1, Decimal(1), np.float64(1), 2**64])
def test_a_counter_rejects_anything_but_a_non_negative_integer(n):
    counter = metrics.counter("rounds")
    with pytest.raises(
        (ValueError, TypeError),
        match=re.escape(
            "counter rounds must be incremented by a whole number of 0 or more, below 2**64,"
            f" got {n!r}"
        ),
    ):
        counter.inc(n)
    assert read() == {"rounds": 0}


@pytest.mark.parametrize("more", [1, 2, 2**63, 2**64 - 1])
def test_a_counter_saturates_at_64_bits(more):
    counter = metrics.counter("bytes")
    counter.inc(2**64 - 1)
    counter.inc(more)
    counter.inc(0)
    assert read() == {"bytes": 2**64 - 1}


def test_whole_numbers_of_other_types_are_counted_exactly():
    counter = metrics.counter("rounds")
    for n in (np.uint8(250), np.uint8(250), np.int64(500), True, False):
        counter.inc(n)
    assert read() == {"rounds": 1001}


@pytest.mark.parametrize("ns", [2**64, 1.5, float("nan"), None, "1", Decimal(1), np.float64(3)])
def test_non_integer_nanoseconds_are_rejected_and_nothing_is_recorded(ns):
    timer = metrics.timer("ttd")
    refused = f"timer ttd must record an int of nanoseconds below 2**64, got {ns!r}"
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(refused)}$"):
        timer.record_ns(ns)
    assert read()["ttd"] == Histogram()


def test_the_longest_duration_that_fits_counts_in_the_last_cell():
    metrics.timer("ttd").record_ns(2**64 - 1)
    assert read()["ttd"] == Histogram({CELLS - 1: 1}, 2**64 - 1)


@pytest.mark.parametrize(
    "value", [None, "1", float("nan"), float("inf"), -float("inf"), 10**400, 1j]
)
@pytest.mark.parametrize("change", ["set", "inc", "dec"])
def test_a_gauge_rejects_non_finite_values_and_keeps_its_value(change, value):
    gauge = metrics.gauge("queue")
    gauge.set(7)
    with pytest.raises((ValueError, TypeError), match=r"gauge queue must .* a finite number, got"):
        getattr(gauge, change)(value)
    assert read() == {"queue": 7}


def test_a_gauge_rejects_a_change_that_would_overflow():
    gauge = metrics.gauge("queue")
    gauge.set(1e308)
    with pytest.raises(ValueError, match=r"a finite number, got 1e[+]308"):
        gauge.inc(1e308)
    assert read() == {"queue": 1e308}


def test_numpy_numbers_are_accepted():
    metrics.counter("rounds").inc(np.int64(3))
    metrics.gauge("queue").set(np.float32(0.5))
    metrics.timer("ttd").record(np.float64(0.001))
    assert read() == {"rounds": 3, "queue": 0.5, "ttd": Histogram.of([1_000_000])}


RESERVED = ["crashes", "users", "starts.rate", "loop_lag", "mail_sent", "throttle.x.missed"]
RESERVED += ["coordinator.x.adds", "barriers.released", "ttd.response"]


@pytest.mark.parametrize("declare", [metrics.counter, metrics.gauge, metrics.timer])
@pytest.mark.parametrize("name", RESERVED)
def test_names_reserved_for_amocs_own_metrics_are_rejected(name, declare):
    with pytest.raises(ScenarioError, match=f"a scenario's metric must not be called '{name}': "):
        declare(name)
    assert registry.current.declared() == []


def test_a_scenario_and_a_library_cannot_declare_the_same_metric_name():
    metrics.built_in(metrics.Counter, "pages")
    metrics.counter("rows")
    for declare in (metrics.counter, metrics.gauge, metrics.timer):
        with pytest.raises(ScenarioError, match="must not be called 'pages': amoc has a metric of"):
            declare("pages")
    with pytest.raises(ScenarioError, match="must not be called 'rows'"):
        metrics.built_in(metrics.Counter, "rows")


@pytest.mark.once
def test_every_metric_name_the_engine_declares_is_reserved():
    names = {
        call.args[1].value
        for file in PACKAGE.rglob("*.py")
        if not {"http", "xmpp"} & set(file.relative_to(PACKAGE).parts)  # reserved once imported
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and len(call.args) == 2
        and isinstance(call.args[1], ast.Constant)
        and "built_in" in ast.unparse(call.func)
    }
    assert names == {*reserved.TIMERS, *reserved.MAIL}
