"""A node's workers: replacements, messages, and the states of their users."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from amoc.base.clock import S_NS, now_ns
from amoc.base.errors import PeerError
from amoc.base.operator_log import OperatorLog
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.lifecycle import Died, Forked, KillWorker, Note, WorkerLost, WorkerUp
from amoc.ipc.messages.users import StartUsers, StopUsers
from amoc.metrics.area import Kind
from amoc.metrics.board import Board, Cell, UserState
from amoc.runtime.node.worker_links import WorkerLinks
from amoc.runtime.node.workers import MAX_SHORT_LIVES, MAX_STILLBORN, WorkerState, WorkerTable
from amoc.runtime.worker_spec import SHORT_LIFE_NS

LONG = SHORT_LIFE_NS


class Bus:
    """A stand-in for the node's end of the bus."""

    def __init__(self) -> None:
        self.children: set[str] = set()
        self.sent: list[tuple[str, object]] = []
        self.is_behind = False
        self.broken = False

    def expect(self, child: str) -> None:
        self.children.add(child)

    def forget(self, child: str) -> None:
        self.children.discard(child)

    def send(self, child: str, command: object) -> None:
        if self.broken:
            raise PeerError(f"{child} must acknowledge its commands")
        self.sent.append((child, command))

    def accepts_mail(self, _child: str) -> bool:
        return not self.is_behind


class Here:
    """A node with two workers."""

    def __init__(self) -> None:
        self.board = Board(workers=2, highest_id=20)
        self.workers = WorkerTable(self.board)
        self.bus = Bus()
        self.reports: list[object] = []
        self.killed: list[KillWorker] = []
        self.links = WorkerLinks(
            self.workers,
            self.board,
            self.bus,  # type: ignore[arg-type]
            self.reports.append,
            OperatorLog(lambda level, text: self.reports.append(Note(level, text))),
            self.killed.append,
        )

    def up(self, worker: int, incarnation: int = 1) -> None:
        self.links.forked(Forked(worker, incarnation, 4711))
        self.links.joined(f"w{worker}.{incarnation}", 4711, stopping=False)

    def states(self, ids: Sequence[int]) -> list[UserState]:
        return [UserState(self.board.users[one]) for one in ids]


@pytest.fixture
def here() -> Here:
    return Here()


def test_users_are_sent_to_joined_workers_and_kept_for_those_still_to_join(here):
    here.up(0)
    for worker, ids in ((0, [1, 3]), (1, [2, 4])):
        here.links.start_users(StartUsers(worker, ids, 0, [], again=False))
    assert here.bus.sent == [("w0.1", StartUsers(0, [1, 3], 0, [], again=False))]
    here.up(1)
    assert here.reports[-1] == WorkerUp(1, 1, 4711, [], [2, 4])


def test_a_replacement_reports_users_to_restart_and_those_never_started(here):
    here.up(0)
    here.links.start_users(StartUsers(0, [1, 3, 5, 7], 0, [], again=False))
    for user_id, state in ((1, UserState.RUNNING), (3, UserState.STOPPING)):
        here.board.users[user_id] = state
    assert here.links.died(Died(0, 1, -9, LONG))
    here.up(0, incarnation=2)
    assert here.reports[-1] == WorkerUp(0, 2, 4711, [1], [5, 7])
    assert here.states([1, 3]) == [UserState.RESTARTING, UserState.REMOVED]


def test_users_dealt_again_restart_unless_they_have_begun_or_ended(here):
    here.up(0)
    for user_id, state in ((1, UserState.RUNNING), (3, UserState.FINISHED)):
        here.board.users[user_id] = state
    here.links.start_users(StartUsers(0, [1, 3, 5], 0, [], again=True))
    expected = [UserState.RUNNING, UserState.FINISHED, UserState.RESTARTING]
    assert here.states([1, 3, 5]) == expected, "the last one comes from a node that is lost"


