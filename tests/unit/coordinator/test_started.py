"""The controller's state of a coordinator: its groups, its size, its report."""

from __future__ import annotations

from typing import Any

from amoc.coordinator.coordinator import Entry, Started
from amoc.coordinator.plan import STOP, Shape
from amoc.ipc.worker_id import WorkerId

A, B = WorkerId("node0", 0, 1), WorkerId("node1", 0, 1)
PAIRS, FIVES, ALL = Shape(2, 2, True), Shape(5, 5, True), Shape(0, 0, True)
RANDOM = Shape(1, 1000, True)


def started(*shapes: Shape, scope: str = "run", **fields: Any) -> Started:
    return Started("x", shapes or (PAIRS,), 10, scope, fields.pop("functions", None), 7, **fields)


def entry(origin: WorkerId, user_id: int, data: bytes = b"") -> Entry:
    return Entry(origin, user_id, data, 0)


def test_the_run_shares_its_groups_and_nodes_have_their_own_where_that_is_the_scope():
    run, node = started(), started(scope="node")
    assert run.of("node0") is run.of("node1")
    assert run.all(["node0", "node1"]) == [run.of("node0")]
    assert node.of("node0") is node.of("node0") is not node.of("node1")
    assert node.all(["node1"]) == [node.of("node0"), node.of("node1")]
    assert node.all(["node2"])[2] is node.of("node2")
    assert list(run.batches) == [""]


def test_each_name_and_each_node_has_random_sizes_of_its_own():
    one = started(RANDOM, scope="node")

    def sizes(batches: Any) -> list[int]:
        groups = batches.add([entry(A, n) for n in range(20_000)], 0)
        return [len(group.entries) for group in groups]

    first, other = sizes(one.of("node0")), sizes(one.of("node1"))
    assert first != other
    assert sizes(started(RANDOM, scope="node").of("node0")) == first
    assert sizes(started(RANDOM).of("node0")) not in (first, other)


def test_what_is_held_is_the_fullest_group_of_each_node_and_what_was_not_run():
    one = started(PAIRS, FIVES, scope="node")
    one.of("node0").add([entry(A, 1), entry(A, 2), entry(A, 3)], 0)  # 1 and 3 are pending
    one.of("node1").add([entry(B, 4)], 0)
    assert one.held() == 4
    one.tasks = dict.fromkeys(range(8))
    one.held_back = 2
    assert one.held() == 14
    assert one.state().pending == [2, 4]


def test_adds_of_a_lost_worker_are_dropped_and_counted_once_each_and_their_bytes_for_each_item():
    one = started(PAIRS, FIVES, ALL)
    entries = [entry(A, 1, b"aaa"), entry(B, 2, b"b"), entry(A, 3, b"aaaaa"), entry(B, 4, b"bb")]
    one.of("").add(entries[:3], 0)
    one.held_bytes = 100
    one.drop(A)
    assert one.lost == 2
    assert one.held_bytes == 100 - 5 - 8 - 8  # the first is in no pair that is incomplete
    assert one.state().pending == [0, 1, 1]
    one.drop(A)
    assert (one.lost, one.held_bytes) == (2, 79)
    one.of("").add(entries[3:], 0)
    assert [user.user_id for user in one.of("").end(STOP)[-1].entries] == [2, 4]


def test_init_of_another_node_starts_the_same_if_all_that_counts_is_the_same():
    one = started()
    assert one.same_as(started())
    assert one.same_as(started(adds=5, incarnation=3))
    assert not one.same_as(started(FIVES))
    assert not one.same_as(started(scope="node"))
    assert not one.same_as(Started("x", (PAIRS,), 11, "run", None, 7))
    assert not one.same_as(started(functions=[["m", "f"]]))
    assert not started(functions=[["m", "f"]]).same_as(one)
    assert not started(functions=[["m", "f"]]).same_as(started(functions=[["m", "f"]]))


def test_its_state_has_each_count_in_its_place():
    counts = {"adds": 2, "groups": 3, "timeouts": 4, "refused": 5, "lost": 6, "given_up": 7}
    state = started(PAIRS, ALL, scope="node", tasks={9: None}, **counts).state()
    assert state._asdict() == {
        "name": "x",
        "scope": "node",
        "pending": [0, 0],
        "acting": 1,
        **counts,
    }


def test_what_it_has_not_done_is_said_at_the_end_and_nothing_else():
    assert started(adds=5, lost=2, timeouts=1).unfinished() == ""
    assert started(tasks={1: None}).unfinished() == "coordinator x: 1 group not run yet"
    assert started(tasks=dict.fromkeys((1, 2)), given_up=3, refused=1).unfinished() == (
        "coordinator x: 2 groups not run yet, 3 groups given up, 1 add refused"
    )
