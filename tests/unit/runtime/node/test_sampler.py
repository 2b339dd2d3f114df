"""From node boards to totals and seconds: nothing is lost and nothing counted twice."""

from __future__ import annotations

import dataclasses
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amoc import metrics
from amoc.base import process
from amoc.base.clock import MS_NS, S_NS, now_ns
from amoc.ipc.messages.links import FROM_NODE
from amoc.ipc.messages.samples import Sample
from amoc.metrics import board_reader, health_figures, registry, vectors
from amoc.metrics.area import Kind, Merge
from amoc.metrics.board import Board, Cell
from amoc.metrics.board_reader import AreaReader
from amoc.metrics.health_figures import NodePoint, WorkerPoint, sent_figures, worker_point
from amoc.metrics.histogram import CELLS, Histogram, cell_of, end_ns, middle_ns
from amoc.metrics.timer_block import TimerBlock
from amoc.metrics.timer_cells import record
from amoc.metrics.timer_sums import TimerSums
from amoc.results.merge import Counts, SampleMerger
from amoc.results.per_second import MAX_NS, Moment, PointCutter
from amoc.results.series import ThrottlePoint, add_counts
from amoc.runtime.node import sampler
from amoc.runtime.node.sampler import Sampler

HOST: Any = SimpleNamespace(
    figures=lambda: NodePoint("", 0.5, 1 << 30, 1 << 29, 28_000, 0), fds=lambda pid: 7
)
NOBODY = range(1, 1)


@pytest.fixture(autouse=True)
def _reset_vectors():
    yield
    vectors.use(None)


FULL = "counter big is at its maximum (2**64 - 1) and is no longer counting"


def wire(record):
    """Return `record` as it arrives at the other end of a link."""
    return FROM_NODE.unpack(FROM_NODE.pack(record))


def worker_of(sample: Sample, at: int = 0) -> WorkerPoint:
    """Return a worker's figures from a sample."""
    return worker_point("node0", sample.workers[at], 1.0)


class Node:
    """A node's board with two workers, its sampler, and the true counts."""

    def __init__(self) -> None:
        self.board = Board(2, 10)
        self.sampler = Sampler(self.board, HOST, 20_000)
        self.counted: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self.durations: list[int] = []

    def count(self, worker: int, kind: Kind, name: str, number: int) -> None:
        self.board.area(worker).declare(kind, name)[0] += number
        (self.crashed if kind is Kind.CRASH else self.counted)[name] += number

    def record(self, worker: int, ns: int) -> None:
        cells = self.board.area(worker).declare(Kind.TIMER, "ttd")
        record(cells, ns)
        self.durations.append(ns)

    def sample(self, last=False):
        return wire(self.sampler.take(NOBODY, 0, last))


STEPS = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 1), st.sampled_from("abc"), st.integers(0, 9)),
    st.tuples(st.just("crash"), st.integers(0, 1), st.sampled_from("xy"), st.integers(1, 3)),
    st.tuples(st.just("record"), st.integers(0, 1), st.integers(0, 10**13)),
    st.tuples(st.just("sample")),
    st.tuples(st.just("deliver"), st.integers(0, 10**6), st.booleans()),
    st.tuples(st.just("second")),
)