@pytest.mark.parametrize("was_up", [True, False])
def test_the_silence_of_a_joined_worker_that_died_counts_as_lag(here, was_up):
    if was_up:
        here.up(0)
    row = here.board.row(0)
    row[Cell.HEARTBEAT_NS] = now_ns() - 5 * S_NS
    assert here.links.died(Died(0, 1, -9, LONG)) is was_up
    lags = [one.value.max_ns for one in here.board.area(0).read() if one.name == "loop_lag"]
    assert [ns // S_NS for ns in lags] == ([5] if was_up else [])


def test_a_repeated_or_late_join_is_ignored(here):
    here.up(0)
    here.links.joined("w0.1", 4711, stopping=False)
    here.links.died(Died(0, 1, -9, LONG))
    here.links.forked(Forked(0, 2, 4712))
    here.links.joined("w0.1", 4711, stopping=False)
    assert [type(one) for one in here.reports] == [WorkerUp]
    assert not here.workers.by_number[0].up


def test_a_worker_that_joins_while_the_run_stops_is_told_to_stop(here):
    here.links.forked(Forked(0, 2, 4711))
    here.links.joined("w0.2", 4711, stopping=True)
    assert here.bus.sent == [("w0.2", StopUsers(0.0))]
    assert not here.reports


@pytest.mark.parametrize(
    ("index", "incarnation", "arrives"), [(0, 1, True), (0, 0, True), (0, 2, False), (7, 0, False)]
)
def test_an_envelope_goes_to_the_named_incarnation(here, index, incarnation, arrives):
    here.up(0)
    envelope = Envelope.of(Part.CONTROL, index, incarnation, b"")
    here.links.pass_down(envelope)
    assert here.bus.sent == ([("w0.1", envelope)] if arrives else [])


def test_mail_to_a_slow_or_absent_worker_is_dropped_and_counted(here):
    here.up(0)
    here.bus.is_behind = True
    here.links.pass_down(Envelope.of(Part.MAIL, 0, 0, b""))
    here.links.pass_down(Envelope.of(Part.MAIL, 1, 0, b""))  # it has not joined
    assert [one.mail_dropped for one in here.workers] == [1, 1]
    here.links.pass_down(Envelope.of(Part.THROTTLE, 0, 1, b""))
    assert len(here.bus.sent) == 1


def test_a_worker_that_reads_no_commands_is_killed_and_forgotten(here):
    here.up(1)
    here.bus.broken = True
    here.links.send(here.workers.by_number[1], StopUsers(0.0))
    assert here.killed == [KillWorker(1, 1)]
    assert here.reports[-1] == Note(
        "error", "worker 1 is killed: w1.1 must acknowledge its commands"
    )
    assert here.bus.children == set()


def test_a_lost_worker_is_reported_with_the_reason(here):
    here.up(0)
    died = Died(0, 1, -9, LONG)
    assert here.links.lost(died, here.links.died(died)) == ""
    assert here.reports[-1] == WorkerLost(0, 1, "worker 0 was killed by SIGKILL")


def test_a_worker_that_keeps_dying_before_it_takes_users_is_given_up():
    worker = WorkerState(0)
    reasons = [worker.count_loss(was_up=False, age_ns=LONG) for _ in range(MAX_STILLBORN)]
    assert reasons == ["", "", "before it took any user, 3 times in a row"]


def test_failures_far_apart_do_not_give_up_a_worker():
    worker = WorkerState(0)
    for _ in range(5):
        for _ in range(MAX_STILLBORN - 1):
            assert worker.count_loss(was_up=False, age_ns=LONG) == ""
        assert worker.count_loss(was_up=True, age_ns=LONG) == ""
    for _ in range(5):
        for _ in range(MAX_SHORT_LIVES - 1):
            assert worker.count_loss(was_up=True, age_ns=0) == ""
        assert worker.count_loss(was_up=True, age_ns=LONG) == ""


def test_stillborn_and_short_lives_are_counted_separately():
    worker = WorkerState(0)
    reasons = [worker.count_loss(was_up=False, age_ns=0) for _ in range(MAX_STILLBORN)]
    assert reasons == ["", "", "before it took any user, 3 times in a row"]
    assert worker.count_loss(was_up=True, age_ns=0) == "", "the other count goes on"
    for _ in range(MAX_SHORT_LIVES - MAX_STILLBORN - 2):
        assert worker.count_loss(was_up=True, age_ns=0) == ""
    assert worker.count_loss(was_up=True, age_ns=0) == (
        "within 2 s of its start, 10 times in a row"
    )


def test_failures_are_counted_per_worker(here):
    for incarnation in range(1, MAX_STILLBORN):
        for worker in (0, 1):
            here.links.forked(Forked(worker, incarnation, 4711))
            died = Died(worker, incarnation, -9, LONG)
            assert here.links.lost(died, here.links.died(died)) == ""
    died = Died(1, MAX_STILLBORN, 1, LONG)
    assert here.links.lost(died, here.links.died(died)) == (
        "worker 1 exited with 1 before it took any user, 3 times in a row"
    )


def test_gauges_of_a_killed_worker_are_dropped_but_not_its_counters(here):
    for worker in (0, 1):
        here.up(worker)
        here.board.area(worker).declare(Kind.COUNTER, "seen")[0] = 5
        here.board.area(worker).declare(Kind.GAUGE, "open")[0] = 7.0
    here.links.died(Died(0, 1, -9, LONG))
    here.links.died(Died(1, 1, 0, LONG))  # a clean exit: its last values stay
    found = [{one.name: one.value for one in here.board.area(worker).read()} for worker in (0, 1)]
    assert found == [{"seen": 5}, {"seen": 5, "open": 7.0}]
    assert here.bus.children == set()
    assert [worker.pid for worker in here.workers] == [0, 0]


def test_a_long_life_resets_the_count_of_short_ones():
    worker = WorkerState(0)
    for _ in range(2):
        young = [worker.count_loss(was_up=True, age_ns=LONG - 1) for _ in range(MAX_SHORT_LIVES)]
        assert not any(young[:-1])
        assert young[-1] == "within 2 s of its start, 10 times in a row"
        assert worker.count_loss(was_up=True, age_ns=LONG) == ""


def test_the_table_knows_the_users_of_each_worker_and_the_lost_ones(here):
    workers = here.workers
    workers.dealt([3, 4, 5])
    workers.dealt([6])
    assert workers.ids == range(3, 7)
    assert workers.users_in((UserState.NONE,), workers.by_number[0]) == [3, 5]
    workers.mark([3], UserState.RUNNING)
    workers.mark([5], UserState.STARTING)
    workers.lose(workers.by_number[0])
    assert here.states([3, 5]) == [UserState.LOST, UserState.NONE]
    assert workers.lost == 1


def test_a_user_being_removed_counts_as_removed_when_its_worker_is_lost(here):
    here.up(0)
    here.links.start_users(StartUsers(0, [1, 3], 0, [], again=False))
    here.workers.mark([1], UserState.STOPPING)
    here.workers.mark([3], UserState.BETWEEN)
    here.links.died(Died(0, 1, -9, LONG))
    here.workers.lose(here.workers.by_number[0])
    assert here.states([1, 3]) == [UserState.REMOVED, UserState.LOST]
