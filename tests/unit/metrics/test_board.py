"""The shared board: one process writes, others read; a replacement continues a dead worker's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.errors import ExitCode, ResourceError, ScenarioError
from amoc.metrics import board as board_module
from amoc.metrics.area import (
    ENTRIES,
    JOINT_ENTRIES,
    MAX_CAUSES,
    NAME_BYTES,
    OWN_ENTRIES,
    Area,
    Kind,
    Merge,
    joint_name,
)
from amoc.metrics.board import LOOK, Board, Cell, UserState
from amoc.metrics.board_reader import AreaReader
from amoc.metrics.histogram import Histogram
from amoc.metrics.throttle_counts import MAX_THROTTLES, ThrottleCounts
from amoc.metrics.timer_cells import record

KINDS = list(Kind)
names = st.text(min_size=1, max_size=20)


def new_memory(mib: int = 20) -> memoryview:
    return memoryview(bytearray(mib << 20))


def values(area: Area) -> dict[str, object]:
    return {metric.name: metric.value for metric in area.read()}


def test_a_second_area_on_the_same_memory_continues_the_existing_metrics():
    memory = new_memory()
    first = Area(memory)
    first.declare(Kind.COUNTER, "sent")[0] += 5
    record(first.declare(Kind.TIMER, "ttd"), 240)
    second = Area(memory)
    second.declare(Kind.COUNTER, "new")[0] += 1
    second.declare(Kind.COUNTER, "sent")[0] += 2
    record(second.declare(Kind.TIMER, "ttd"), 240)
    assert values(first) == values(second) == {"sent": 7, "ttd": Histogram({240: 2}, 240), "new": 1}


declarations = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(KINDS), st.sampled_from(["a", "b", "ä", "d.e"])),
    max_size=25,
)


def own(kind: Kind, name: str) -> tuple[Kind | None, str]:
    """The identity of a metric: crashes and throttles have namespaces of their own."""
    return (kind if kind in (Kind.CRASH, Kind.THROTTLE) else None), name


@given(declarations)
def test_any_mixture_of_areas_on_one_memory_agrees_on_every_metric(steps):
    memory = new_memory()
    areas = [Area(memory) for _ in range(3)]
    kinds: dict[tuple[Kind | None, str], Kind] = {}
    counts: dict[tuple[Kind | None, str], int] = {}
    for who, kind, name in steps:
        key = own(kind, name)
        if kinds.setdefault(key, kind) is not kind:
            with pytest.raises(ScenarioError, match="so it cannot be a"):
                areas[who].declare(kind, name)
            continue
        cells = areas[who].declare(kind, name)
        if kind is Kind.GAUGE:
            cells[0] = counts.get(key, 0) + 1
        elif kind is Kind.TIMER:
            record(cells, 0)
        else:
            cells[0] += 1
        counts[key] = counts.get(key, 0) + 1
    shown: dict[Kind, Callable[[int], Any]] = {
        Kind.TIMER: lambda count: Histogram({0: count}),
        Kind.THROTTLE: ThrottleCounts,
    }
    expected = {key: shown.get(kinds[key], int)(count) for key, count in counts.items()}
    for area in [*areas, Area(memory)]:
        found = {own(metric.kind, metric.name): metric.value for metric in area.read()}
        assert found == expected


def reader_of(area: Area) -> AreaReader:
    reader = AreaReader(area, {}.__getitem__)
    reader.read_new()
    return reader


def test_a_crash_and_a_counter_may_share_a_name():
    area = Area(new_memory())
    area.declare(Kind.CRASH, "ValueError")[0] += 1
    area.declare(Kind.COUNTER, "ValueError")[0] += 2
    assert sorted(metric.value for metric in area.read()) == [1, 2]


def test_a_replacement_worker_continues_throttle_counts_with_no_one_waiting():
    memory = new_memory()
    area = Area(memory)
    cells = area.declare(Kind.THROTTLE, "sent")
    area.declare(Kind.COUNTER, "sent")[0] += 2
    for at, count in enumerate((7, 5, 1, 4)):
        cells[at] += count
    reader = reader_of(area)
    assert list(reader.waiting()) == [("sent", 4)]
    assert ThrottleCounts(7, 5, 1) in [change.by for some in reader.changes() for change in some]
    cells[1] += 1
    assert [change.by for some in reader.changes() for change in some] == [ThrottleCounts(0, 1, 0)]
    successor = Area(memory)
    successor.forget_gauges()
    assert list(successor.declare(Kind.THROTTLE, "sent")) == [7, 6, 1, 0]
    assert list(reader_of(successor).waiting()) == []


def test_a_kind_clash_names_the_metric_and_both_kinds():
    area = Area(new_memory())
    area.declare(Kind.COUNTER, "sent")
    with pytest.raises(ScenarioError, match="metric 'sent' is a counter, so it cannot be a timer"):
        area.declare(Kind.TIMER, "sent")


def test_a_gauge_cannot_merge_by_two_rules():
    area = Area(new_memory())
    area.declare(Kind.GAUGE, "queue", Merge.MAX)
    with pytest.raises(
        ScenarioError, match="gauge 'queue' merges by max, so it cannot merge by sum"
    ):
        area.declare(Kind.GAUGE, "queue")


def test_unset_gauges_are_left_out_and_forget_gauges_drops_the_rest():
    memory = new_memory()
    Area(memory).declare(Kind.GAUGE, "never")
    Area(memory).declare(Kind.GAUGE, "queue")[0] = 3.5
    Area(memory).declare(Kind.COUNTER, "sent")[0] = 7
    assert values(Area(memory)) == {"queue": 3.5, "sent": 7}
    Area(memory).forget_gauges()
    assert values(Area(memory)) == {"sent": 7}


def test_a_name_may_fill_its_entry_but_not_exceed_it():
    area = Area(new_memory())
    longest = "é" * (NAME_BYTES // 2)
    area.declare(Kind.COUNTER, longest)[0] += 1
    assert values(area) == {longest: 1}
    with pytest.raises(ScenarioError, match=f"at most {NAME_BYTES} bytes"):
        area.declare(Kind.COUNTER, longest + "x")


def test_the_directory_holds_the_stated_number_of_metrics_and_rejects_the_next():
    area = Area(new_memory())
    most = ENTRIES - OWN_ENTRIES
    for number in range(most):
        area.declare(Kind.COUNTER, f"c{number}")[0] = number
    with pytest.raises(ScenarioError, match=f"holds {most} metrics .* a user id in the name"):
        area.declare(Kind.COUNTER, "one_more")
    assert values(area) == {f"c{number}": number for number in range(most)}
    area.declare(Kind.COUNTER, "c7")[0] += 1  # existing ones keep counting


def test_a_directory_full_of_metrics_still_has_room_for_every_cause_of_a_crash():
    area = Area(new_memory())
    for number in range(ENTRIES - OWN_ENTRIES):
        area.declare(Kind.COUNTER, f"c{number}")
    for number in range(MAX_CAUSES + 1):
        area.declare(Kind.CRASH, f"cause {number}")[0] += 1
    crashes = [metric.value for metric in area.read() if metric.kind is Kind.CRASH]
    assert crashes == [1] * (MAX_CAUSES + 1)


def test_there_is_room_for_all_throttles_of_a_run_and_as_many_timers_as_metrics():
    area = Area.private()
    for number in range(ENTRIES - OWN_ENTRIES):
        area.declare(Kind.TIMER, f"timer {number}")
    for number in range(JOINT_ENTRIES):
        area.declare(Kind.TIMER, joint_name([f"timer {number}", f"timer {number + 1}"]))
    for name in ("user_rate", *range(MAX_THROTTLES)):
        area.declare(Kind.THROTTLE, f"throttle {name}")[1] += 1
    found = [metric.value for metric in area.read() if metric.kind is Kind.THROTTLE]
    assert found == [ThrottleCounts(executions=1)] * (MAX_THROTTLES + 1)
    with pytest.raises(ScenarioError, match=f"holds {MAX_THROTTLES + 1} throttles"):
        area.declare(Kind.THROTTLE, "one more")


def test_throttles_take_no_room_from_metrics():
    area = Area(new_memory())
    free = area.free
    for number in range(1_000):
        area.declare(Kind.THROTTLE, f"throttle {number}")
    assert area.free == free
    assert Area(area.memory).free_for_throttles == MAX_THROTTLES + 1 - 1_000


def test_a_timer_that_does_not_fit_is_rejected_before_anything_is_written():
    area = Area(new_memory())
    made = 0
    while len(area.read()) == made:
        made += 1
        try:
            area.declare(Kind.TIMER, f"t{made}")
        except ScenarioError as error:
            assert "no room for metric" in str(error)  # noqa: PT017
    assert 10 < len(area.read()) == made - 1
    area.declare(Kind.COUNTER, "small")[0] += 1
    assert values(area)["small"] == 1


def fill(area: Area, kind: Kind) -> None:
    for number in range(ENTRIES):
        area.declare(kind, f"{kind.name}{number}")


def test_a_memory_full_of_metrics_still_has_room_for_every_cause_of_a_crash():
    area = Area(new_memory())
    for kind in (Kind.TIMER, Kind.COUNTER):
        with pytest.raises(ScenarioError, match="no room for metric"):
            fill(area, kind)
    assert len(area.entries()) < ENTRIES - OWN_ENTRIES, "the memory is full, not the directory"
    for number in range(MAX_CAUSES + 1):
        area.declare(Kind.CRASH, f"cause {number}")[0] += 1
    crashes = [metric.value for metric in area.read() if metric.kind is Kind.CRASH]
    assert crashes == [1] * (MAX_CAUSES + 1)


@pytest.mark.parametrize("kind", [Kind.COUNTER, Kind.TIMER, Kind.CRASH])
def test_a_metric_half_declared_by_a_killed_worker_leaves_no_counts(kind):
    memory = new_memory()
    dying = Area(memory)
    dying.declare(Kind.GAUGE, "queue")
    memory[:8] = bytes(8)  # as after a SIGKILL just before the entry is published
    cells = Area(memory).declare(kind, "sent")
    assert not any(cells)


def test_users_are_counted_by_state_within_the_given_ids():
    board = Board(workers=1, highest_id=50)
    board.users[1] = board.users[2] = UserState.RUNNING
    board.users[4] = UserState.CRASHED
    board.users[9] = UserState.FINISHED
    assert board.count_users(range(1, 6)) == {
        UserState.RUNNING: 2,
        UserState.NONE: 2,
        UserState.CRASHED: 1,
    }
    assert sum(board.count_users(range(1, 51)).values()) == 50


@given(
    st.lists(st.sampled_from(list(UserState)), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(1, 5),
    st.sets(st.sampled_from(list(UserState))),
)
def test_users_in_returns_the_ids_whose_byte_holds_a_wanted_state(states, start, step, wanted):
    board = _BOARD
    board.users[:] = bytes(len(board.users))
    for user_id, state in enumerate(states, start=1):
        board.users[user_id] = state
    ids = range(start, 101, step)
    found = board.users_in(tuple(wanted), ids)
    assert found == [user_id for user_id in ids if UserState(board.users[user_id]) in wanted]


_BOARD = Board(workers=1, highest_id=100)


def test_rows_areas_and_users_do_not_overlap():
    board = Board(workers=3, highest_id=10)
    for worker in range(3):
        for cell in Cell:
            board.row(worker)[cell] = worker * 100 + cell
        board.area(worker).declare(Kind.COUNTER, "sent")[0] = worker
        timer = board.area(worker).declare(Kind.TIMER, "ttd")
        for _ in range(worker + 1):
            record(timer, worker + 1)
    board.users[:] = bytes([UserState.RUNNING]) * len(board.users)
    for worker in range(3):
        assert [board.row(worker)[cell] for cell in Cell] == [worker * 100 + cell for cell in Cell]
        assert values(board.area(worker)) == {
            "sent": worker,
            "ttd": Histogram({worker + 1: worker + 1}, worker + 1),
        }


def test_counts_of_a_killed_process_survive():
    board = Board(workers=2, highest_id=10)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            cells = board.area(1).declare(Kind.COUNTER, "sent")
            for _ in range(1000):
                cells[0] += 1
            board.users[3] = UserState.RUNNING
            os.write(writing, b"x")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(writing)
        assert os.read(reading, 1) == b"x"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
    assert values(board.area(1)) == {"sent": 1000}
    assert board.users_in((UserState.RUNNING,), range(1, 11)) == [3]


def test_a_failed_memory_mapping_is_a_resource_error_naming_size_and_workers(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(board_module.mmap, "mmap", refuse)
    with pytest.raises(ResourceError, match=r"cannot map \d+ MiB .* for 2 workers") as caught:
        Board(2, 1000)
    assert caught.value.exit_code is ExitCode.RESOURCE
    assert "Cannot allocate memory" in str(caught.value)


def test_a_board_beyond_the_address_space_is_rejected_in_one_line():
    with pytest.raises(ResourceError) as caught:
        Board(1, 1 << 62)
    assert "\n" not in str(caught.value)


def test_a_board_only_uses_memory_for_pages_it_has_touched():
    def resident() -> int:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    board = Board(workers=16, highest_id=1_000_000)
    board.area(7).declare(Kind.COUNTER, "sent")[0] += 1
    assert resident() - before < 16 << 20  # of the 1 GiB that is mapped


def test_highest_in_finds_the_highest_ids_across_several_blocks():
    board = Board(workers=1, highest_id=3 * LOOK)
    for user_id in (1, 2, LOOK, LOOK + 1, 3 * LOOK):
        board.users[user_id] = UserState.RUNNING
    board.users[7] = UserState.STARTING
    ids = range(1, 3 * LOOK + 1)
    states = (UserState.RUNNING, UserState.STARTING)
    highest = [3 * LOOK, LOOK + 1, LOOK, 7, 2, 1]
    for count in (0, 1, 3, 4, 6, 99):
        assert board.highest_in(states, ids, count) == highest[:count]
    assert board.highest_in(states, ids, -1) == []
    assert board.highest_in(states, range(0), 5) == []


def test_a_throttle_name_may_have_200_characters_of_any_script():
    area = Area(new_memory())
    name = "🎉" * 200
    area.declare(Kind.THROTTLE, name)
    assert area.has(Kind.THROTTLE, name)