def combined(seconds: list[Counts]) -> Counts:
    """Return the sum of all seconds."""
    timers = TimerSums()
    whole = Counts(timers=timers)
    for one in seconds:
        add_counts(whole.counters, one.counters)
        add_counts(whole.crashes, one.crashes)
        timers.add(one.timers)
    return whole


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), STEPS), max_size=60))
@pytest.mark.parametrize("numpy", [None, np])
def test_the_last_sample_restores_totals_after_lost_repeated_or_late_ones(numpy, steps):
    vectors.use(numpy)
    nodes = [Node(), Node()]
    sent: list[list[Any]] = [[], []]
    merged, seconds = SampleMerger(), []
    for number, (what, *arguments) in steps:
        node = nodes[number]
        if what == "count":
            node.count(arguments[0], Kind.COUNTER, *arguments[1:])
        elif what == "crash":
            node.count(arguments[0], Kind.CRASH, *arguments[1:])
        elif what == "record":
            node.record(*arguments)
        elif what == "sample":
            sent[number].append(node.sample())
        elif what == "second":
            seconds.append(merged.take_growth())
        elif sent[number]:
            index, acknowledged = arguments
            sample = sent[number][index % len(sent[number])]
            merged.take(f"node{number}", sample)
            if acknowledged:  # otherwise the acknowledgement was lost
                node.sampler.acknowledge(sample.sequence)
        told, truth = combined(seconds).counters, sum((one.counted for one in nodes), Counter())
        assert all(count <= truth[name] for name, count in told.items())
    for number, node in enumerate(nodes):
        merged.take(f"node{number}", node.sample(last=True))
    seconds.append(merged.take_growth())
    counted = sum((one.counted for one in nodes), Counter())
    crashed = sum((one.crashed for one in nodes), Counter())
    durations = Histogram.of(nodes[0].durations + nodes[1].durations)
    # Seconds add up to the totals wherever they were cut.
    whole = combined(seconds)
    for found, truth in ((whole.counters, counted), (whole.crashes, crashed)):
        assert Counter(found) == truth
    assert whole.timers.get("ttd", Histogram()) == durations
    assert merged.crashed == sum(crashed.values())
    assert sum((Counter(one.counters) for one in seconds), Counter()) == +counted
    recorded = Histogram()
    for one in seconds:
        second = one.timers.get("ttd", Histogram())
        recorded.add(second.cells, second.max_ns)
        assert not second.cells or cell_of(second.max_ns) >= max(second.cells)
    assert recorded.cells == durations.cells


def test_an_overflowing_counter_stays_at_its_maximum_and_is_noted_once():
    node = Node()
    for worker in (0, 1):
        node.count(worker, Kind.COUNTER, "big", 2**63)
        node.count(worker, Kind.COUNTER, "good", 1)
    assert node.sample().counters == {"big": 2**64 - 1, "good": 2}
    assert node.sampler.take_notes() == [FULL]
    node.count(0, Kind.COUNTER, "big", 5)
    node.count(0, Kind.COUNTER, "good", 5)
    assert node.sample().counters == {"big": 2**64 - 1, "good": 7}
    assert node.sampler.take_notes() == []


def test_a_metric_of_two_kinds_is_reported_as_both_and_noted_once():
    node = Node()
    node.board.area(1).declare(Kind.COUNTER, "ttd")[0] = 3
    node.record(0, 1000)
    sample = node.sample()
    assert (sample.counters, sample.timers[0]) == ({"ttd": 3}, ["ttd"])
    assert node.sampler.take_notes() == [
        "metric ttd is a timer in one worker and a counter in another; both are reported"
    ]
    node.record(0, 1000)
    node.sample()
    assert node.sampler.take_notes() == []


def test_a_gauge_with_two_merge_rules_uses_the_first_and_is_noted_once():
    node = Node()
    node.board.area(1).declare(Kind.GAUGE, "level", Merge.MAX)[0] = 3
    node.sample()
    node.board.area(0).declare(Kind.GAUGE, "level", Merge.SUM)[0] = 4
    assert node.sample().gauges == {"level": [Merge.MAX, 4.0, 2]}
    assert node.sampler.take_notes() == [
        "gauge level is merged by max in one worker and by sum in another; max is used"
    ]
    node.sample()
    assert node.sampler.take_notes() == []


def test_crashes_and_throttles_may_share_names_with_metrics():
    node = Node()
    node.count(0, Kind.COUNTER, "a", 1)
    for kind in (Kind.CRASH, Kind.THROTTLE):
        node.board.area(1).declare(kind, "a")
    node.sample()
    assert node.sampler.take_notes() == []


