"""The control socket and its client: requests are answered, and no client harms the run."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import gevent
import pytest
from gevent import get_hub
from gevent import socket as gsocket
from gevent.event import Event

from amoc.base.errors import AmocError, ExitCode, PeerError, ResourceError, SettingError, UsageError
from amoc.base.unix_socket import reachable
from amoc.control import client, server
from amoc.control.answers import Answer, WorkerAnswer
from amoc.control.server import ControlServer

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def _deadline():
    with gevent.Timeout(DEADLINE_S):
        yield


class Run:
    """Target of the commands: does what the test sets, and records each request."""

    def __init__(self) -> None:
        self.asked = []
        self.refusal: BaseException | None = None
        self.hold: Event | None = None
        self.answer: Answer | None = None

    def operate(self, command, source):
        self.asked.append((command.name, command.arguments, source, command.comment))
        if self.hold is not None:
            self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        return self.answer or Answer(
            summary=f"{command.name} done", workers=[WorkerAnswer("node0/1", "did")]
        )


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "control"


@pytest.fixture
def served(run, path):
    defects = []
    with ControlServer(path, run.operate, defects.append) as served:
        served.defects = defects
        yield served


def ask(path: Path, name: str, arguments=None, comment="", timeout_s=DEADLINE_S):
    """Return what the blocking client returns, called in a thread."""
    return get_hub().threadpool.apply(
        client.request, (path, name, arguments or {}, comment, timeout_s)
    )


def connect(path: Path):
    line = gsocket.socket(socket.AF_UNIX)
    line.connect(str(path))
    return line


def answer_of(line) -> dict:
    return json.loads(line.makefile("rb").readline())


def test_a_command_is_executed_and_answered(run, path, served):
    answer = ask(path, "add", {"count": 5}, "more")
    assert answer["summary"] == "add done"
    assert answer["workers"] == [{"worker": "node0/1", "text": "did"}]
    assert run.asked == [("add", {"count": 5}, "socket", "more")]


def test_a_rejection_is_returned_with_its_text_and_exit_code(run, path, served):
    run.refusal = SettingError("rate must be at least 1, got 0 (from set)", "mode must be x")
    with pytest.raises(AmocError) as caught:
        ask(path, "set", {"values": {"rate": "0"}})
    assert str(caught.value) == "rate must be at least 1, got 0 (from set)\nmode must be x"
    assert caught.value.exit_code is ExitCode.SETTING


def test_an_internal_error_is_reported_to_both_sides_and_the_run_continues(run, path, served):
    run.refusal = ZeroDivisionError("a defect")
    with pytest.raises(AmocError, match="internal error of amoc") as caught:
        ask(path, "pause")
    assert caught.value.exit_code is ExitCode.INTERNAL
    assert "ZeroDivisionError: a defect" in served.defects[0]
    run.refusal = None
    assert ask(path, "pause")["summary"] == "pause done"


def test_values_that_cannot_be_sent_to_workers_are_rejected_without_an_internal_error(
    run, path, served
):
    for text, complaint in (
        ('{"n": 18446744073709551616}', "n must fit into 64 bits"),
        ('{"n": ' + "[" * 600 + "]" * 600 + "}", "n must be nested at most 50 deep"),
        ('{"n": ' + "[" * 200_000 + "]" * 200_000 + "}", "a request must be a JSON object"),
    ):
        with connect(path) as line:
            request = f'{{"command": "set", "arguments": {{"values": {text}}}}}\n'
            line.sendall(request.encode())
            answer = answer_of(line)
        assert (answer["ok"], answer["exit_code"]) == (False, ExitCode.USAGE)
        assert complaint in answer["error"]
        assert len(answer["error"]) < 300
    assert run.asked == served.defects == []


def test_the_socket_is_private_to_its_owner_and_removed_at_the_end(run, path):
    with ControlServer(path, run.operate):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    with pytest.raises(UsageError, match=f"run {path.parent} is not running"):
        ask(path, "status")


def test_a_socket_that_cannot_be_created_is_one_clear_error(run, path):
    path.touch()
    with pytest.raises(ResourceError, match=r"control socket .* cannot be created: File exists"):
        ControlServer(path, run.operate).start()
    assert path.is_file()
    with pytest.raises(ResourceError, match="cannot be created: No such file"):
        ControlServer(path.parent / "no" / "where", run.operate).start()


def test_a_path_longer_than_the_kernel_limit_works(run, tmp_path):
    deep = tmp_path / Path(*["d" * 60] * 4)
    deep.mkdir(parents=True)
    with ControlServer(deep / "control", run.operate):
        assert ask(deep / "control", "status")["summary"] == "status done"
        with reachable(deep / "control") as address:
            assert len(address) < 108
    assert list(deep.iterdir()) == []


def test_one_connection_may_carry_several_requests(run, path, served):
    with connect(path) as line:
        line.sendall(b'{"command": "pause"}\n{"command": "resume", "comment": "x"}\n')
        lines = line.makefile("rb")
        answers = [json.loads(lines.readline())["answer"]["summary"] for _ in range(2)]
    assert answers == ["pause done", "resume done"]
    assert run.asked == [("pause", {}, "socket", ""), ("resume", {}, "socket", "x")]


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (b"hello\n", "a request must be a JSON object in one line, got 'hello'"),
        (b"\n", "a request must be a JSON object in one line, got ''"),
        (b"\xff\xfe\n", "a request must be a JSON object"),
        (b"[" * 100_000 + b"\n", "a request must be a JSON object"),
        (b"[]\n", "a request must be a JSON object"),
        (b"{}\n", "command must be one of"),
        (b'{"command": "explode"}\n', "command must be one of"),
        (b'{"command": {"a": 1}}\n', "command must be one of"),
        (b'{"command": "add"}\n', "add requires either count or ids"),
        (b'{"command": "add", "arguments": 5}\n', "arguments of add must be an object"),
        (b'{"command": "pause", "comment": 5}\n', "comment of pause must be text"),
        (b'{"command": "pause", "more": 5}\n', "arguments and comment, got 'more'"),
    ],
)
def test_an_invalid_request_is_rejected_and_the_next_one_is_accepted(
    run, path, served, sent, complaint
):
    with connect(path) as line:
        line.sendall(sent + b'{"command": "pause"}\n')
        lines = line.makefile("rb")
        refused = json.loads(lines.readline())
        assert json.loads(lines.readline())["ok"]
    assert not refused["ok"]
    assert complaint in refused["error"]
    assert refused["exit_code"] == ExitCode.USAGE
    assert len(run.asked) == 1


def test_an_endless_line_closes_only_its_own_connection(run, path, served, monkeypatch):
    monkeypatch.setattr(server, "MAX_LINE", 1000)
    with connect(path) as line:
        line.sendall(b"x" * 1001)
        refused = answer_of(line)
        assert "a request must have at most 1000 bytes" in refused["error"]
        assert line.recv(1) == b""
    assert ask(path, "status")["summary"] == "status done"


def test_a_silent_client_is_disconnected(run, path, served, monkeypatch):
    monkeypatch.setattr(server, "READ_S", 0.01)
    with connect(path) as line:
        line.sendall(b'{"comm')
        assert line.recv(1) == b""


def test_a_client_that_does_not_read_its_answers_is_disconnected(run, path, served, monkeypatch):
    monkeypatch.setattr(server, "WRITE_S", 0.01)
    run.answer = Answer(summary="x" * 10_000_000)
    with connect(path) as line:
        line.sendall(b'{"command": "status"}\n')
        while served.connections:
            gevent.sleep(0.001)
    run.answer = Answer(summary="short")
    assert ask(path, "status")["summary"] == "short"


def test_a_client_that_disconnects_while_waiting_does_no_harm(run, path, served):
    run.hold = Event()
    line = connect(path)
    line.sendall(b'{"command": "pause"}\n')
    while not run.asked:
        gevent.sleep(0.001)
    line.close()
    run.hold.set()
    while served.connections:
        gevent.sleep(0.001)
    assert ask(path, "resume")["summary"] == "resume done"


def test_excess_connections_are_rejected_with_a_reason(run, path, served):
    lines = [connect(path) for _ in range(server.MAX_CONNECTIONS)]
    while served.connections < server.MAX_CONNECTIONS:
        gevent.sleep(0.001)
    with pytest.raises(AmocError, match="takes at most 32 connections at once"):
        ask(path, "status")
    with pytest.raises(AmocError, match="takes at most 32 connections at once"):
        ask(path, "set", {"values": {"more than is on the way": "x" * (4 << 20)}})
    assert served.refused == 2
    lines.pop().close()
    while served.connections == server.MAX_CONNECTIONS:
        gevent.sleep(0.001)
    assert ask(path, "status")["summary"] == "status done"
    for line in lines:
        line.close()


def test_a_command_in_progress_at_the_end_is_answered(run, path):
    served = ControlServer(path, run.operate)
    served.start()
    run.hold = Event()
    idle = connect(path)
    asking = gevent.spawn(ask, path, "stop")
    while not run.asked:
        gevent.sleep(0.001)
    stopping = gevent.spawn(served.stop)
    while path.exists():
        gevent.sleep(0.001)
    run.hold.set()
    assert asking.get()["summary"] == "stop done"
    stopping.get()
    assert idle.recv(1) == b""
    idle.close()
    served.stop()  # a second time does no harm


def test_a_run_that_ends_before_answering_is_a_peer_error(run, path, monkeypatch):
    monkeypatch.setattr(server, "LEAVE_S", 0.01)
    served = ControlServer(path, run.operate)
    served.start()
    run.hold = Event()
    asking = gevent.spawn(ask, path, "status")
    while not run.asked:
        gevent.sleep(0.001)
    served.stop()
    with pytest.raises(PeerError, match="the run ended before it answered"):
        asking.get()


def test_the_wait_for_an_answer_is_bounded(run, path, served):
    run.hold = Event()
    with pytest.raises(PeerError, match=r"the run has not answered within 0\.05 s"):
        ask(path, "status", timeout_s=0.05)
    run.hold.set()


@pytest.mark.parametrize(
    "sent",
    [b"hello\n", b"[]\n", b'{"ok": false}\n', b'{"ok": true}\n', b'{"ok": true, "answer": 5}\n'],
)
def test_an_invalid_answer_is_a_peer_error(path, sent):
    with pytest.raises(PeerError, match=r"the run's answer must be amoc's JSON"):
        answered(path, sent)


def answered(path: Path, sent: bytes):
    """Return what the client makes of an answer."""
    with gsocket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        asking = gevent.spawn(ask, path, "status")
        line, _ = listener.accept()
        with line:
            line.sendall(sent)
            return asking.get()


def test_an_unknown_exit_code_becomes_an_internal_error(path):
    with pytest.raises(AmocError, match="no") as caught:
        answered(path, b'{"ok": false, "error": "no", "exit_code": 99}\n')
    assert caught.value.exit_code is ExitCode.INTERNAL
