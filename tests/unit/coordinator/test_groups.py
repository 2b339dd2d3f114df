"""Controller and workers together: adds form groups, and each group's actions run in a worker."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gevent
import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc import metrics
from amoc.base import pause
from amoc.base.errors import ScenarioError
from amoc.coordinator import assignment, init_plans
from amoc.coordinator import controller as groups_module
from amoc.ipc.messages.coordinator import CoordinatorGroups
from tests.unit.coordinator.connected import Cluster, Worker, until


class Clock:
    ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.ns


met: list[Any] = []
gate = gevent.event.Event()


def meet(event: Any, a: Any, b: Any) -> None:
    met.append((event, a, b))


@pytest.fixture(autouse=True)
def _clear_met() -> None:
    met.clear()


def test_users_of_two_workers_meet_with_their_data() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    one, other = cluster.up(0), cluster.up(1)
    one.add("pairs", 1, ["left", {"a": [1]}])
    one.actions.flush()
    other.add("pairs", 2, b"right")
    until(lambda: met)
    assert met == [(("coordinate", 2), (1, ("left", {"a": (1,)})), (2, b"right"))]
    until(cluster.quiet)
    state = cluster.groups.states()[0]
    assert (state.pending, state.adds, state.groups, state.acting) == ([0], 2, 1, 0)


def test_groups_run_on_their_users_workers_evenly() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    workers = [cluster.up(worker) for worker in range(3)]
    for user_id in range(1, 201):
        workers[user_id % 2].add("pairs", user_id)
        cluster.flush()
    until(lambda: len(met) == 100)
    share = Counter(
        origin.worker
        for origin, record in cluster.sent
        if isinstance(record, CoordinatorGroups)
        for _ in record.groups
    )
    assert share[2] == 0
    assert abs(share[0] - share[1]) <= 2


def test_items_for_all_users_run_after_the_sized_ones() -> None:
    seen: list[Any] = []
    cluster = Cluster()
    cluster.start_in_init(
        "x",
        [
            ("all", lambda event, users: seen.append(("all", event, [one for one, _ in users]))),
            (2, lambda event, users: seen.append(("two", event, [one for one, _ in users]))),
            (5, lambda event: seen.append(("five", event))),
        ],
    )
    worker = cluster.up(0)
    cluster.up(1)
    for user_id in (1, 2, 3):
        worker.add("x", user_id)
    worker.actions.flush()
    cluster.ask("reset", "x")
    until(lambda: len(seen) == 4)
    assert seen == [
        ("two", ("coordinate", 2), [1, 2]),
        ("two", ("reset", 1), [3]),
        ("five", ("reset", 3)),
        ("all", ("reset", 3), [1, 2, 3]),
    ]
    # No adds since: everything runs again, without users.
    cluster.ask("reset", "x")
    until(lambda: len(seen) == 7)
    assert seen[4:] == [
        ("two", ("reset", 0), []),
        ("five", ("reset", 0)),
        ("all", ("reset", 0), []),
    ]


def test_a_timeout_ends_incomplete_groups_and_does_not_run_during_a_pause() -> None:
    clock = Clock()
    cluster = Cluster(now=clock)
    cluster.start_in_init("pairs", (2, meet), timeout=30)
    worker = cluster.up(0)
    assert cluster.groups.next_due_s() is None
    worker.add("pairs", 1, "here")
    worker.actions.flush()
    assert cluster.groups.next_due_s() == 30
    clock.ns += 20 * 10**9
    cluster.groups.pause_run()
    clock.ns += 500 * 10**9
    cluster.groups.tick()
    assert cluster.groups.next_due_s() is None
    cluster.groups.resume_run()
    assert cluster.groups.next_due_s() == 10
    clock.ns += 10 * 10**9
    cluster.groups.tick()
    until(lambda: met)
    assert met == [(("timeout", 1), (1, "here"), None)]
    assert cluster.groups.next_due_s() is None
    assert cluster.groups.states()[0].timeouts == 1


def test_timeouts_fire_while_the_greenlet_runs() -> None:
    cluster = Cluster()
    cluster.start_in_init("slow", (9, meet), timeout=3600)
    cluster.start_in_init("pairs", (2, meet), timeout=0.02)
    worker = cluster.up(0)
    running = gevent.spawn(cluster.groups.run)
    worker.add("slow", 7)
    worker.actions.flush()
    gevent.sleep(0)
    worker.add("pairs", 1)
    until(lambda: met)
    assert met == [(("timeout", 1), (1, None), None)]
    running.kill()


def test_with_node_scope_each_node_forms_its_own_groups() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet), scope="node")
    here, there = cluster.up(0, node="node0"), cluster.up(0, node="node1")
    here.add("pairs", 1)
    there.add("pairs", 2)
    cluster.flush()
    assert cluster.groups.states()[0].pending == [2]
    here.add("pairs", 3)
    there.add("pairs", 4)
    until(lambda: len(met) == 2)
    assert sorted((a[0], b[0]) for _, a, b in met) == [(1, 3), (2, 4)]
    cluster.ask("reset", "pairs")
    until(lambda: len(met) == 4)
    assert met[2:] == [(("reset", 0), None, None)] * 2


def test_an_unacknowledged_group_of_a_lost_worker_runs_on_another() -> None:
    cluster = Cluster()
    cluster.start_in_init("threes", (3, lambda event, users: met.append(users)))
    doomed, other = cluster.up(0, deaf=True), cluster.up(1, deaf=True)
    for user_id in (1, 2, 3):
        (doomed if user_id < 3 else other).add("threes", user_id)
        cluster.flush()
    holder = doomed if doomed.unheard else other
    survivor = other if holder is doomed else doomed
    cluster.lose(holder)
    assert len(survivor.unheard) == 1
    survivor.deaf = False
    survivor.handle(survivor.unheard.pop())
    until(lambda: met)
    assert [user_id for user_id, _ in met[0]] == [1, 2, 3]
    until(cluster.quiet)


def test_a_group_without_a_worker_waits_for_the_next_one() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    only = cluster.up(0, deaf=True)
    only.add("pairs", 1)
    only.add("pairs", 2)
    only.actions.flush()
    assert only.unheard
    cluster.lose(only)
    gevent.sleep(0)
    assert not met
    cluster.up(0, incarnation=2)
    until(lambda: met)
    until(cluster.quiet)


def test_an_acknowledged_group_of_a_lost_worker_does_not_run_again() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker, other = cluster.up(0), cluster.up(1)
    worker.add("pairs", 1)
    worker.add("pairs", 2)
    until(lambda: met)
    until(cluster.quiet)
    cluster.lose(worker)
    other.add("pairs", 3)
    other.add("pairs", 4)
    until(lambda: len(met) == 2)
    assert [a[0] for _, a, _ in met] == [1, 3]


def test_users_of_a_lost_worker_outside_complete_groups_are_dropped_and_counted() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    doomed, other = cluster.up(0), cluster.up(1)
    doomed.add("pairs", 1)
    doomed.actions.flush()
    cluster.lose(doomed)
    assert cluster.groups.states()[0].lost == 1
    doomed.alive = True  # its last messages arrive late
    doomed.add("pairs", 1)
    doomed.actions.flush()
    other.add("pairs", 2)
    other.actions.flush()
    assert cluster.groups.states()[0].pending == [1]
    again = cluster.up(0, incarnation=2)
    again.add("pairs", 1, "again")
    until(lambda: met)
    assert {a[0] for _, *users in met for a in users} == {1, 2}


def test_groups_beyond_a_workers_window_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "WINDOW", 10)
    cluster = Cluster()
    cluster.start_in_init("ones", (1, lambda event, users: met.append(users[0][0])))
    worker = cluster.up(0, deaf=True)
    for user_id in range(1, 101):
        worker.add("ones", user_id)
    worker.actions.flush()
    assert sum(len(record.groups) for _, record in cluster.sent) == 10
    worker.deaf = False
    worker.handle(worker.unheard.pop())
    until(lambda: len(met) == 100)
    assert met == list(range(1, 101))
    until(cluster.quiet)


def test_adds_beyond_the_limit_are_refused_counted_and_noted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups_module, "MAX_HELD", 50)
    cluster = Cluster()
    cluster.start_in_init("all", ("all", met.append))
    worker = cluster.up(0)
    for user_id in range(1, 101):
        worker.add("all", user_id)
        worker.actions.flush()
    state = cluster.groups.states()[0]
    assert (state.pending, state.adds, state.refused) == ([50], 50, 50)
    assert len(cluster.notes) == 1
    cluster.ask("reset", "all")
    until(lambda: met == [("reset", 50)])
    worker.add("all", 101)
    worker.actions.flush()
    assert cluster.groups.states()[0].pending == [1]


def test_adds_beyond_the_byte_limit_are_refused_until_actions_have_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups_module, "MAX_HELD_BYTES", 1 << 20)
    cluster = Cluster()
    cluster.start_in_init("ones", (1, lambda event, users: met.append(len(users[0][1]))))
    worker = cluster.up(0, deaf=True)  # its actions do not run yet
    for user_id in range(1, 31):
        worker.add("ones", user_id, b"x" * 50_000)
        worker.actions.flush()
    state = cluster.groups.states()[0]
    assert (state.acting, state.adds, state.refused) == (20, 20, 10)
    (note,) = cluster.notes
    assert note == (
        "coordinator ones holds 1 MiB of adds and groups to run, its limit: further adds are"
        " refused; check what its actions are waiting for"
    )
    worker.deaf = False
    for body in worker.unheard:
        worker.handle(body)
    until(cluster.quiet)
    assert cluster.groups.started["ones"].held_bytes == 0
    worker.add("ones", 31, b"x" * 50_000)
    until(lambda: len(met) == 21)


def test_bytes_count_once_per_item_that_still_needs_them() -> None:
    cluster = Cluster()
    cluster.start_in_init(
        "x", [(2, lambda event: None), (3, lambda event, users: None), ("all", met.append)]
    )
    one, other = cluster.up(0, deaf=True), cluster.up(1, deaf=True)
    started = cluster.groups.started["x"]
    for worker in (one, other):
        worker.add("x", 1, b"x" * 98)  # 100 bytes when packed
        worker.actions.flush()
    assert started.held_bytes == 400  # the pair does not need its bytes
    cluster.lose(one)
    assert started.held_bytes == 200
    cluster.ask("reset", "x")
    assert started.held_bytes == 200  # the item for all is still to run
    for incarnation in range(2, 2 + assignment.MAX_TRIES):  # the groups of two and three
        cluster.lose(other)
        other = cluster.up(1, incarnation, deaf=True)
    assert started.held_bytes == 0
    for incarnation in range(10, 10 + assignment.MAX_TRIES):  # then the group of all
        assert started.acting
        cluster.lose(other)
        other = cluster.up(1, incarnation, deaf=True)
    assert not started.acting


def hold(event: Any, users: Any) -> None:
    met.append("begins")
    gate.wait()
    met.append("ends")


@pytest.mark.parametrize("kind", ["reset", "stop", "timeout"])
def test_actions_for_all_users_run_after_those_of_sized_groups(kind: str) -> None:
    gate.clear()
    clock = Clock()
    cluster = Cluster(now=clock)
    cluster.start_in_init("x", [("all", met.append), (2, hold)], timeout=10)
    one, other = cluster.up(0), cluster.up(1)
    one.add("x", 1)
    one.add("x", 2)  # completes a pair before the end
    one.actions.flush()
    other.add("x", 3)
    other.actions.flush()
    until(lambda: met == ["begins"])
    if kind == "timeout":
        clock.ns += 10 * 1_000_000_000
        cluster.groups.tick()
    else:
        done = cluster.groups.operations[f"coordinator.{kind}"](None, "x", True)
        assert not done.is_done
    until(lambda: met == ["begins", "begins"])  # the incomplete pair formed by the end
    gate.set()
    until(lambda: len(met) == 5)
    assert met == ["begins", "begins", "ends", "ends", (kind, 3)]
    until(cluster.quiet)
    if kind != "timeout":
        until(lambda: done.is_done)


def test_a_reset_completes_when_the_group_it_waits_for_is_given_up() -> None:
    cluster = Cluster()
    cluster.start_in_init("x", [(2, hold), ("all", met.append)])
    worker = cluster.up(0, deaf=True)
    worker.add("x", 1)
    worker.add("x", 2)
    worker.actions.flush()
    done = cluster.groups.operations["coordinator.reset"](None, "x", True)
    for incarnation in range(2, 2 + assignment.MAX_TRIES):
        assert not met
        assert not done.is_done
        cluster.lose(worker)
        worker = cluster.up(0, incarnation, deaf=incarnation <= assignment.MAX_TRIES)
    until(lambda: met == [("reset", 2)])
    until(lambda: done.is_done)


def test_each_reset_runs_its_own_item_for_all_users() -> None:
    gate.clear()
    cluster = Cluster()
    cluster.start_in_init("x", [(1, hold), ("all", met.append)])
    worker = cluster.up(0)
    ends = []
    for user_id in range(1, 4):
        worker.add("x", user_id)
        worker.actions.flush()
        ends.append(cluster.groups.operations["coordinator.reset"](None, "x", True))
    gate.set()
    until(lambda: all(one.is_done for one in ends))
    assert [one for one in met if isinstance(one, tuple)] == [("reset", 1)] * 3
    assert cluster.groups.states()[0].acting == 0


def test_a_reset_waits_for_the_all_users_actions_of_an_earlier_timeout() -> None:
    gate.clear()
    clock = Clock()
    cluster = Cluster(now=clock)
    cluster.start_in_init("x", ("all", hold), timeout=10)
    worker = cluster.up(0)
    worker.add("x", 1)
    worker.actions.flush()
    clock.ns += 10 * 1_000_000_000
    cluster.groups.tick()
    until(lambda: met == ["begins"])
    done = cluster.groups.operations["coordinator.reset"](None, "x", True)
    assert not done.is_done
    gate.set()
    until(lambda: done.is_done)
    assert met == ["begins", "ends", "begins", "ends"]


def test_timeouts_that_nobody_waits_for_leave_nothing_behind() -> None:
    clock = Clock()
    cluster = Cluster(now=clock)
    cluster.start_in_init("x", (2, meet), timeout=10)
    worker = cluster.up(0, deaf=True)  # no action returns
    for user_id in range(1, 51):
        worker.add("x", user_id)
        worker.actions.flush()
        clock.ns += 10 * 1_000_000_000
        cluster.groups.tick()
    started = cluster.groups.started["x"]
    assert started.timeouts == started.acting == 50
    assert not started.endings


def test_a_name_is_started_once_but_each_node_may_repeat_it_in_init() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker = cluster.up(0)
    with pytest.raises(ScenarioError, match="coordinator pairs is already started"):
        cluster.start_by_user(worker, "pairs", (2, meet))
    init_plans.forget()
    cluster.start_in_init("pairs", (2, meet))
    assert len(cluster.groups.states()) == 1
    with pytest.raises(ScenarioError, match="coordinator pairs is already started"):
        cluster.start_in_init("pairs", (3, meet))
    with pytest.raises(ScenarioError, match="coordinator pairs is already started"):
        init_plans.start("pairs", [])


def test_a_coordinator_started_by_a_user_works_in_current_and_later_workers() -> None:
    cluster = Cluster()
    one, other = cluster.up(0), cluster.up(1)
    cluster.start_by_user(one, "pairs", (2, meet))
    later = cluster.up(2)
    for user_id, worker in enumerate((other, other, later, later), start=1):
        assert "pairs" in worker.actions.adding
        worker.add("pairs", user_id)
    until(lambda: len(met) == 2)


@pytest.mark.parametrize("function", [lambda event: None, Worker.add, "".join])
def test_a_user_can_only_start_actions_that_are_top_level_functions(function: Any) -> None:
    cluster = Cluster()
    worker = cluster.up(0)
    with pytest.raises(ScenarioError, match=r"must be top-level functions of a module|must take"):
        cluster.start_by_user(worker, "x", (2, function))


def test_stop_runs_the_last_groups_and_frees_the_name() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker, other = cluster.up(0), cluster.up(1)
    worker.add("pairs", 1)
    worker.actions.flush()
    other.add("pairs", 5)  # not flushed yet when the coordinator ends
    cluster.ask("stop", "pairs")
    until(lambda: met)
    assert met == [(("stop", 1), (1, None), None)]
    assert "pairs" not in worker.actions.adding
    other.actions.flush()
    until(lambda: not cluster.groups.ended)
    assert cluster.groups.unfinished() == ["1 add came after the coordinator was stopped"]
    with pytest.raises(ScenarioError, match="pairs must be started again before it is used"):
        cluster.ask("reset", "pairs")
    cluster.start_by_user(worker, "pairs", (2, meet))
    later = cluster.up(2)
    for user_id in (2, 3):
        later.add("pairs", user_id)
    until(lambda: len(met) == 2)
    assert met[1] == (("coordinate", 2), (2, None), (3, None))


def test_a_stopped_plan_is_forgotten_after_its_last_group_has_run() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker = cluster.up(0)
    for _ in range(3):
        cluster.ask("stop", "pairs")
        until(lambda: not worker.actions.plans)
        assert not cluster.groups.ended
        cluster.start_by_user(worker, "pairs", (2, meet))
    # A worker forked later inherits the plan of init() and drops it.
    later = cluster.up(0, incarnation=2)
    assert set(later.actions.plans) == {("pairs", 4)}
    later.add("pairs", 1)
    later.add("pairs", 2)
    until(lambda: met[-1] == (("coordinate", 2), (1, None), (2, None)))


def test_a_new_worker_runs_groups_of_a_stopped_coordinator_but_takes_no_adds():
    cluster = Cluster()
    cluster.start_in_init("by init", (2, meet))
    first, other = cluster.up(0, deaf=True), cluster.up(1, deaf=True)
    cluster.start_by_user(first, "by user", (2, meet))
    other.handle(other.unheard.pop())
    for user_id, name in enumerate(("by init", "by user"), start=1):
        first.add(name, user_id)
        first.actions.flush()
        cluster.ask("stop", name)
    assert {one.name for one in cluster.groups.ended} == {"by init", "by user"}
    cluster.lose(other)
    cluster.lose(first)
    replacement = cluster.up(0, incarnation=2)
    assert "by init" not in replacement.actions.adding
    assert "by user" not in replacement.actions.adding
    until(lambda: len(met) == 2)
    assert sorted(met) == [(("stop", 1), (number, None), None) for number in (1, 2)]
    until(lambda: not cluster.groups.ended)
    assert cluster.groups.unfinished() == []
    assert not replacement.failures


def test_late_adds_to_a_stopped_coordinator_do_not_count_in_its_successor() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    here, there = cluster.up(0), cluster.up(1, deaf=True)
    there.add("pairs", 1)  # not told of the end yet
    cluster.ask("stop", "pairs")
    cluster.start_by_user(here, "pairs", (2, meet))
    there.actions.flush()
    state = cluster.groups.states()[0]
    assert (state.adds, state.pending) == (0, [0])
    assert cluster.groups.unfinished()[-1:] == ["1 add came after the coordinator was stopped"]
    here.add("pairs", 2)
    here.add("pairs", 3)
    until(lambda: (("coordinate", 2), (2, None), (3, None)) in met)


def test_each_pause_of_the_run_stops_the_timeout_clock() -> None:
    clock = Clock()
    cluster = Cluster(now=clock)
    cluster.start_in_init("pairs", (2, meet), timeout=30)
    worker = cluster.up(0)
    worker.add("pairs", 1)
    worker.actions.flush()
    for left in (25, 20, 15):
        clock.ns += 5 * 10**9
        cluster.groups.pause_run()
        clock.ns += 1000 * 10**9
        cluster.groups.pause_run()  # idempotent
        clock.ns += 1000 * 10**9
        cluster.groups.resume_run()
        cluster.groups.resume_run()
        assert cluster.groups.next_due_s() == left
        cluster.groups.tick()
    assert cluster.groups.states()[0].timeouts == 0
    clock.ns += 15 * 10**9
    cluster.groups.tick()
    until(lambda: met == [(("timeout", 1), (1, None), None)])


def test_a_raising_action_is_counted_and_reported_and_the_others_run() -> None:
    def fail(event: Any) -> None:
        raise ValueError("no")

    errors = metrics.built_in(metrics.Counter, "coordinator.failing.action_errors")
    before = errors.value
    cluster = Cluster()
    cluster.start_in_init("failing", [(2, [fail, meet, fail]), (1, fail)])
    worker = cluster.up(0)
    worker.add("failing", 1)
    worker.add("failing", 2)
    until(lambda: met)
    until(cluster.quiet)
    assert errors.value - before == 4
    assert [str(error) for error in worker.failures] == ["no"] * 4


class Hashable(dict):  # type: ignore[type-arg]
    __hash__ = object.__hash__  # type: ignore[assignment]


def test_a_group_with_unreadable_data_fails_and_its_runner_carries_on() -> None:
    errors = metrics.built_in(metrics.Counter, "coordinator.unreadable.action_errors")
    before = errors.value
    cluster = Cluster()
    plan = [(1, lambda event, users: met.append(users)), (1, met.append)]
    cluster.start_in_init("unreadable", plan)
    worker = cluster.up(0)
    for user_id in range(1, 11):
        worker.add("unreadable", user_id, {Hashable(): 1})
    until(cluster.quiet)
    worker.actions.flush()
    until(cluster.quiet)
    assert met == [("coordinate", 1)] * 10  # the item that does not read users runs
    assert errors.value - before == 10
    reason = (
        "data added to coordinator unreadable must be readable where its actions run, but"
        " unhashable type: 'dict'; the actions of this group are not run"
    )
    assert {str(error) for error in worker.failures} == {reason}
    assert len(worker.actions.idle) == worker.actions.runners
    worker.add("unreadable", 11, "fine")
    until(lambda: met[-2:] == [((11, "fine"),), ("coordinate", 1)])


def test_a_runner_survives_a_timeout_that_an_action_left_running() -> None:
    late = gevent.Timeout(0.01)

    def leave(event: Any) -> None:
        met.append(event)
        late.start()

    cluster = Cluster()
    cluster.start_in_init("leaving", (1, leave))
    cluster.start_in_init("ones", (1, meet))
    worker = cluster.up(0)
    worker.add("leaving", 1)
    until(lambda: worker.failures)
    assert worker.failures == [late]
    worker.add("ones", 2)
    until(lambda: len(met) == 2)
    until(cluster.quiet)
    assert len(worker.actions.idle) == worker.actions.runners == 1


def test_a_waiting_action_does_not_block_the_groups_behind_it() -> None:
    gate = gevent.event.Event()
    begun: list[int] = []
    ended: list[int] = []

    def act(event: Any, users: Any) -> None:
        user_id = users[0][0]
        begun.append(user_id)
        if user_id % 2:
            gate.wait()
        ended.append(user_id)

    cluster = Cluster()
    cluster.start_in_init("ones", (1, act))
    worker = cluster.up(0)
    for user_id in range(1, 21):
        worker.add("ones", user_id)
    until(lambda: len(ended) == 10)
    assert begun == list(range(1, 21))
    assert cluster.groups.states()[0].acting >= 10
    gate.set()
    until(cluster.quiet)
    assert sorted(ended) == begun


def test_no_action_begins_while_the_run_is_paused() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker = cluster.up(0)
    pause.pause()
    worker.add("pairs", 1)
    worker.add("pairs", 2)
    until(lambda: cluster.groups.states()[0].acting == 1)
    for _ in range(20):
        gevent.sleep(0)
    assert not met
    pause.resume()
    until(lambda: met)
    worker.add("pairs", 3)
    worker.add("pairs", 4)
    until(lambda: len(met) == 2)


def test_unsendable_data_is_refused_by_add() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker = cluster.up(0)
    with pytest.raises(ScenarioError, match="data added to coordinator pairs must consist of"):
        worker.add("pairs", 1, object())
    with pytest.raises(ScenarioError, match="must have at most 65,536 bytes, got"):
        worker.add("pairs", 1, b"x" * (1 << 16))
    with pytest.raises(KeyError):
        worker.add("nobody", 1)
    worker.add("pairs", 1, "\udc80")
    worker.add("pairs", 2, {1: None})
    until(lambda: met)
    assert met[0][1:] == ((1, "\udc80"), (2, {1: None}))


def test_a_group_whose_workers_keep_dying_is_given_up_and_noted() -> None:
    cluster = Cluster()
    cluster.start_in_init("pairs", (2, meet))
    worker = cluster.up(0, deaf=True)
    worker.add("pairs", 1)
    worker.add("pairs", 2)
    worker.actions.flush()
    for incarnation in range(2, assignment.MAX_TRIES + 1):
        cluster.lose(worker)
        worker = cluster.up(0, incarnation, deaf=True)
        assert worker.unheard
        assert not cluster.notes
    assert cluster.groups.unfinished() == ["coordinator pairs: 1 group not run yet"]
    cluster.lose(worker)
    state = cluster.groups.states()[0]
    assert (state.acting, state.given_up) == (0, 1)
    assert cluster.notes == [
        "gave up a group of coordinator pairs: 5 workers died while running it"
    ]
    assert cluster.groups.unfinished() == ["coordinator pairs: 1 group given up"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.integers(1, 7)),
        st.tuples(st.just("lose"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("deafen"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("reset"), st.just(0), st.just(0)),
        st.tuples(st.just("expire"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@given(STEPS)
def test_every_add_is_in_a_group_that_ran_or_was_lost_with_its_worker(
    steps: list[tuple[str, int, int]],
) -> None:
    init_plans.forget()
    clock = Clock()
    ran: list[list[list[int]]] = [[], [], []]
    sizes: list[Any] = [2, (1, 4), "all"]

    def act(item: int) -> Any:
        return lambda event, users: ran[item].append([one for one, _ in users])

    cluster = Cluster(now=clock)
    cluster.start_in_init("x", [(size, act(item)) for item, size in enumerate(sizes)], timeout=1)
    workers = [cluster.up(worker) for worker in range(3)]
    added, may_be_lost = 0, set()
    for what, index, count in steps:
        worker = workers[index]
        if what == "add":
            new = range(added + 1, added + 1 + count)
            added += count
            for user_id in new:
                worker.add("x", user_id, index)
            worker.actions.flush()
        elif what == "lose":
            may_be_lost.update(range(1, added + 1))
            cluster.lose(worker)
            workers[index] = cluster.up(index, worker.origin.incarnation + 1)
        elif what == "deafen":
            worker.deaf = True
        elif what == "reset":
            cluster.ask("reset", "x")
        else:
            clock.ns += 10**9
            cluster.groups.tick()
    for worker in workers:
        worker.deaf = False
        for body in worker.unheard:
            worker.handle(body)
    cluster.ask("reset", "x")
    until(cluster.quiet)
    state = cluster.groups.states()[0]
    assert state.adds == added
    assert state.pending == [0, 0, 0]
    assert cluster.groups.started["x"].held_bytes == 0
    for item in range(3):
        # A group may run twice if a worker died, but only as a whole.
        once = {tuple(users): None for users in ran[item] if users}
        seen = Counter(one for users in once for one in users)
        assert all(count == 1 for count in seen.values())
        assert set(range(1, added + 1)) - seen.keys() <= may_be_lost
        assert added - len(seen) <= state.lost or state.given_up