def test_notes_on_metrics_are_limited(monkeypatch):
    monkeypatch.setattr(sampler, "MAX_NOTES", 3)
    node = Node()
    for number in range(4):
        node.count(0, Kind.COUNTER, f"big{number}", 2**64 - 1)
        node.sample()
        assert len(node.sampler.take_notes()) == (number < 3)


def test_a_full_cell_of_one_worker_makes_the_whole_counter_full():
    node = Node()
    node.count(0, Kind.COUNTER, "big", 2**64 - 1)
    assert node.sample().counters == {"big": 2**64 - 1}
    assert node.sampler.take_notes() == [FULL]


def test_samples_carry_growth_and_repeat_what_was_lost():
    node = Node()
    node.count(0, Kind.COUNTER, "a", 1)
    node.record(0, 1000)
    lost = node.sample()
    assert lost.counters == {"a": 1}
    node.count(1, Kind.COUNTER, "b", 4)
    node.record(1, 2000)
    second = node.sample()
    assert second.counters == {"b": 4}
    assert TimerBlock(*second.timers) == {"ttd": Histogram({cell_of(2000): 1}, 2000)}
    node.sampler.acknowledge(second.sequence)
    third = node.sample()
    assert third.counters == {"a": 1}
    assert TimerBlock(*third.timers) == {"ttd": Histogram({cell_of(1000): 1}, 2000)}
    node.sampler.acknowledge(third.sequence)
    assert (node.sample().counters, TimerBlock(*node.sample().timers)) == ({}, {})


def test_unacknowledged_samples_are_limited_and_do_not_grow():
    node = Node()
    sizes = []
    while node.sampler.due:
        for number in range(100):
            node.count(0, Kind.COUNTER, f"c{number}", 1)
            node.record(0, 256 << number % 20)
        sizes.append(len(FROM_NODE.pack(node.sampler.take(NOBODY, 0))))
    assert len(sizes) == sampler.MAX_UNACKNOWLEDGED
    assert max(sizes) < 1.1 * min(sizes)
    assert len(node.sample(last=True).counters) == 100
    node.sampler.acknowledge(len(sizes))
    assert node.sampler.due


def test_sampling_is_retried_after_a_minute_without_acknowledgement(monkeypatch):
    node = Node()
    while node.sampler.due:
        node.sample()
    monkeypatch.setattr(sampler, "RETRY_NS", 0)
    node.count(0, Kind.COUNTER, "a", 1)
    assert node.sampler.due
    for _ in range(100):
        latest = node.sample()
    assert len(node.sampler.unacknowledged) == sampler.MAX_UNACKNOWLEDGED
    node.sampler.acknowledge(latest.sequence)
    assert node.sample().counters == {"a": 1}


def test_sampling_yields_after_each_slice_of_work(monkeypatch):
    looked = []
    changed = vectors.changed

    def noting(memory, places, rows, before, begin, end):
        looked.append(end - begin)
        return changed(memory, places, rows, before, begin, end)

    monkeypatch.setattr(vectors, "changed", noting)
    monkeypatch.setattr(vectors, "rows_at_once", lambda: 64)
    monkeypatch.setattr(board_reader, "METRICS_AT_ONCE", 8)
    breaths = []
    board = Board(1, 10)
    one = Sampler(board, HOST, 20_000, lambda: breaths.append(len(looked)))
    timers = [board.area(0).declare(Kind.TIMER, f"t{number}") for number in range(30)]
    for cells in timers:
        for row in range(10):
            record(cells, 256 << row)
    merged = SampleMerger()
    merged.take("node0", wire(one.take(NOBODY, 0)))
    assert sum(timer.count for timer in merged.take_growth().timers.values()) == 300
    assert sum(looked) == 300
    assert max(looked) == 64
    assert set(range(1, len(looked) + 1)) <= set(breaths), "a breath after each part"
    assert len(breaths) >= len(looked) + 30 / 8


