"""The node's links to its supervisor: output pipe, socket, and detection of its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import gevent
import pytest
from gevent import socket as gsocket

from amoc.base.errors import PeerError
from amoc.ipc import pipe
from amoc.ipc.messages.lifecycle import Forked, Note, Output, Terminate
from amoc.ipc.messages.links import FROM_SUPERVISOR, TO_SUPERVISOR
from amoc.runtime.node.output import MAX_LINES, OutputRelay
from amoc.runtime.node.supervisor_link import SupervisorLink

DEADLINE_S = 60.0


def test_output_is_relayed_in_whole_lines_and_the_rest_at_the_end():
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


def test_excess_output_is_dropped_and_counted():
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


@pytest.fixture
def line():
    ends = gsocket.socketpair()
    yield SupervisorLink(0, ends[0]), ends[1]
    for end in ends:
        end.close()


def test_messages_arrive_in_both_directions(line):
    link, theirs = line
    link.send(Terminate())
    assert pipe.read_one(theirs.fileno(), TO_SUPERVISOR) == Terminate()
    said = [Forked(0, 1, 2), Note("info", "x")]
    for one in said:
        pipe.write(theirs.fileno(), FROM_SUPERVISOR, one)
    theirs.shutdown(gsocket.SHUT_RDWR)
    heard = gevent.spawn(lambda: list(link.reports()))
    assert heard.get(timeout=DEADLINE_S) == said
    link.send(Terminate())  # has no effect and raises no error
    link.kill()  # no process: no effect


def test_an_unknown_report_raises_an_error_that_names_it(line):
    link, theirs = line
    pipe.write(theirs.fileno(), TO_SUPERVISOR, Terminate())
    hearing = gevent.spawn(lambda: list(link.reports()))
    with pytest.raises(PeerError, match=r"expected a known message, got .*Terminate"):
        hearing.get(timeout=DEADLINE_S)


# In a separate process: once tests have used gevent.subprocess, the loop reaps every child.
DEATHS = """
import os, signal
import gevent
from gevent import socket
from amoc.runtime.node.supervisor_link import SupervisorLink

def waited(end):
    ours, theirs = socket.socketpair()  # the socket stays open
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], os.environ)
    link = SupervisorLink(pid, ours)
    waiting = gevent.spawn(link.wait_dead)
    gevent.sleep(0)
    end(link, pid)
    return waiting.get(timeout=10.0)

print(waited(lambda _, pid: os.kill(pid, signal.SIGTERM)), waited(lambda link, _: link.kill()))
"""


@pytest.mark.slow
def test_a_death_is_noticed_while_the_socket_is_open_unless_requested():
    found = subprocess.run(
        [sys.executable, "-c", DEATHS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.stdout, found.stderr) == (f"{-signal.SIGTERM} None\n", "")
