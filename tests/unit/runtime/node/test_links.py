"""What connects a node with its supervisor: a pipe for output, a line, and news of its death."""

from __future__ import annotations

import os
import signal

import gevent
import pytest
from gevent import socket as gsocket

from amoc.base.errors import PeerError
from amoc.ipc import pipe
from amoc.ipc.messages import FROM_SUPERVISOR, TO_SUPERVISOR, Forked, Note, Output, Terminate
from amoc.runtime.node.output import MAX_LINES, OutputRelay
from amoc.runtime.node.supervisor_link import SupervisorLink

DEADLINE_S = 10.0


def test_what_is_printed_is_passed_on_in_whole_lines_and_the_rest_at_the_end():
    reading, writing = os.pipe()
    reports: list[Output] = []
    relay = OutputRelay(reading, reports.append)
    running = gevent.spawn(relay.run)
    os.write(writing, b"one\ntw")
    with gevent.Timeout(DEADLINE_S):
        while not reports:
            gevent.sleep(0.001)
    assert reports == [Output(["one"])]
    os.write(writing, b"o")
    os.close(writing)
    assert relay.ended.wait(DEADLINE_S)
    running.get(timeout=DEADLINE_S)
    os.close(reading)
    assert [line for report in reports for line in report.lines] == ["one", "two"]


def test_what_is_printed_too_fast_is_left_out_and_counted():
    reading, writing = os.pipe()
    reports: list[Output] = []
    relay = OutputRelay(reading, reports.append)
    os.write(writing, b"x\n" * (MAX_LINES + 7))
    os.close(writing)
    gevent.spawn(relay.run).get(timeout=DEADLINE_S)
    os.close(reading)
    lines = [line for report in reports for line in report.lines]
    assert lines[:MAX_LINES] == ["x"] * MAX_LINES
    assert "7" in lines[MAX_LINES]


class Supervisor:
    """A process that sleeps, and the other end of its line."""

    def __init__(self) -> None:
        self.ours, self.line = gsocket.socketpair()
        self.pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], os.environ)
        self.link = SupervisorLink(self.pid, self.ours)


@pytest.fixture
def supervisor():
    one = Supervisor()
    yield one
    one.link.kill()
    for end in (one.ours, one.line):
        end.close()


def test_what_goes_either_way_over_the_line_arrives(supervisor):
    supervisor.link.tell(Terminate())
    assert pipe.read_one(supervisor.line.fileno(), TO_SUPERVISOR) == Terminate()
    said = [Forked(0, 1, 2), Note("info", "x")]
    for one in said:
        pipe.write(supervisor.line.fileno(), FROM_SUPERVISOR, one)
    supervisor.line.shutdown(gsocket.SHUT_RDWR)
    heard = gevent.spawn(lambda: list(supervisor.link.reports()))
    assert heard.get(timeout=DEADLINE_S) == said
    supervisor.link.tell(Terminate())  # in vain, and no error


def test_what_is_none_of_its_reports_is_an_error_that_names_it(supervisor):
    pipe.write(supervisor.line.fileno(), TO_SUPERVISOR, Terminate())
    hearing = gevent.spawn(lambda: list(supervisor.link.reports()))
    with pytest.raises(PeerError, match=r"expected a known message, got .*Terminate"):
        hearing.get(timeout=DEADLINE_S)


def test_a_death_is_noticed_although_somebody_holds_the_line_open(supervisor):
    waiting = gevent.spawn(supervisor.link.wait_dead)
    gevent.sleep(0)
    os.kill(supervisor.pid, signal.SIGTERM)
    assert waiting.get(timeout=DEADLINE_S) == -signal.SIGTERM


def test_a_death_that_was_wanted_is_none(supervisor):
    waiting = gevent.spawn(supervisor.link.wait_dead)
    gevent.sleep(0)
    supervisor.link.kill()
    assert waiting.get(timeout=DEADLINE_S) is None
