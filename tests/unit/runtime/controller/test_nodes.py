"""The controller's connections to several nodes: waits, and the loss of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from amoc.base.clock import S_NS
from amoc.base.errors import ExitCode, PeerError
from amoc.ipc.bus import Received
from amoc.ipc.messages.envelope import Envelope, Part
from amoc.ipc.messages.lifecycle import Failed, Hello, Note, Terminated
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import QueryUsers, Started, Stopped, StopUsers, UsersNow
from amoc.metrics.board import UserState
from amoc.runtime.controller import node_state, phases
from amoc.runtime.controller import nodes as module
from amoc.runtime.controller.chosen_nodes import ChosenNodes, named
from amoc.runtime.controller.nodes import Nodes
from amoc.runtime.controller.user_queries import UserQueries
from amoc.scenario.run_plan import RunPlan
from amoc.users.placement import Placement, round_robin

STOP = StopUsers(1.0)


class Process:
    """A node's process."""

    engine_id = "pid 1"
    hello_s = 0.0
    is_clean = False

    def __init__(self, number: int) -> None:
        self.number = number
        self.host = f"host{number}"
        self.how: str | None = None
        self.killed, self.told = False, ""
        self.may_end: Callable[[], bool] = lambda: True

    def ended(self) -> str | None:
        return self.how

    def kill(self) -> None:
        self.killed = True

    def end(self, _deadline_s: float, why: str = "") -> None:
        while not self.may_end():
            gevent.sleep(0)
        self.how, self.told = self.how or "was killed by SIGKILL", why


