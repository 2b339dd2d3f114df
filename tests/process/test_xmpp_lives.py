"""Lost, refused and silent connections in whole runs: counters, notes and verdicts."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from tests.process.support import running

pytestmark = pytest.mark.slow
Write = Callable[..., Path]
USERS = ("--users", "3", "--workers", "1", "--set", "interarrival=0", "--set", "repeat_num=1")


def run_of(file: Path, directory: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Run a scenario; return its exit code, output and summary."""
    target = directory / "summary.json"
    with running(file, *USERS, "--json", str(target), *options, directory=directory) as run:
        code = run.end()
    return code, run.output, json.loads(target.read_text())


def test_users_reconnect_through_a_throttle_and_outages_are_timed(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import throttle, xmpp

        def init():
            throttle.start("comebacks", 1200)

        def start(user_id):
            lives = 0
            for client in xmpp.staying_connected(user_id, resumable=True):
                with client:
                    lives += 1
                    client.ping()
                    if lives < 4:
                        client.cut(reset=True)
    """)
    settings = ("--set", "xmpp_reconnect_throttle=comebacks", "--set", "xmpp_reconnect_pause=0.01")
    code, output, summary = run_of(file, tmp_path, *settings)
    assert code == 0, output
    assert summary["crashes"] == []
    counters = summary["counters"]
    assert counters["connections"] == 3
    assert counters["sessions_resumed"] == 9
    assert summary["timers"]["outage"]["count"] == 9
    assert summary["timers"]["resumption"]["count"] == 9
    assert summary["throttles"]["comebacks"]["executions"] == 12


def test_a_run_that_never_connects_fails_and_says_why(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            try:
                xmpp.connect(user_id, attempts=2)
            except xmpp.ConnectError:
                pass
    """)
    settings = ("--set", "xmpp_servers=127.0.0.1:1", "--set", "xmpp_connect_pause=0")
    code, output, summary = run_of(file, tmp_path, *settings)
    assert code == ExitCode.THRESHOLD, output
    assert summary["run"]["verdict"] == "everything failed"
    reason = "no connection was established: 6 attempts failed (refused 6)"
    assert summary["run"]["reasons"] == [reason]
    assert reason in " ".join(output.split())
    assert summary["counters"]["connections_given_up"] == 3


def test_users_inside_connect_are_counted_and_leave_when_the_run_ends(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            with xmpp.connect(user_id, timeout=600):
                raise AssertionError("a silent server has let a user in")
    """)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        options = ("--set", f"xmpp_servers={address}", "--duration", "2s", "--stop-timeout", "60s")
        code, output, summary = run_of(file, tmp_path, *options)
    assert code == ExitCode.THRESHOLD, output
    assert summary["counters"]["connections_cancelled"] == 3
    assert summary["gauges"]["connecting"] == 0
    assert summary["users"]["finished"] == 3
    series = StoredSeries(RunDirectory(Path(summary["run"]["directory"])).series)
    assert 3 in [point.gauges.get("connecting") for point in series]
    assert summary["run"]["reasons"] == [
        "no connection was established: 3 users had to stop while connecting"
    ]


def test_closes_that_the_server_does_not_finish_are_noted(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import xmpp
        from tests.unit.xmpp.fake import Conn, serving

        def deaf(conn):
            conn.log_in()
            conn.rest()

        def start(user_id):
            with serving(deaf) as server:
                xmpp.connect(user_id, server=server.address, mechanism="PLAIN").close()
    """)
    code, output, summary = run_of(file, tmp_path, "--set", "xmpp_close_timeout=0.1")
    assert code == 0, output
    assert summary["counters"]["closes_unfinished"] == 3
    note = "in 3 closes the server did not close its half of the stream (closes_unfinished)"
    assert any(note in one for one in summary["run"]["notes"])