def test_a_sample_uses_worker_numbers_assigned_while_it_is_taken():
    breaths = []
    board = Board(2, 10)
    record(board.area(1).declare(Kind.TIMER, "t"), 256)

    def yield_if_due() -> None:
        breaths.append(board.first)
        board.first = 2 * len(breaths)

    sample = Sampler(board, HOST, 20_000, yield_if_due).take(NOBODY, 0)
    assert sample.first == board.first == 2 * len(breaths) > 2
    assert [worker_of(sample, at).worker for at in (0, 1)] == [*board.numbers]


def test_declared_metrics_that_were_never_used_are_reported():
    node = Node()
    node.board.area(0).declare(Kind.COUNTER, "never")
    node.board.area(0).declare(Kind.TIMER, "nothing")
    merged = SampleMerger()
    merged.take("node0", node.sample())
    growth = merged.take_growth()
    assert (growth.counters, growth.timers) == ({"never": 0}, {"nothing": Histogram()})
    assert merged.take_growth() == Counts()


def test_worker_lag_is_reported_since_the_last_sample_and_overall():
    node = Node()
    lag = node.board.area(1).declare(Kind.TIMER, "loop_lag")
    row = node.board.row(1)
    row[Cell.PID], row[Cell.INCARNATION], row[Cell.HEARTBEAT_NS] = 1, 1, now_ns()
    record(lag, 10**9)
    node.sampler.take(NOBODY, 0)
    for _ in range(500):
        record(lag, 10**6)
    figures = worker_of(node.sampler.take(NOBODY, 0), 1)
    assert figures.lag_p99_s < 0.0011
    assert figures.fds == 7
    assert figures.loop_lag_p99_s == pytest.approx(0.001, rel=0.01)
    assert worker_of(node.sampler.take(NOBODY, 0), 1).lag_p99_s == 0