class Bus:
    """The controller's end of the bus."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []
        self.frames: list[int] = []
        self.forgotten: list[str] = []
        self.pending: list[Received[object]] = []
        self.is_behind = False
        self.late = False
        self.answer = lambda _name, _command: None

    def reports(self) -> Iterator[Received[object]]:
        while self.pending:
            yield self.pending.pop(0)

    def has_unread_messages(self) -> bool:
        return self.late

    def pack(self, command: object) -> object:
        return command

    def send_packed(self, name: str, *commands: object) -> None:
        if name not in self.forgotten:
            self.frames.append(len(commands))
            for command in commands:
                self.sent.append((name, command))
                self.answer(name, command)

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    def accepts_mail(self, _name: str) -> bool:
        return not self.is_behind


class Run:
    """Three nodes of two workers."""

    def __init__(self, spare: bool = True) -> None:
        self.bus, self.taken, self.lost = Bus(), [], []
        self.processes = [Process(number) for number in range(3)]
        self.nodes = Nodes(
            self.bus,  # type: ignore[arg-type]
            self.processes,  # type: ignore[arg-type]
            lambda name, record: self.taken.append((name, record)),
            lambda: None,
            lambda node, error: self.lost.append((node.name, str(error))) or spare,
        )
        self.nodes.number_workers([2, 2, 2])
        for name in ("node0", "node1", "node2"):
            self.handle(name, Hello(1))

    def handle(self, name: str, record: object) -> None:
        if name not in self.bus.forgotten:
            self.bus.pending.append(Received(name, record))
        self.nodes.listen()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_state, "LAST_REPORT_NS", 0)
    monkeypatch.setattr(node_state, "LAST_REPORT_EACH_NS", 0)
    monkeypatch.setattr(module, "SEARCH_EACH_NS", 0)


def test_a_wait_ends_when_all_nodes_have_reported_and_returns_each_report():
    run = Run()
    for killed, name in enumerate(("node0", "node1")):
        run.handle(name, Stopped(killed, [], 0))
    with pytest.raises(PeerError, match="each node did not stop within 0 s"):
        run.nodes.wait_for(Stopped, 0.0, "each node", "stop")
    run.handle("node2", Stopped(2, [], 0))
    found = run.nodes.wait_for(Stopped, 60.0, "each node", "stop")
    assert {name: one.killed for name, one in found.items()} == {"node0": 0, "node1": 1, "node2": 2}


def test_the_join_timeout_is_that_of_the_slowest_node():
    run = Run()
    for node in run.nodes.all:
        node.seen.clear()
    run.processes[1].hello_s = 0.1
    with pytest.raises(PeerError, match=r"at least one node did not join within 0\.1 s"):
        phases.load(run.nodes, RunPlan("chat.py", range(1, 4), None, (), 1, "", 60.0, 1.0), [])


def test_a_wait_continues_without_a_node_that_has_died():
    run = Run()
    run.processes[1].how = "was killed by SIGKILL"
    for name in ("node0", "node2"):
        run.handle(name, Stopped(0, [], 0))
    assert list(run.nodes.wait_for(Stopped, 60.0, "each node", "stop")) == ["node0", "node2"]
    assert run.lost == [("node1", "node1 was killed by SIGKILL")]
    assert [node.lost for node in run.nodes.all] == ["", run.lost[0][1], ""]
    run.nodes.send_all(STOP)
    assert run.bus.sent == [("node0", STOP), ("node2", STOP)]
    run.nodes.check()
    assert len(run.lost) == 1


def test_a_failed_node_is_killed_before_the_run_continues():
    run = Run()
    run.handle("node2", Failed(int(ExitCode.NODE_LOST), "the supervisor is dead"))
    run.nodes.check()
    assert (run.processes[2].killed, run.processes[2].how) == (True, "was killed by SIGKILL")
    assert run.lost == [("node2", "the supervisor is dead")]
    assert run.processes[2].told == "the controller has given up this node: the supervisor is dead"


def test_nodes_lost_at_the_same_time_are_ended_concurrently():
    run = Run()
    run.processes[0].may_end = lambda: run.processes[2].how is not None
    for name in ("node0", "node2"):
        run.handle(name, Failed(int(ExitCode.NODE_LOST), "no power"))
    with gevent.Timeout(10):
        run.nodes.check()
    assert run.lost == [("node0", "no power"), ("node2", "no power")]
    assert [node.name for node in run.nodes.present] == ["node1"]


def test_at_the_end_of_a_run_its_nodes_are_ended_concurrently():
    run = Run()
    run.processes[0].may_end = lambda: run.processes[2].how is not None
    with gevent.Timeout(10):
        run.nodes.end(at_once=False)
    assert all(process.how for process in run.processes)


def test_a_node_that_is_silent_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    run, clock = Run(), [10**15]
    monkeypatch.setattr(module, "now_ns", lambda: clock[0])
    for _ in range(9):
        clock[0] += 2 * 10**9
        for name in ("node0", "node2"):
            run.handle(name, Note("info", "here"))
        run.nodes.check()
    assert run.lost == [("node1", "node1 has not reported for 15 s")]
    assert run.processes[1].killed


def test_nodes_are_not_lost_if_the_controller_itself_was_suspended(monkeypatch: pytest.MonkeyPatch):
    run = Run()
    now = module.now_ns()
    monkeypatch.setattr(module, "now_ns", lambda: now + 100 * 10**9)
    run.handle("node0", Note("info", "here"))
    run.nodes.check()
    assert run.lost == []
    assert any("was suspended" in one.text for _, one in run.taken if isinstance(one, Note))


@pytest.mark.parametrize("code", [ExitCode.SCENARIO, ExitCode.WORKERS_LOST, ExitCode.INTERNAL])
def test_a_failure_that_would_hit_every_node_ends_the_run(code: ExitCode):
    run = Run()
    run.handle("node1", Failed(int(code), "why"))
    with pytest.raises(Exception, match="why") as caught:
        run.nodes.check()
    assert caught.value.exit_code is code
    assert run.lost == []


def test_the_run_ends_if_no_node_may_be_lost_or_all_are():
    run = Run(spare=False)
    run.processes[0].how = "exited with 1"
    with pytest.raises(PeerError, match="node0 exited with 1"):
        run.nodes.check()
    run = Run()
    for process in run.processes:
        process.how = "exited with 1"
    with pytest.raises(PeerError, match="node2 exited with 1"):
        run.nodes.check()
    assert [name for name, _ in run.lost] == ["node0", "node1"]


def test_a_node_with_an_invalid_report_is_given_up_and_the_others_are_kept():
    run = Run()
    run.handle("node1", Started(4, 1))
    run.handle("node2", Started(4, 1))
    run.nodes.check()
    why = "node1 has sent an invalid Started: its workers are 2 to 3, got worker 4"
    assert run.lost == [("node1", why)]
    assert run.processes[1].killed
    assert [name for name, one in run.taken if isinstance(one, Started)] == ["node2"]


def test_a_node_may_exit_after_its_last_report():
    run = Run()
    run.handle("node1", Terminated(""))
    run.processes[1].how = "exited with 0"
    run.nodes.check()
    assert run.lost == []


@pytest.fixture
def clock(monkeypatch):
    """The clock of the nodes in ns, advanced by the test."""
    now = [10**15]
    monkeypatch.setattr(module, "now_ns", lambda: now[0])
    return now


def run_with_two_exited_nodes() -> Run:
    """Return a run whose first two nodes exited cleanly, which it has noticed."""
    run = Run()
    for process in run.processes[:2]:
        process.how, process.is_clean = "exited with 0", True
    run.nodes.check()
    return run


def test_the_grace_for_last_reports_grows_with_the_number_of_nodes(monkeypatch, clock):
    monkeypatch.setattr(node_state, "LAST_REPORT_NS", 100)
    monkeypatch.setattr(node_state, "LAST_REPORT_EACH_NS", 10)
    run = Run()
    for process in run.processes[:2]:
        process.how = "exited with 3"
    run.nodes.check()
    run.handle("node0", Terminated(""))
    clock[0] += 129
    run.nodes.check()
    assert run.lost == []
    clock[0] += 1
    run.nodes.check()
    assert run.lost == [("node1", "node1 exited with 3")]


def test_the_last_report_of_a_cleanly_exited_node_is_waited_for(clock):
    run = run_with_two_exited_nodes()
    clock[0] += node_state.CLEAN_NS - 1
    run.handle("node0", Terminated(""))
    run.nodes.check()
    assert run.lost == []
    clock[0] += 1
    run.nodes.check()
    assert run.lost == [("node1", "node1 exited with 0")]


def test_an_exited_node_is_not_lost_while_unread_reports_remain(clock):
    run = run_with_two_exited_nodes()
    run.bus.late = True
    clock[0] += int(node_state.SILENT_S * S_NS) - 1
    run.nodes.check()
    assert run.lost == []
    run.handle("node0", Terminated(""))
    clock[0] += 1  # reports of other nodes do not keep it forever
    run.nodes.check()
    assert run.lost == [("node1", "node1 exited with 0")]


def test_other_greenlets_run_between_the_losses_of_two_nodes():
    run = Run()
    heard: list[int] = []
    for process in run.processes[:2]:
        process.how = "was killed by SIGKILL"

    def look() -> None:
        while True:
            heard.append(len(run.lost))
            gevent.sleep(0)

    looking = gevent.spawn(look)
    run.nodes.check()
    looking.kill()
    assert 1 in heard


def test_a_reported_failure_is_handled_before_the_next_search_is_due(monkeypatch):
    monkeypatch.setattr(module, "SEARCH_EACH_NS", 10**12)
    run = Run()
    run.nodes.check()
    run.processes[0].how = "was killed by SIGKILL"
    run.nodes.check()
    assert run.lost == []
    run.handle("node2", Failed(int(ExitCode.NODE_LOST), "the supervisor is dead"))
    run.nodes.check()
    assert [name for name, _ in run.lost] == ["node0", "node2"]


def test_posted_commands_are_sent_to_each_node_in_few_frames(monkeypatch):
    monkeypatch.setattr(module, "MAX_TOGETHER", 2)
    run = Run()
    commands = [Envelope.of(Part.THROTTLE, number, 1, b"") for number in range(4)]
    for command in commands[1:]:
        run.nodes.post("node1", command)
    run.nodes.post("node0", commands[0])
    assert not run.bus.sent
    run.nodes.send_posted()
    assert run.bus.frames == [2, 1, 1]
    assert run.bus.sent == [*(("node1", one) for one in commands[1:]), ("node0", commands[0])]
    run.nodes.send_posted()
    assert len(run.bus.sent) == 4


def test_mail_goes_to_the_node_of_its_worker_and_drops_are_counted():
    run = Run()
    mail = Envelope.of(Part.MAIL, 3, 0, b"")
    run.nodes.pass_on(mail)
    assert run.bus.sent == [("node1", mail)]
    run.bus.is_behind = True
    run.nodes.pass_on(mail)
    run.nodes.pass_on(mail)
    run.nodes.check()
    notes = [one.text for _, one in run.taken if isinstance(one, Note)]
    assert notes == ["2 envelopes of mail to node1 dropped: it is not keeping up"]
    run.nodes.pass_on(Envelope.of(Part.MAIL, 6, 0, b""))
    assert len(run.bus.sent) == 1, "there is no worker 6"


def test_a_joining_node_is_waited_for_only_after_it_has_joined():
    run = Run()
    node = run.nodes.expect(Process(4), range(8, 10))  # type: ignore[arg-type]
    run.handle("node4", Started(9, 1))
    mail = Envelope.of(Part.MAIL, 8, 0, b"")
    run.nodes.pass_on(mail)
    assert run.bus.sent == [("node4", mail)]
    run.nodes.send_all(STOP)
    assert [name for name, _ in run.bus.sent] == ["node4", "node0", "node1", "node2"]
    run.nodes.join(node, 1.23456)
    assert (run.nodes.present[-1], node.joined_at_s) == (node, 1.235)
    run.nodes.send_all(STOP)
    assert run.bus.sent[-1] == ("node4", STOP)
    other = run.nodes.expect(Process(5), range(10, 12))  # type: ignore[arg-type]
    run.handle("node5", Failed(int(ExitCode.INIT_FAILED), "it has no file"))
    assert str(run.nodes.failure_of(other)) == "it has no file"
    run.nodes.check()
    run.nodes.give_up(other, "it has no file")
    assert (run.bus.forgotten, other.launched.killed) == (["node5"], True)
    run.nodes.pass_on(Envelope.of(Part.MAIL, 10, 0, b""))
    assert run.bus.sent[-1] == ("node4", STOP), "nobody is there"


def test_a_user_query_asks_all_nodes_and_finds_the_highest_ids_beyond():
    run = Run()
    queries = UserQueries(run.nodes, lambda _name, _now: None)
    here = {"node0": [1, 4, 7, 10], "node1": [2, 5], "node2": [3, 6, 9, 12, 15]}

    def answer(name: str, command: object) -> None:
        assert isinstance(command, QueryUsers)
        beyond = sorted(here[name], reverse=True)[: max(0, len(here[name]) - command.keep)]
        users = {int(UserState.RUNNING): len(here[name])}
        queries.handle(name, UsersNow(command.number, 5, users, [0, 0], beyond, len(here[name])))

    run.bus.answer = answer
    now = queries.query(keep=7)
    assert now is not None
    assert (now.present, now.beyond) == (11, [15, 12, 10, 9])
    assert (now.users, len(now.alive)) == ({int(UserState.RUNNING): 11}, 6)


def test_users_are_placed_round_robin_on_chosen_nodes_and_unknown_ones_refused():
    run = Run()
    place = Placement(round_robin([2, 2, 2]))
    chosen = ChosenNodes(run.nodes, place)
    workers = chosen.workers_of(["node2", "host0"])
    assert workers == [4, 0, 5, 1]
    chosen.put(range(7, 11), workers)
    assert [place.worker_of(one) for one in range(7, 11)] == workers
    assert run.bus.sent == [(f"node{n}", Move(7, 10, [], workers)) for n in range(3)]
    with pytest.raises(Exception, match=r"nodes of the run \(node0, node1, node2\), got node3"):
        chosen.workers_of(["node3"])
    run.nodes.all[2].lost = "it is being given up"
    with pytest.raises(Exception, match=r"nodes of the run \(node0, node1\), got node2"):
        chosen.workers_of(["node2"])


def test_a_chosen_node_may_join_later_if_another_is_present():
    there = Run().nodes.all
    assert named(there, ["later", "host1"], may_come=True) == [there[1]]
    with pytest.raises(Exception, match=r"\(node0, node1, node2\), got later"):
        named(there, ["later", "host1"])
    with pytest.raises(Exception, match=r"\(node0, node1, node2\), got later"):
        named(there, ["later"], may_come=True)
