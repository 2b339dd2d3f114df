"""Commands: refused or executed by all workers, one at a time, and journalled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from typing import Any

import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base import pause
from amoc.base.errors import AmocError, PeerError, ResourceError, SettingError, UsageError
from amoc.control import client
from amoc.control.answers import WorkerAnswer
from amoc.control.commands import COMMANDS, checked, is_read
from amoc.ipc.messages.lifecycle import Loaded
from amoc.ipc.messages.orders import (
    ApplySettings,
    CountUsers,
    Done,
    Order,
    RemoveRange,
    RemoveUsers,
    RevertSettings,
    UserCounts,
    UsersRemoved,
    VerifySettings,
)
from amoc.ipc.worker_id import WorkerId
from amoc.runtime.controller import commands as controller_commands
from amoc.runtime.controller.commands import QUEUE_S, Commands
from amoc.runtime.controller.orders import LOST, REPLACE_S, Outcome, Reply
from amoc.runtime.controller.run_state import State, Step, after
from amoc.runtime.controller.services import START_RATE_S
from amoc.runtime.controller.settings_update import ORDER_S, SettingsUpdate
from amoc.runtime.controller.start_queue import StartQueue
from amoc.runtime.controller.status import Status
from amoc.scenario.run_plan import RunPlan
from amoc.users.placement import Placement, one_node
from amoc.users.removal import Removal

IDS = range(1, 1001)
ARGUMENTS = {
    "add": {"count": 1},
    "remove": {"count": 1, "force": False},
    "set": {"values": {"rate": "5"}},
    "throttle": {"name": "messages", "rate": "5/s"},
}
"""Arguments of the commands that take any."""


class FakeOrdering:
    """Workers that answer at once. For real ones see tests/process/test_control.py."""

    def __init__(self, have: Mapping[WorkerId, int]) -> None:
        self.have = dict(have)
        self.workers = set(have)
        self.asked: list[dict[WorkerId, Order]] = []
        self.errors: dict[tuple[type, WorkerId], Reply] = {}

    @property
    def kinds(self) -> list[type]:
        """Types of the orders, in order."""
        return [type(next(iter(one.values()))) for one in self.asked if one]

    def ready(self, among=None):
        return sorted(one for one in self.workers if among is None or one.worker in among)

    def ask(self, order, deadline_s, to=None):
        given_to = {one: order(1, one) for one in sorted(self.workers if to is None else to)}
        self.asked.append(given_to)
        return {worker: self._answer(worker, one) for worker, one in given_to.items()}

    def _answer(self, worker, order):
        if (type(order), worker) in self.errors:
            return self.errors[type(order), worker]
        have = self.have[worker]
        match order:
            case CountUsers():
                return Reply(Outcome.ANSWERED, answer=UserCounts(1, have, 0, have))
            case RemoveRange():
                return Reply(Outcome.ANSWERED, answer=UsersRemoved(1, *Removal(asked=2)))
            case RemoveUsers(_, count):
                removed = min(count, have)
                self.have[worker] -= removed
                return Reply(Outcome.ANSWERED, answer=UsersRemoved(1, *Removal(asked=removed)))
        return Reply(Outcome.ANSWERED, answer=Done(1, "done"))


class FakeJournal:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def write(self, kind, **fields):
        self.lines.append((kind, fields))


class FakeClock:
    def __init__(self) -> None:
        self.pauses = 0

    def pause_run(self):
        self.pauses += 1

    def resume_run(self):
        self.pauses -= 1


class Run:
    """Commands with their collaborators."""

    def __init__(self, *have: int, plan_rate: tuple[float, float | None] = (50.0, None)) -> None:
        plan = RunPlan("x.py", range(1, 1), None, [], 1, "", 1.0, 1.0)
        self.status = Status(plan=plan, state=State.RUNNING)
        self.status.nodes = {"node0": Loaded("x", "", [], plan_rate, max(1, len(have)), 0, 100, [])}
        self.broadcast = FakeOrdering(
            {WorkerId("node0", n, 1): count for n, count in enumerate(have)}
        )
        placement = Placement(one_node(max(1, len(have))))
        self.starts = StartQueue(placement)
        self.rates: list[float] = []
        self.rate_remark = ""
        self.clock = FakeClock()
        self.journal = FakeJournal()
        self.updates = SettingsUpdate(self.broadcast, plan_rate, self.change_rate)  # type: ignore[arg-type]
        self.operations = Commands(
            self.status,
            self.broadcast,  # type: ignore[arg-type]
            self.starts,
            self.updates,
            lambda: None,
            lambda: {"nodes": [], "throttles": [], "coordinators": [], "barriers": [], "feeds": []},
            lambda name, rate: f"throttle {name} is changed to {rate}",
            [self.clock],
            self.step,
            self.journal,  # type: ignore[arg-type]
            IDS,
            placement,
            None,  # type: ignore[arg-type]
        )

    def change_rate(self, per_minute: float) -> str:
        self.rates.append(per_minute)
        return self.rate_remark

    def step(self, step: Step) -> None:
        self.status.state = after(self.status.state, step)

    def do(self, name: str, /, **arguments: Any) -> Any:
        return self.operations.operate(checked(name, arguments, "why"), "terminal")


@pytest.fixture(autouse=True)
def fresh_pause(monkeypatch):
    monkeypatch.setattr(pause, "clock", pause.PauseClock())


def test_added_users_get_the_next_ids_and_the_answer_names_each_worker():
    run = Run(0, 0)
    run.operations.add_users(3)
    answer = run.do("add", count=4)
    assert (answer.first_id, answer.last_id) == (4, 7)
    assert answer.workers == [
        WorkerAnswer("node0/0", "2 users to start"),
        WorkerAnswer("node0/1", "2 users to start"),
    ]
    assert run.starts.waiting() == 7
    assert run.status.added == 7


def test_users_added_by_command_leave_ids_for_the_plan(monkeypatch):
    monkeypatch.setattr(controller_commands, "ROOM_FOR_IDS", 5)
    run = Run(0)
    run.do("add", count=5)
    with pytest.raises(ResourceError, match="users added during a run can take at most 5 ids"):
        run.do("add", count=1)
    assert run.starts.waiting() == 5


def test_a_gap_before_added_ids_counts_against_the_limit(monkeypatch):
    monkeypatch.setattr(controller_commands, "ROOM_FOR_IDS", 5)
    run = Run(0)
    with pytest.raises(ResourceError, match="got 6 more after 0"):
        run.do("add", ids=(3, 6))
    run.do("add", ids=(5, 5))
    with pytest.raises(ResourceError, match="got 1 more after 5"):
        run.do("add", count=1)
    assert run.starts.waiting() == 1


def test_ids_are_added_once_and_later_users_follow_the_highest():
    run = Run(0, 0)
    run.do("add", count=10)
    assert run.do("add", ids=(101, 105)).summary == "users 101 to 105 will start"
    answer = run.do("add", ids=(50, 50))
    assert (answer.summary, answer.first_id, answer.last_id) == ("user 50 will start", 50, 50)
    assert [one.text for one in answer.workers] == ["0 users to start", "1 user to start"]
    for ids, again in (((1, 1), "user 1"), ((8, 60), "users 8 to 10"), ((105, 200), "user 105")):
        with pytest.raises(UsageError, match=f"ids of add must be new, got {again} ag"):
            run.do("add", ids=ids)
    assert run.do("add", count=2).first_id == 106
    assert run.status.added == run.starts.waiting() == 18
    with pytest.raises(ResourceError, match="must be at most 1000, got 1001"):
        run.do("add", ids=(990, 1001))


def test_users_are_removed_by_id_waiting_ones_first():
    run = Run(5, 5)
    run.do("add", count=20)
    answer = run.do("remove", ids=(18, 30))
    assert (answer.withdrawn, answer.asked) == (3, 4)  # each worker asks two of its users
    assert answer.summary.startswith("there were only 7 users to remove: ")
    assert run.starts.waiting() == run.status.added == 17
    (order,) = {*run.broadcast.asked[-1].values()}
    assert order == RemoveRange(1, 18, 30, False)
    assert run.do("remove", ids=(18, 20)).withdrawn == 0


def test_users_beyond_the_file_descriptor_limit_are_not_added():
    run = Run(0, 0)
    loaded = run.status.nodes["node0"]
    run.status.nodes = {"node0": loaded._replace(fds_per_user=1, fd_limit=150)}
    run.do("add", count=50)
    with pytest.raises(ResourceError, match="file descriptors"):
        run.do("add", count=52)
    assert run.starts.waiting() == 50


def test_each_node_needs_file_descriptors_for_its_own_users():
    run = Run(0, 0)
    roomy = Loaded("x", "", [], (50.0, None), 1, 1, 1000, [])
    run.status.nodes = {"node0": roomy, "node1": roomy._replace(fd_limit=110)}
    run.broadcast.workers = {WorkerId("node0", 0, 1), WorkerId("node1", 1, 1)}
    run.do("add", count=20)
    with pytest.raises(ResourceError, match="11 users on 1 worker need 111 file descriptors"):
        run.do("add", count=2)
    run.do("add", ids=(21, 21))
    assert run.starts.waiting() == 21


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_executed_and_answered_as_json(name):
    run = Run(5, 5)
    if name == "resume":
        run.do("pause")
    answer = run.do(name, **ARGUMENTS.get(name, {})).to_json()
    assert answer["summary"]
    assert json.loads(json.dumps(answer)).keys() == answer.keys()
    assert bool(run.journal.lines) != is_read(name)


def test_undealt_users_are_removed_before_running_ones():
    run = Run(5, 5)
    run.operations.add_users(3)
    answer = run.do("remove", count=5)
    assert (answer.withdrawn, answer.asked) == (3, 2)
    assert run.status.added == 0
    assert sum(run.broadcast.have.values()) == 8


def test_the_answer_to_remove_counts_users_by_outcome():
    run = Run(50, 50)
    run.operations.add_users(10)
    for worker, found in ((0, Removal(1, 2, 3, 4, (9, 1))), (1, Removal(10, 20, 30, 40, (5,)))):
        reply = Reply(Outcome.ANSWERED, answer=UsersRemoved(1, *found))
        run.broadcast.errors[RemoveUsers, WorkerId("node0", worker, 1)] = reply
    run.status.added = 100
    answer = run.do("remove", count=120, force=True)
    assert (answer.asked, answer.killed, answer.withdrawn, answer.not_again) == (11, 22, 43, 44)
    assert list(answer.stuck) == [1, 5, 9]
    assert run.status.added == 57, "who will not start was not added"
    assert answer.summary == (
        "11 users asked to stop; 22 users killed; 43 users will not start;"
        " 44 users will not start again; stuck after 2 s: 1, 5, 9"
    )
    assert [one.text for one in answer.workers] == [
        Removal(1, 2, 3, 4, (9, 1)).text(),
        Removal(10, 20, 30, 40, (5,)).text(),
    ]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 400))
def test_users_are_removed_evenly_across_workers_as_far_as_possible(have, count):
    run = Run(*have)
    answer = run.do("remove", count=count)
    taken = [before - run.broadcast.have[WorkerId("node0", n, 1)] for n, before in enumerate(have)]
    assert sum(taken) == answer.asked == min(count, sum(have))
    most = max(taken)
    for before, gone in zip(have, taken, strict=True):
        assert gone >= most - 1 or gone == before, "only who has no more gives fewer"


def test_settings_are_verified_by_all_workers_before_any_applies_them():
    run = Run(1, 1)
    answer = run.do("set", values={"rate": "5"})
    assert run.broadcast.kinds == [VerifySettings, ApplySettings]
    assert run.updates.values == {"rate": "5"}
    assert answer.workers[0] == WorkerAnswer("node0/0", "done")


def test_settings_refused_by_one_worker_change_nothing():
    run = Run(1, 1)
    second = WorkerId("node0", 1, 1)
    run.broadcast.errors[VerifySettings, second] = Reply(
        Outcome.ANSWERED, "rate must be above 0, got '-1'"
    )
    with pytest.raises(SettingError, match="must be above 0"):
        run.do("set", values={"rate": "-1"})
    assert run.broadcast.kinds == [VerifySettings]
    assert run.updates.values == {}


def test_a_worker_lost_during_verification_does_not_block_the_change():
    run = Run(1, 1)
    run.broadcast.errors[VerifySettings, WorkerId("node0", 1, 1)] = LOST
    run.do("set", values={"rate": "5"})
    assert run.updates.values == {"rate": "5"}


def test_a_silent_worker_is_named_and_nothing_is_changed():
    run = Run(1, 1)
    silent = Reply(Outcome.SILENT, "has not replied within 5 s")
    run.broadcast.errors[VerifySettings, WorkerId("node0", 1, 1)] = silent
    with pytest.raises(PeerError, match=r"worker node0/1 has not replied.*nothing was changed"):
        run.do("set", values={"rate": "5"})
    assert run.updates.values == {}


def test_an_invalid_start_rate_changes_no_other_setting():
    run = Run(1)
    with pytest.raises(SettingError, match="must be at least 1/min"):
        run.do("set", values={"rate": "5", "user_rate": "0.5"})
    assert run.updates.values == {}
    assert run.broadcast.kinds == [VerifySettings]


def test_the_client_timeout_exceeds_the_longest_settings_change():
    until_there_s, checked_s, applied_s = REPLACE_S, ORDER_S, ORDER_S + REPLACE_S
    at_last_s = max(START_RATE_S, ORDER_S)  # announced or reverted
    assert QUEUE_S + until_there_s + checked_s + applied_s + at_last_s < client.TIMEOUT_S


@pytest.mark.parametrize("name", ["set", "add"])
def test_a_run_that_stops_while_a_command_waits_is_not_changed(name):
    run = Run(1)
    ready = run.broadcast.ready

    def late(among=None):
        run.step(Step.STOP)
        return ready(among)

    run.broadcast.ready = late  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=f"a run that is stopping cannot {name}"):
        run.do(name, **ARGUMENTS[name])
    assert not run.broadcast.asked
    assert not run.starts.waiting()


def test_losing_all_workers_during_verification_changes_nothing():
    run = Run(1)
    run.broadcast.errors[VerifySettings, WorkerId("node0", 0, 1)] = LOST
    with pytest.raises(PeerError, match="all workers asked to check rate were lost; nothing"):
        run.do("set", values={"rate": "5"})
    assert run.updates.values == {}


def test_settings_that_one_worker_fails_to_apply_are_reverted_everywhere():
    run = Run(1, 1)
    run.do("set", values={"rate": "5"})
    second = WorkerId("node0", 1, 1)
    run.broadcast.errors[ApplySettings, second] = Reply(Outcome.ANSWERED, "rate was not taken")
    with pytest.raises(SettingError, match="rate was not taken; nothing was changed"):
        run.do("set", values={"rate": "6", "pause": "1"})
    told = run.broadcast.asked[-1]
    assert told[second] == RevertSettings(1, {"rate": "5"}, ["pause"])
    assert told.keys() == run.broadcast.workers
    assert run.updates.values == {"rate": "5"}
    assert run.rates == []


def test_set_is_answered_with_the_workers_text():
    run = Run(1, 1)
    assert run.do("set", values={"rate": "5"}).summary == "done"


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        ({"user_rate": "600"}, [600.0]),
        ({"interarrival": "10ms"}, [6000.0]),
        ({"interarrival": "10ms", "user_rate": "600"}, [600.0]),
        ({"interarrival": "0"}, [inf]),
        ({"repeat_num": "3"}, []),
    ],
)
def test_start_settings_change_the_start_rate_throttle(values, rates):
    run = Run(1)
    run.do("set", values=values)
    assert run.rates == rates


def test_the_answer_says_if_not_all_confirmed_a_start_rate_in_time():
    run = Run(1)
    run.rate_remark = "not all have confirmed it"
    assert run.do("set", values={"user_rate": "600"}).summary == "done; not all have confirmed it"
    assert run.updates.values == {"user_rate": "600"}
    assert [fields["outcome"] for _, fields in run.journal.lines] == ["ok"]


def test_an_interarrival_does_not_override_an_earlier_user_rate():
    run = Run(1, plan_rate=(50.0, 300.0))
    run.do("set", values={"interarrival": "10ms"})
    assert run.rates == [300.0]


def test_pause_stops_all_clocks_and_resume_starts_them():
    run = Run(1, 1)
    run.do("pause")
    assert run.status.state is State.PAUSED
    assert run.clock.pauses == 1
    assert pause.clock.since_ns
    with pytest.raises(AmocError, match="a run that is paused cannot pause"):
        run.do("pause")
    assert run.clock.pauses == 1
    run.do("resume")
    assert run.status.state is State.RUNNING
    assert run.clock.pauses == 0
    assert not pause.clock.since_ns
    with pytest.raises(AmocError, match="a run that is running cannot resume"):
        run.do("resume")


@pytest.mark.parametrize("state", [State.STARTING, State.STOPPING, State.FINISHED])
def test_a_run_that_is_not_running_can_only_be_queried(state):
    run = Run(3)
    run.status.state = state
    for name in ("add", "remove", "set", "pause", "resume", "stop"):
        with pytest.raises(UsageError, match=f"a run that is {state.value} cannot {name}"):
            run.do(name, **ARGUMENTS.get(name, {}))
    assert run.do("status").state == state.value
    assert run.do("users").alive == 3
    run.do("note")


def test_stop_requests_the_end_of_the_run():
    run = Run(1)
    assert not run.operations.stop_asked
    run.do("stop")
    assert run.operations.stop_asked


def test_changing_commands_are_journalled_including_refused_ones():
    run = Run(1)
    run.do("status")
    run.do("users")
    run.do("add", count=2)
    with pytest.raises(AmocError):
        run.do("resume")
    written = [(fields["name"], fields["outcome"]) for _, fields in run.journal.lines]
    assert written == [("add", "ok"), ("resume", "refused")]
    kind, first = run.journal.lines[0]
    assert kind == "command"
    assert first["arguments"] == {"count": 2}
    assert (first["source"], first["comment"]) == ("terminal", "why")
    assert first["answer"]["first_id"] == 1


def test_commands_do_not_overlap():
    run = Run(1)
    under_way = []

    def slow(order, deadline_s, to=None):
        assert not under_way
        under_way.append(order)
        gevent.sleep(0)
        under_way.pop()
        return {WorkerId("node0", 0, 1): Reply(Outcome.ANSWERED, answer=UserCounts(1, 1, 0, 1))}

    run.broadcast.ask = slow  # type: ignore[method-assign]
    doing = [gevent.spawn(run.do, "remove", count=1) for _ in range(3)]
    gevent.joinall(doing, timeout=10, raise_error=True)
    assert all(one.successful() for one in doing)


def test_stop_does_not_wait_for_commands_in_progress():
    run = Run(1)
    held = gevent.event.Event()

    def slow(order, deadline_s, to=None):
        held.wait()
        return {}

    run.broadcast.ask = slow  # type: ignore[method-assign]
    removing = gevent.spawn(run.do, "remove", count=1)
    gevent.sleep(0)
    run.do("stop")
    run.do("note")
    assert run.operations.stop_asked
    assert not removing.ready()
    held.set()
    removing.get(timeout=10)


def test_a_command_interrupted_by_the_end_of_the_run_is_journalled():
    run = Run(1)
    run.broadcast.ask = lambda *_, **__: gevent.sleep(1000)  # type: ignore[method-assign]
    removing = gevent.spawn(run.do, "remove", count=1)
    gevent.sleep(0)
    removing.kill(timeout=10)
    assert [fields["outcome"] for _, fields in run.journal.lines] == ["broken off"]
