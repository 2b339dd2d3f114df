from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import gevent
import pytest
from gevent import monkey

from amoc.base.clock import S_NS, now_ns
from amoc.ipc.messages.links import FromWorker
from amoc.ipc.messages.users import Blocked
from amoc.metrics import registry
from amoc.metrics.area import Area
from amoc.metrics.board import ROW_BYTES, Cell
from amoc.metrics.health_figures import cell
from amoc.runtime.worker import heartbeat
from amoc.runtime.worker.heartbeat import BEAT_NS, MAX_TURNS, Beat, Pauses

DEADLINE_S = 60.0
BLOCKED = Blocked(0, "chat.py:12 in talk", 1, S_NS, S_NS, "")
really_sleep = monkey.get_original("time", "sleep")


@dataclass
class FakeDetector:
    """Records the calls of a beat; has one blocking call to report."""

    due_ns: list[int] = field(default_factory=list)
    turned_ns: list[tuple[int, int]] = field(default_factory=list)
    rests: int = 0
    untold: list[Blocked] = field(default_factory=lambda: [BLOCKED])

    def set(self, due_ns: int) -> None:
        self.due_ns.append(due_ns)

    def rest(self) -> None:
        self.rests += 1

    def turned(self, cpu_wait_ns: int, collected_ns: int) -> None:
        self.turned_ns.append((cpu_wait_ns, collected_ns))

    def take(self) -> list[Blocked]:
        told, self.untold = self.untold, []
        return told


@dataclass
class Beating:
    """A running beat and its output."""

    row: memoryview
    detector: FakeDetector
    reports: list[FromWorker]
    area: Area

    def until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < give_up
            gevent.sleep(0.04)  # with more turns than these it would not rest

    def beats(self, count: int) -> None:
        """Wait for `count` more beats."""
        wanted = len(self.detector.turned_ns) + count
        self.until(lambda: len(self.detector.turned_ns) >= wanted)


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Iterator[Beating]:
    row = memoryview(bytearray(ROW_BYTES)).cast("Q")
    for figure in ("cpu", "cpu_wait_s", "gc_s", "preemption_rate"):
        row[cell(figure)] = 1000 * S_NS  # as left by the previous worker
    area = Area.private()
    monkeypatch.setattr("amoc.base.process.set_title", lambda role: None)
    # A process of many tests uses more than a worker at rest.
    monkeypatch.setattr(heartbeat, "RESTING_CPU_NS", S_NS)
    registry.current.attach(area, inherit=False)
    detector, reports = FakeDetector(), []
    beat = Beat(row, detector, reports.append, lambda: "worker 0 (0 users)")
    before = len(gc.callbacks)
    greenlet = gevent.spawn(beat.run)
    yield Beating(row, detector, reports, area)
    greenlet.kill()
    registry.current.attach(Area.private(), inherit=False)
    assert len(gc.callbacks) == before


def test_a_beat_records_time_and_memory_and_continues_earlier_totals(beating: Beating) -> None:
    row, began_ns = beating.row, now_ns()
    beating.beats(2)
    assert row[Cell.HEARTBEAT_NS] >= began_ns
    assert 1 << 20 < row[cell("rss_bytes")] <= row[Cell.MAX_RSS_BYTES]
    assert row[cell("cpu")] > 1000 * S_NS
    assert row[cell("cpu_wait_s")] >= 1000 * S_NS
    assert row[cell("gc_s")] >= 1000 * S_NS
    assert row[cell("preemption_rate")] >= 1000 * S_NS


def test_garbage_collection_time_is_summed_and_passed_to_the_detector(beating: Beating) -> None:
    beating.beats(1)
    before_ns, row = beating.row[cell("gc_s")], beating.row
    gc.collect()
    assert row[cell("gc_s")] > before_ns
    beating.beats(1)
    assert any(collected_ns > 0 for _, collected_ns in beating.detector.turned_ns)


@pytest.mark.slow
def test_blocking_calls_are_reported_once(beating: Beating) -> None:
    beating.beats(1)
    assert beating.reports == [BLOCKED]
    beating.detector.untold.append(BLOCKED._replace(times=2))
    beating.until(lambda: len(beating.reports) == 2)
    assert beating.reports[1].times == 2


@pytest.mark.slow
def test_a_stall_counts_for_each_missed_beat(beating: Beating) -> None:
    beating.beats(1)
    really_sleep(5 * BEAT_NS / S_NS)
    beating.beats(1)
    (lag,) = [one.value for one in beating.area.read() if one.name == "loop_lag"]
    assert lag.max_ns >= 3 * BEAT_NS
    assert lag.count >= len(beating.detector.turned_ns) + 3


@pytest.mark.slow
def test_a_stall_between_two_resting_beats_counts_as_lag(beating: Beating) -> None:
    detector = beating.detector
    beating.until(lambda: detector.rests > 0)
    beats = len(detector.turned_ns)
    gevent.spawn(really_sleep, 5 * BEAT_NS / S_NS)
    beating.until(lambda: len(detector.turned_ns) >= beats + 2)
    (lag,) = [one.value for one in beating.area.read() if one.name == "loop_lag"]
    assert lag.max_ns >= 4 * BEAT_NS


@pytest.mark.slow
def test_a_resting_worker_that_gets_busy_beats_normally_again(beating: Beating) -> None:
    beating.until(lambda: beating.detector.rests > 0)

    def turns() -> bool:
        """Make many turns; return whether it beat instead of resting."""
        for _ in range(2 * MAX_TURNS):
            gevent.sleep(1e-6)  # a turn of the loop, unlike a sleep of 0
        rests, beats = beating.detector.rests, len(beating.detector.turned_ns)
        gevent.sleep(2 * BEAT_NS / S_NS)
        return beating.detector.rests == rests and len(beating.detector.turned_ns) > beats

    beating.until(turns)


@pytest.mark.slow
def test_each_beat_announces_when_the_next_is_due(beating: Beating) -> None:
    beating.beats(3)
    due_ns = beating.detector.due_ns
    assert all(later - sooner >= BEAT_NS for sooner, later in pairwise(due_ns))


def test_a_collection_end_without_a_start_is_ignored() -> None:
    row = memoryview(bytearray(ROW_BYTES)).cast("Q")
    pauses = Pauses(row)
    pauses.note("stop", {})
    assert row[cell("gc_s")] == 0


def test_garbage_collection_pauses_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = memoryview(bytearray(ROW_BYTES)).cast("Q")
    pauses = Pauses(row)
    times_ns = iter([1_000, 1_300, 5_000, 5_040])
    monkeypatch.setattr(heartbeat, "now_ns", lambda: next(times_ns))
    for _ in range(2):
        pauses.note("start", {})
        pauses.note("stop", {})
    pauses.note("stop", {})
    assert row[cell("gc_s")] == 340
