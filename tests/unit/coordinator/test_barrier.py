"""Barriers: users wait until all have arrived, then continue together."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import pause
from amoc.base.clock import now_ns
from amoc.base.errors import AmocError, ScenarioError
from amoc.base.node_latency import NodeLatency
from amoc.coordinator import barrier_worker
from amoc.coordinator.barrier_controller import LEAD_NS, Barriers, ranges
from amoc.coordinator.barrier_worker import BarrierTimeout
from amoc.ipc.messages.coordinator import (
    BarrierArrivals,
    BarrierRefusal,
    BarrierRelease,
    BarrierWithdrawals,
)
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import UserState
from amoc.users.user import StopReason
from tests.unit.coordinator.connected import Cluster, Crowd, Worker, until

A, B = WorkerId("node0", 0, 1), WorkerId("node0", 1, 1)


class Meeting:
    """Users of a worker that wait at a barrier."""

    def __init__(self, worker: Worker, n: int, timeout: float = 60.0, rounds: int = 1) -> None:
        self.worker, self.n, self.timeout, self.rounds = worker, n, timeout, rounds
        self.released: dict[int, list[int]] = {}
        self.crowd = Crowd(self.visit)

    def visit(self, user_id: int) -> None:
        for _ in range(self.rounds):
            self.worker.actions.barriers.wait("all", self.n, self.timeout)
            self.released.setdefault(user_id, []).append(now_ns())

    def start(self, ids: Any) -> None:
        self.crowd.start(ids)


def waiting(cluster: Cluster) -> int:
    return cluster.groups.barriers.waiting().get("all", (0, 0))[0]


def test_all_users_are_released_once_the_last_one_has_arrived() -> None:
    cluster = Cluster()
    here, there = Meeting(cluster.up(0), 400), Meeting(cluster.up(1), 400)
    here.start(range(1, 200))
    there.start(range(200, 400))
    until(lambda: waiting(cluster) == 399)
    gevent.sleep(0)
    assert not here.released
    assert not there.released
    last_ns = now_ns()
    here.start([400])
    until(lambda: len(here.released) + len(there.released) == 400)
    moments = [at for one in (here, there) for times in one.released.values() for at in times]
    assert min(moments) >= last_ns + LEAD_NS
    assert not waiting(cluster)
    assert not len(here.worker.actions.barriers)


def test_a_barrier_can_be_reused() -> None:
    cluster = Cluster()
    here, there = Meeting(cluster.up(0), 6, rounds=5), Meeting(cluster.up(1), 6, rounds=5)
    here.start([1, 2, 3])
    there.start([4, 5, 6])
    until(lambda: not here.crowd.alive and not there.crowd.alive)
    times = {**here.released, **there.released}
    for number in range(4):
        assert max(t[number] for t in times.values()) < min(t[number + 1] for t in times.values())


def test_a_user_that_times_out_gets_an_error_and_no_longer_counts() -> None:
    cluster = Cluster()
    worker = cluster.up(0)
    patient, hasty = Meeting(worker, 3), Meeting(worker, 3, timeout=0.01)
    patient.start([1])
    hasty.start([2])
    until(lambda: 2 in hasty.crowd.errors)
    error = hasty.crowd.errors[2]
    assert isinstance(error, BarrierTimeout)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, AmocError)
    assert str(error) == "barrier all must have 3 users within 0.01 s, got fewer"
    assert waiting(cluster) == 1
    patient.start([3])
    until(lambda: waiting(cluster) == 2)
    assert not patient.released
    patient.start([4])
    until(lambda: len(patient.released) == 3)


def test_a_user_that_times_out_while_its_release_is_in_transit_is_released() -> None:
    cluster = Cluster()
    worker = cluster.up(0, deaf=True)
    hasty = Meeting(worker, 2, timeout=0.01)
    hasty.start([1, 2])
    until(lambda: worker.unheard)  # all have arrived
    gevent.sleep(0.02)  # they time out meanwhile
    worker.deaf = False
    for body in worker.unheard:
        worker.handle(body)
    until(lambda: len(hasty.released) == 2)
    assert not hasty.crowd.errors


def test_a_silent_controller_ends_in_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier_worker, "CONFIRM_S", 0.01)
    cluster = Cluster()
    worker = cluster.up(0, deaf=True)
    hasty = Meeting(worker, 2, timeout=0.01)
    hasty.start([1])
    until(lambda: 1 in hasty.crowd.errors)
    assert isinstance(hasty.crowd.errors[1], BarrierTimeout)


def test_killed_users_and_lost_workers_no_longer_count() -> None:
    cluster = Cluster()
    here, there = Meeting(cluster.up(0), 4), Meeting(cluster.up(1), 4)
    here.start([1, 2])
    there.start([3])
    until(lambda: waiting(cluster) == 3)
    here.crowd.alive[1].kill()
    until(lambda: waiting(cluster) == 2)
    cluster.lose(there.worker)
    assert waiting(cluster) == 1
    here.start([5, 6])
    until(lambda: waiting(cluster) == 3)
    assert not here.released
    here.start([7])
    until(lambda: len(here.released) == 4)


def test_a_user_asked_to_stop_leaves_the_barrier_and_no_longer_counts() -> None:
    cluster = Cluster()
    here = Meeting(cluster.up(0), 3)
    here.start([1, 2])
    until(lambda: waiting(cluster) == 2)
    one, other = here.crowd.alive[1], here.crowd.alive[2]
    one.ask_to_stop(StopReason.RUN_ENDS)
    until(lambda: 1 not in here.crowd.alive)
    assert waiting(cluster) == 1
    assert here.crowd.states[1] == UserState.FINISHED
    # A user asked to stop before does not even begin to wait.
    other.kill()
    until(lambda: not waiting(cluster))
    here.start([3])
    here.crowd.alive[3].ask_to_stop(StopReason.RUN_ENDS)
    until(lambda: not here.crowd.alive)
    assert not here.crowd.errors
    assert not here.released
    assert not waiting(cluster)


def test_a_user_asked_to_stop_while_its_release_is_in_transit_is_released() -> None:
    cluster = Cluster()
    worker = cluster.up(0, deaf=True)
    here = Meeting(worker, 2)
    here.start([1, 2])
    until(lambda: worker.unheard)
    here.crowd.alive[1].ask_to_stop(StopReason.RUN_ENDS)
    for _ in range(5):
        gevent.sleep(0)
    worker.deaf = False
    for body in worker.unheard:
        worker.handle(body)
    until(lambda: set(here.released) == {1, 2})


def test_a_stopping_user_whose_barrier_is_refused_does_not_wait_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(barrier_worker, "CONFIRM_S", 1e6)
    cluster = Cluster()
    three, two = Meeting(cluster.up(0), 3), Meeting(cluster.up(1, deaf=True), 2)
    three.start([1])
    until(lambda: waiting(cluster) == 1)
    two.start([2])
    until(lambda: two.worker.unheard)
    two.crowd.alive[2].ask_to_stop(StopReason.RUN_ENDS)  # it resumes at the next turn of the loop
    two.worker.deaf = False
    two.worker.handle(two.worker.unheard[0])
    until(lambda: not two.crowd.alive)
    assert two.crowd.states[2] == UserState.FINISHED
    assert not two.crowd.errors


def test_a_pause_of_the_run_stops_timeouts_and_releases() -> None:
    cluster = Cluster()
    here = Meeting(cluster.up(0), 2, timeout=0.5)  # a busy host may stand still for a while
    here.start([1])
    until(lambda: waiting(cluster) == 1)
    pause.pause()
    gevent.sleep(0.6)
    here.start([2])
    until(lambda: not waiting(cluster))
    gevent.sleep(2 * LEAD_NS / 1e9)
    assert not here.released
    assert not here.crowd.errors
    pause.resume()
    until(lambda: len(here.released) == 2)


def test_all_users_must_wait_for_the_same_number() -> None:
    cluster = Cluster()
    worker = cluster.up(0)
    three, two = Meeting(worker, 3), Meeting(worker, 2)
    three.start([1])
    until(lambda: waiting(cluster) == 1)
    two.start([2])
    until(lambda: 2 in two.crowd.errors)
    assert isinstance(two.crowd.errors[2], ScenarioError)
    assert str(two.crowd.errors[2]) == (
        "barrier all must be given the same n by all users, got 2 while others wait there for 3"
    )
    three.start([3, 4])
    until(lambda: len(three.released) == 3)


def test_tickets_are_sent_as_ranges() -> None:
    assert ranges([]) == []
    assert ranges([1, 2, 3, 7, 8, 5]) == [(1, 3), (7, 2), (5, 1)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "come", "give up", "lose"]),
        st.sampled_from([A, B]),
        st.integers(1, 5),
    ),
    max_size=40,
)


@given(st.integers(1, 7), STEPS)
def test_exactly_n_are_released_at_a_time_and_none_twice_or_after_withdrawing(
    n: int, steps: list[tuple[str, WorkerId, int]]
) -> None:
    sent: list[tuple[WorkerId, Any]] = []
    barriers = Barriers(lambda origin, record: sent.append((origin, record)), lambda: 0)
    present: list[tuple[WorkerId, int]] = []
    ticket = 0
    for what, origin, count in steps:
        sent.clear()
        if what == "come":
            new = list(range(ticket + 1, ticket + 1 + count))
            ticket += count
            barriers.arrive(origin, BarrierArrivals("all", n, new))
            present += [(origin, one) for one in new]
        elif what == "give up":
            mine = [one for where, one in present if where == origin][:count]
            barriers.withdraw(origin, BarrierWithdrawals("all", [*mine, 10_000]))
            present = [one for one in present if one not in [(origin, it) for it in mine]]
            told = [one for _, record in sent for one in record.tickets]
            assert told == mine
            continue
        else:
            barriers.worker_lost(origin)
            present = [one for one in present if one[0] != origin]
        released = [
            (where, first + more)
            for where, record in sent
            for first, count in record.ranges
            for more in range(count)
        ]
        assert len(set(released)) == len(released)
        assert len(released) == len(present) // n * n
        assert set(released) == set(present[: len(released)])
        present = present[len(released) :]
        assert barriers.waiting().get("all", (0, n)) == (len(present), n)


def test_the_release_time_allows_for_the_latency_of_the_farthest_node() -> None:
    sent: list[BarrierRelease] = []
    latency = NodeLatency()
    barriers = Barriers(lambda _, record: sent.append(record), lambda: 5, latency)  # type: ignore[arg-type]
    latency.round_trip_ns = 10**9
    barriers.arrive(A, BarrierArrivals("x", 1, [1]))
    assert sent == [BarrierRelease("x", 5 + LEAD_NS + 10**9, [(1, 1)])]


def test_barrier_records_are_sent_to_the_workers_that_wait() -> None:
    sent: list[tuple[WorkerId, Any]] = []
    barriers = Barriers(lambda origin, record: sent.append((origin, record)), lambda: 5)
    barriers.arrive(A, BarrierArrivals("x", 3, [1, 2]))
    barriers.arrive(B, BarrierArrivals("x", 4, [1]))
    barriers.arrive(B, BarrierArrivals("x", 3, [2]))
    reason = "barrier x must be given the same n by all users, got 4 while others wait there for 3"
    assert sent == [
        (B, BarrierRefusal("x", [1], reason)),
        (A, BarrierRelease("x", 5 + LEAD_NS, [(1, 2)])),
        (B, BarrierRelease("x", 5 + LEAD_NS, [(2, 1)])),
    ]