def test_worker_rates_are_relative_to_the_time_between_heartbeats():
    node = Node()
    row, of_second = node.board.row(0), []
    row[Cell.HEARTBEAT_NS] = now_ns()
    for beat_ns, used_ns in ((0, 0), (2 * S_NS, S_NS // 2), (0, 0), (S_NS // 2, S_NS // 2)):
        row[Cell.HEARTBEAT_NS] += beat_ns
        for name in ("cpu", "cpu_wait_s", "preemption_rate"):
            row[health_figures.cell(name)] += used_ns
        one = worker_of(node.sample())
        of_second.append((one.cpu, one.cpu_wait_s, one.preemption_rate * 2))
    assert of_second == [(0, 0, 0), (0.25, 0.25, S_NS // 2), (0, 0, 0), (1, 1, 2 * S_NS)]


def test_of_many_workers_only_some_are_sampled_until_the_last_sample():
    board = Board(8, 10)
    board.first = 16
    many = Sampler(board, HOST, 20_000)
    for number in board.numbers:
        board.row(number)[health_figures.cell("users")] = number
        board.row(number)[Cell.RESTARTED] = 2
    told = wire(many.take(NOBODY, 0, named_every=1))
    assert (told.first, told.alive, told.restarted) == (16, [*board.numbers], 16)
    assert len(told.workers) <= 2
    mean, highest = (worker_point("node0", one, 1.0) for one in told.together)
    assert (mean.users, highest.users) == (19.5, 23)
    last = wire(many.take(NOBODY, 0, last=True, named_every=1))
    assert [worker_of(last, at).worker for at in range(8)] == [*board.numbers]
    assert last.together


@pytest.mark.parametrize("shape", ["lognormal", "bimodal", "uniform"])
def test_merged_percentiles_match_the_raw_values(shape):
    draw = np.random.default_rng(7)
    values = {
        "lognormal": lambda: draw.lognormal(-4, 1.2, 40_000),
        "bimodal": lambda: np.concatenate(
            [draw.normal(0.02, 0.002, 39_000), draw.normal(2, 0.1, 1000)]
        ),
        "uniform": lambda: draw.uniform(1e-6, 3600, 40_000),
    }[shape]()
    values = np.abs(values)
    nodes, merged = [Node(), Node()], SampleMerger()
    with registry.Registry().activated():
        for number, part in enumerate(np.array_split(values, 4)):
            registry.current.attach(nodes[number // 2].board.area(number % 2), inherit=False)
            timer = metrics.timer("raw")
            for seconds in part:
                timer.record(float(seconds))
            for name, node in zip("ab", nodes, strict=True):
                merged.take(name, node.sample())
    timer = merged.take_growth().timers["raw"]
    fractions = (0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
    exact = np.quantile(values, fractions, method="inverted_cdf")
    found = timer.quantiles_s(*fractions)
    assert found == pytest.approx(exact, rel=0.01)
    assert found == pytest.approx(exact, rel=0.0041)  # the bound stated in the docs
    assert timer.count == len(values)
    assert timer.max_ns == round(values.max() * 1e9)
    assert timer.mean_s == pytest.approx(values.mean(), rel=0.004)


@given(st.integers(0, CELLS - 1))
def test_histogram_cells_are_contiguous(cell):
    assert cell_of(end_ns(cell)) == cell
    assert cell == CELLS - 1 or cell_of(end_ns(cell) + 1) == cell + 1
    assert middle_ns(cell) <= end_ns(cell) + 0.5


def grown(reader: AreaReader) -> dict[str, object]:
    """Return the growth that a reader finds: counters, and timer cells by number."""
    reader.read_new()
    found: dict[str, object] = {one.name: one.by for some in reader.changes() for one in some}
    for some in reader.timer_changes():
        for key, by in zip(some.keys, some.by, strict=True):
            found[f"{key // CELLS}:{key % CELLS}"] = by
    return found | {f"max {number}": max_ns for number, max_ns in reader.records()}


@pytest.mark.parametrize("numpy", [None, np])
def test_a_reader_reports_each_growth_once(numpy):
    vectors.use(numpy)
    area = Board(1, 1).area(0)
    reader = AreaReader(area, {"t": 0, "u": 1}.__getitem__)
    counter, timer = area.declare(Kind.COUNTER, "c"), area.declare(Kind.TIMER, "t")
    gauge, other = area.declare(Kind.GAUGE, "g", Merge.MAX), area.declare(Kind.TIMER, "u")
    assert grown(reader) == {"c": 0}
    assert list(reader.gauges()) == []
    counter[0], gauge[0] = 3, 2.5
    for ns in (5, 5, 10**15):
        record(timer, ns)
    assert grown(reader) == {"c": 3, "0:5": 2, f"0:{CELLS - 1}": 1, "max 0": 10**15}
    assert list(reader.gauges()) == [("g", Merge.MAX, 2.5)]
    assert grown(reader) == {}
    record(other, 130)
    record(timer, 6)
    assert grown(reader) == {"0:6": 1, "1:130": 1, "max 1": 130}
    assert grown(reader) == {}


# Seconds


def moment(**parts) -> Moment:
    return Moment(
        **{
            "at": 1000.0,
            "ran_ns": 10**15,
            "state": "running",
            "waiting": 3,
            "throttles": {},
            "controller_cpu": 0.1,
            "controller_lag_s": 0.01,
            **parts,
        }
    )


def sample(sequence: int, at_s: float, **parts):
    worker = WorkerPoint(
        "", 0, users=5, cpu=0.25, lag_p99_s=0.002, late_p99_s=0.003, gc_s=0.025, fds=9
    )
    return Sample(
        sequence=sequence,
        at_ns=int(at_s * S_NS),
        users={2: 5},
        users_peak=5,
        counters=parts.get("counters", {}),
        gauges=parts.get("gauges", {}),
        timers={},
        crashes={},
        throttles=parts.get("throttles", {}),
        waiting=parts.get("waiting", {}),
        workers=[sent_figures(worker)],
        host=dataclasses.astuple(HOST.figures())[1:],
    )


def test_a_second_ends_at_the_time_of_its_sample():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    samples.take("node0", sample(1, 9.5, counters={"init": 1}))
    seconds.begin(10 * S_NS)
    assert not seconds.over(10 * S_NS)
    samples.take("node0", sample(2, 10.5, counters={"a": 4}))
    assert seconds.over(int(10.52 * S_NS))
    assert seconds.end_ns(int(10.52 * S_NS)) == int(10.5 * S_NS)
    first = seconds.cut(int(10.5 * S_NS), moment(ran_ns=S_NS // 2))
    assert [(one.cpu, one.gc_s) for one in first.workers] == [(0.25, 0.0125)]
    assert (first.t_s, first.span_s, first.active_s, first.at) == (0.5, 0.5, 0.5, 1000.0)
    assert first.starts == 5
    assert first.counters == {"init": 1, "a": 4}
    assert first.users["running"] == 5
    assert first.users["waiting"] == 3
    samples.take("node0", sample(3, 11.5, counters={"a": 9}))
    end_ns = seconds.end_ns(int(11.53 * S_NS))
    second = seconds.cut(end_ns, moment(state="stopping", ran_ns=S_NS * 7 // 10))
    assert (second.t_s, second.span_s, second.state) == (1.5, 1.0, "stopping")
    assert (second.active_s, second.starts) == (0.2, 0)
    assert second.counters == {"a": 5}
    (worker,) = second.workers
    assert (worker.cpu, worker.gc_s) == (0.25, 0.025)
    assert (worker.lag_p99_s, worker.late_p99_s, worker.fds) == (0.002, 0.003, 9)
    assert second.nodes[0].memory_bytes == 1 << 30


def test_active_time_never_exceeds_the_span_of_the_second():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    samples.take("node0", sample(1, 9.5))
    seconds.begin(10 * S_NS)
    second = seconds.cut(11 * S_NS, moment(ran_ns=3 * S_NS))
    assert (second.span_s, second.active_s) == (1.0, 1.0)


@pytest.mark.parametrize("taken_s", [10.9, 9.0])
def test_a_second_never_ends_in_the_future_or_before_its_start(taken_s):
    samples = SampleMerger()
    seconds = PointCutter(samples)
    samples.take("node0", sample(1, 8.0))
    seconds.begin(10 * S_NS)
    samples.take("node0", sample(2, taken_s))
    now_ns = int(10.5 * S_NS)
    assert seconds.end_ns(now_ns) == now_ns


class Fallen:
    """A dead worker whose last heartbeat was at `heartbeat_s`; the clock stands at 100 s."""

    NOW_NS = 100 * S_NS

    def __init__(self, monkeypatch, heartbeat_s: float) -> None:
        monkeypatch.setattr(sampler, "now_ns", lambda: self.NOW_NS)
        self.board = Board(2, 1)
        self.row, self.area = self.board.row(1), self.board.area(1)
        self.row[Cell.HEARTBEAT_NS] = round(heartbeat_s * S_NS)
        self.row[Cell.CPU_BEFORE_NS] = 3 * S_NS

    def lag(self):
        found = {one.name: one.value for one in self.area.read()}
        return found.get("loop_lag", Histogram({}, 0))


@pytest.mark.parametrize(("noted_s", "longest_s"), [(0, 4), (2, 4), (7, 7)])
def test_the_silence_of_a_dead_worker_counts_as_loop_lag(monkeypatch, noted_s, longest_s):
    one = Fallen(monkeypatch, heartbeat_s=96)
    cells = one.area.declare(Kind.TIMER, "loop_lag")
    if noted_s:
        record(cells, noted_s * S_NS)
    sampler.record_silence(one.board, 1, 0)
    assert one.lag().max_ns == longest_s * S_NS
    assert one.lag().count == (2 if noted_s else 1)
    assert one.lag().cells[cell_of(4 * S_NS)] == 1


def test_cpu_of_a_dead_worker_is_added_to_that_of_its_predecessors(monkeypatch):
    one = Fallen(monkeypatch, heartbeat_s=96)
    cpu = health_figures.cell("cpu")
    one.row[cpu] = 4 * S_NS
    sampler.record_silence(one.board, 1, 5 * S_NS)
    assert one.row[cpu] == 8 * S_NS
    sampler.record_silence(one.board, 1, 0)  # never seen hanging: its own figure stays
    assert one.row[cpu] == 8 * S_NS


@pytest.mark.parametrize("heartbeat_s", [0, 98.5, 99, 99.5])
def test_a_worker_on_time_or_never_started_has_no_silence(monkeypatch, heartbeat_s):
    one = Fallen(monkeypatch, heartbeat_s)
    sampler.record_silence(one.board, 1, 5 * S_NS)
    assert one.lag().count == 0


def test_worker_lag_is_the_99th_percentile_per_second_and_overall():
    one = Node()
    row, lag = one.board.row(0), one.board.area(0).declare(Kind.TIMER, "loop_lag")
    found = []
    for slow in (3, 0):
        row[Cell.HEARTBEAT_NS] = now_ns()
        for number in range(100):
            record(lag, 50 * MS_NS if number < slow else MS_NS)
        figures = worker_of(one.sample())
        found.append((figures.lag_p99_s, figures.loop_lag_p99_s))
    assert found[0] == pytest.approx((0.05, 0.05), rel=0.004)
    assert found[1] == pytest.approx((0.001, 0.05), rel=0.004)


def test_a_worker_that_was_never_late_has_no_lag():
    one = Node()
    record(one.board.area(0).declare(Kind.TIMER, "loop_lag"), 0)
    assert TimerBlock(*one.sample().timers)["loop_lag"] == Histogram({0: 1}, 0)


@pytest.mark.parametrize(("used_s", "cpu_s"), [(5, 8), (0, 4), (None, 4)])
def test_a_hanging_worker_has_its_silence_as_lag_and_its_cpu_from_the_os(
    monkeypatch, used_s, cpu_s
):
    one = Fallen(monkeypatch, heartbeat_s=96)
    one.row[health_figures.cell("cpu")] = 4 * S_NS
    used_ns = used_s * S_NS if used_s is not None else None
    monkeypatch.setattr(process, "cpu_ns", lambda _pid: used_ns)
    figures = worker_of(Sampler(one.board, HOST, 20_000).take(NOBODY, 0), 1)
    late_s = 4 if used_s is not None else 0  # an ended process does not hang
    assert (figures.lag_p99_s, figures.loop_lag_p99_s) == (late_s, late_s)
    assert figures.cpu_s == cpu_s


def test_a_late_node_is_not_waited_for_and_its_counts_go_to_a_later_second():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    for name in ("node0", "node1"):
        samples.take(name, sample(1, 10.0))
    seconds.begin(10 * S_NS)
    samples.take("node0", sample(2, 11.0, counters={"a": 1}))
    assert not seconds.over(int(11.1 * S_NS))
    assert seconds.over(10 * S_NS + MAX_NS)
    assert seconds.end_ns(10 * S_NS + MAX_NS) == 10 * S_NS + MAX_NS
    first = seconds.cut(10 * S_NS + MAX_NS, moment())
    assert (first.late, first.counters, first.span_s) == (["node1"], {"a": 1}, 1.5)
    assert [one.node for one in first.workers] == ["node0"]
    samples.take("node1", sample(2, 11.0, counters={"a": 10}))
    samples.take("node0", sample(3, 12.0, counters={"a": 3}))
    second = seconds.cut(seconds.end_ns(int(12.1 * S_NS)), moment())
    assert (second.late, second.counters, second.t_s) == ([], {"a": 12}, 2.0)


def test_a_sample_that_arrives_after_its_second_was_cut_is_not_lost():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    samples.take("node0", sample(1, 10.0))
    seconds.begin(10 * S_NS)
    assert seconds.cut(13 * S_NS, moment()).late == ["node0"]
    samples.take("node0", sample(2, 11.0, counters={"a": 5}))
    assert seconds.has_samples
    last = seconds.cut(seconds.end_ns(int(13.5 * S_NS)), moment())
    assert (last.t_s, last.counters) == (3.5, {"a": 5})


def test_failures_have_exact_times_or_the_bounds_of_their_second():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    refused, late = "pay.failures.refused", "pay.failures.late"
    samples.take("node0", sample(1, 9.0))
    seconds.begin(10 * S_NS)
    moments = {
        f"first_failure.{refused}": (Merge.MIN, 10.25, 2),
        f"last_failure.{refused}": (Merge.MAX, 10.75, 2),
        "queue": (Merge.SUM, 2.0, 1),
    }
    samples.take("node0", sample(2, 11.0, counters={refused: 4, late: 1}, gauges=moments))
    first = seconds.cut(seconds.end_ns(int(11.1 * S_NS)), moment())
    # No worker reports the times of the other cause any more.
    assert first.failed_at == {refused: (0.25, 0.75), late: (0.0, 1.0)}
    assert first.gauges == {"queue": 2.0}
    moments[f"last_failure.{refused}"] = (Merge.MAX, 11.5, 1)
    samples.take("node0", sample(3, 12.0, counters={refused: 5, late: 1}, gauges=moments))
    second = seconds.cut(seconds.end_ns(int(12.1 * S_NS)), moment())
    assert second.failed_at == {refused: (1.0, 1.5)}


def test_an_empty_span_yields_no_second():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    assert seconds.cut(S_NS, moment()) is None
    samples.take("node0", sample(1, 5.0))
    seconds.begin(6 * S_NS)
    assert seconds.cut(6 * S_NS, moment()) is None
    assert not seconds.over(6 * S_NS + 1)


def test_throttle_points_show_the_wanted_rate_and_the_counts():
    samples = SampleMerger()
    seconds = PointCutter(samples)
    seconds.begin(S_NS)
    counts = {"throttles": {"x.y": (9, 5, 0)}, "waiting": {"x.y": 4}}
    samples.take("node0", sample(1, 2.0, counters={"mine": 1}, **counts))
    known = {"x.y": ThrottlePoint(rate=60.0, interval_s=60.0, mode="run"), "idle": ThrottlePoint()}
    point = seconds.cut(seconds.end_ns(2 * S_NS), moment(throttles=known))
    assert point.counters == {"mine": 1}
    assert point.gauges == {}
    assert point.throttles["x.y"] == ThrottlePoint(60.0, 60.0, "run", 9, 5, 0, 4)
    assert point.throttles["x.y"].wanted_per_s == 1.0
    assert point.throttles["idle"] == ThrottlePoint()


def test_prepare_is_called_with_the_number_of_cells_before_they_are_combined(monkeypatch):
    steps: list[object] = []
    united = vectors.united
    monkeypatch.setattr(vectors, "united", lambda keys: steps.append("united") or united(keys))
    board = Board(2, 10)
    one = Sampler(board, HOST, 20_000, prepare=steps.append)
    for worker in board.numbers:
        cells = board.area(worker).declare(Kind.TIMER, "t")
        for row in range(10):
            record(cells, 256 << row)
    one.take(NOBODY, 0)
    assert steps == [20, "united"]


def test_new_metrics_are_registered_in_parts():
    breaths = []
    board = Board(1, 10)
    one = Sampler(board, HOST, 20_000, lambda: breaths.append(1))
    one.take(NOBODY, 0)
    before = len(breaths)
    names = [f"g{number}" for number in range(3 * board_reader.METRICS_AT_ONCE)]
    for name in names:
        board.area(0).declare(Kind.GAUGE, name)[0] = 1.0
    assert {*one.take(NOBODY, 0).gauges} == {*names}
    assert len(breaths) - before >= before + 3
