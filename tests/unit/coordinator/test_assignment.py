"""Which worker runs which groups, and who takes over from a lost worker."""

from __future__ import annotations

import pytest

from amoc.coordinator import assignment
from amoc.coordinator.assignment import MAX_TRIES, Task, Tasks
from amoc.ipc.messages.coordinator import GroupPart
from amoc.ipc.worker_id import WorkerId

A, B, C = (WorkerId("node0", index, 1) for index in range(3))
PARTS = [GroupPart(0, "coordinate", 1, 0, [1], [b""])]


def tasks(*up: WorkerId) -> Tasks[str]:
    made: Tasks[str] = Tasks()
    for origin in up:
        made.up(origin)
    return made


def sent(one: Tasks[str]) -> dict[WorkerId, list[int]]:
    """The numbers that each worker is sent now."""
    return {origin: [task.number for task in given] for origin, given in one.unsent()}


def test_a_task_goes_to_a_worker_that_has_one_of_its_users_and_each_has_its_turn():
    one = tasks(A, B, C)
    for _ in range(20):
        one.add("x", PARTS, [A, B])
    given = sent(one)
    assert {origin: len(numbers) for origin, numbers in given.items()} == {A: 10, B: 10}
    assert sorted([*given[A], *given[B]]) == list(range(1, 21))
    assert sent(one) == {}, "once"


def test_where_a_users_worker_is_gone_another_users_takes_it_and_else_any():
    one = tasks(B, C)
    for _ in range(6):
        one.add("x", PARTS, [A, B])
    assert {origin: len(numbers) for origin, numbers in sent(one).items()} == {B: 6}
    for _ in range(6):
        one.add("x", PARTS, [A])
    assert {origin: len(numbers) for origin, numbers in sent(one).items()} == {B: 3, C: 3}
    for _ in range(6):
        one.add("x", PARTS, [])
    assert {origin: len(numbers) for origin, numbers in sent(one).items()} == {B: 3, C: 3}


def test_a_worker_with_many_users_of_a_group_runs_it_more_often():
    one = tasks(A, B)
    for _ in range(40):
        one.add("x", PARTS, [A, A, A, B])
    assert {origin: len(numbers) for origin, numbers in sent(one).items()} == {A: 30, B: 10}


def test_without_workers_tasks_wait_for_the_first_one():
    one = tasks()
    one.add("x", PARTS, [A])
    one.add("x", PARTS, [])
    assert sent(one) == {}
    assert A not in one.workers
    one.up(B)
    assert B in one.workers
    assert list(one.workers) == [B]
    assert sent(one) == {B: [1, 2]}
    one.up(C)
    assert sent(one) == {}


def test_only_what_was_not_known_to_be_done_counts_as_done():
    one = tasks(A)
    for owner in "xyz":
        one.add(owner, PARTS, [A])
    sent(one)
    assert [task.owner for task in one.done(A, [3, 1, 9])] == ["z", "x"]
    assert one.done(A, [3, 1]) == []
    assert [task.number for task in one.done(A, [1, 2])] == [2]


def test_tasks_beyond_the_window_wait_and_follow_in_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(assignment, "WINDOW", 2)
    one = tasks(A)
    for _ in range(6):
        one.add("x", PARTS, [A])
    assert sent(one) == {A: [1, 2]}
    one.done(A, [2])
    assert sent(one) == {A: [3]}
    one.done(A, [1, 3])
    assert sent(one) == {A: [4, 5]}
    one.done(A, [4, 5])
    one.done(A, [6])
    assert one.done(A, [6]) == []


def test_what_a_lost_worker_had_goes_to_others_and_what_was_not_tried_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(assignment, "WINDOW", 2)
    one = tasks(A)
    for _ in range(4):
        one.add("x", PARTS, [A])
    sent(one)
    one.done(A, [1])
    assert one.lost(A) == []
    assert one.lost(A) == [], "nobody that is known"
    one.up(B)
    assert sent(one) == {B: [2, 3]}
    one.done(B, [2, 3])
    assert sent(one) == {B: [4]}
    assert one.lost(B) == []
    one.up(C)
    assert sent(one) == {C: [4]}
    assert [task.tries for task in one.done(C, [4])] == [1]


def test_a_task_is_given_up_after_too_many_workers_died_running_it():
    one = tasks(A)
    one.add("x", PARTS, [A])
    for _ in range(1, MAX_TRIES):
        assert sent(one) == {A: [1]}
        assert one.lost(A) == []
        one.up(A)
    sent(one)
    (given_up,) = one.lost(A)
    assert isinstance(given_up, Task)
    assert (given_up.number, given_up.owner, given_up.tries) == (1, "x", MAX_TRIES)
    one.up(A)
    assert sent(one) == {}
