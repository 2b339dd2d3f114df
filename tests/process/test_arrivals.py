"""An arrival rate: iterations start on time, and those that cannot start are counted as dropped."""

from __future__ import annotations

import re
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from amoc.base.errors import ExitCode
from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from tests import preloaded
from tests.process.support import DEADLINE_S, ROOT, Run, eventually, lines, running

pytestmark = pytest.mark.slow

ASKING = """
    import socket
    from amoc import metrics

    def start(user_id):
        with metrics.timer("turn").time(), socket.create_connection(("127.0.0.1", PORT)) as line:
            line.recv(1)
    """
NOTING = """
    import os
    from amoc import sleep

    FILE = os.open(HERE + "/begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(user_id):
        os.write(FILE, f"{user_id} {os.getpid()}\\n".encode())
        sleep(0.05)
    """


class Target(socketserver.ThreadingTCPServer):
    """A server that answers each connection with a byte, unless it stalls."""

    allow_reuse_address = daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.came = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Answer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        target = self.server
        assert isinstance(target, Target)
        target.came += 1
        target.goes_on.wait(DEADLINE_S)
        self.request.sendall(b".")


@contextmanager
def target() -> Iterator[Target]:
    with Target() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.goes_on.set()
            server.shutdown()
            thread.join()


def amoc(run: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    return preloaded.amoc(*arguments, "--run", str(run.directory), cwd=ROOT)


def told(run: Run) -> tuple[int, int]:
    """Return the iterations started and dropped, as reported while the run goes on."""
    found = re.search(r"arrivals: ([\d,]+), ([\d,]+) dropped", run.look("status")["summary"])
    assert found is not None
    arrivals, dropped = (int(one.replace(",", "")) for one in found.groups())
    return arrivals, dropped


def elapsed_s(run: Run) -> float:
    """Return the time since the run's start."""
    return float(run.look("status")["elapsed_s"])


def counted(run: Run) -> tuple[int, int]:
    """Return the iterations started and dropped, from the summary."""
    counters = run.summary()["counters"]
    return counters["arrivals"], counters.get("dropped", 0)


def test_a_stalled_target_does_not_lower_the_arrival_rate(scenario, tmp_path):
    with target() as server:
        file = scenario(ASKING.replace("PORT", str(server.port)))
        arguments = ("--arrival-rate", "100/s", "--duration", "5s", "--workers", "2")
        with running(file, *arguments, directory=tmp_path) as run:
            eventually(lambda: server.came > 50, "users come")
            server.goes_on.clear()
            before = server.came
            # None of them is answered, so that many more users wait at the same time.
            eventually(lambda: server.came >= before + 100, "they come although it stalls")
            server.goes_on.set()
            assert run.end() == 0, run.output
            arrivals, dropped = counted(run)
            summary = run.summary()
    assert arrivals + dropped == 500
    assert arrivals == server.came == summary["counters"]["iterations"]
    assert summary["users"]["peak"] >= 100
    assert summary["timers"]["arrival_lateness"]["count"] == arrivals
    response, service = summary["timers"]["turn.response"], summary["timers"]["turn"]
    assert response["count"] == service["count"] == arrivals, "no turn is made up"


def test_iterations_without_a_free_user_are_dropped_and_fail_a_threshold(scenario, tmp_path):
    with target() as server:
        file = scenario(ASKING.replace("PORT", str(server.port)))
        arguments = ("--arrival-rate", "100/s", "--max-users", "7", "--expect", "dropped < 1%")
        with running(file, *arguments, "--duration", "3s", directory=tmp_path) as run:
            eventually(lambda: server.came > 20, "users come")
            server.goes_on.clear()
            before = server.came
            eventually(lambda: told(run)[1] >= 10, "more than 1 % are dropped")
            assert server.came <= before + 7, "all users are busy"
            server.goes_on.set()
            assert run.end() == ExitCode.THRESHOLD, run.output
            arrivals, dropped = counted(run)
            summary = run.summary()
    assert arrivals + dropped == 300
    assert dropped >= 1
    assert summary["users"]["peak"] <= 7
    (note,) = (one for one in summary["run"]["notes"] if "dropped" in one)
    assert f"{dropped} of 300 iterations were dropped" in note
    assert "all 7 were busy; raise --max-users" in note
    assert summary["thresholds"][0]["value"] == pytest.approx(dropped / 300, abs=1e-6)


def test_no_arrival_is_lost_when_a_worker_is_killed(scenario, tmp_path):
    rates = "0s:200/s,3s:200/s,0s:0/s,1h:0/s"
    with running(
        scenario(NOTING), "--arrival-rate", rates, "--workers", "2", directory=tmp_path
    ) as run:
        workers = run.wait_for("worker", 2)

        def begun() -> list[tuple[int, int]]:
            found = (line.split() for line in lines(tmp_path / "begun"))
            return [(int(user_id), int(pid)) for user_id, pid in found]

        eventually(lambda: {pid for _, pid in begun()} >= set(workers), "both workers begin some")
        run.kill(workers[0])
        (third,) = eventually(lambda: set(run.find("worker")) - set(workers), "a replacement")
        # The killed worker's slots are counted during the run, not only at its end.
        eventually(lambda: sum(told(run)) == 600, "each slot is counted")
        changed = amoc(run, "throttle", "arrival_rate", "0s:100/s,2s:100/s,0s:0/s,1h:0/s")
        assert changed.returncode == 0
        eventually(lambda: sum(told(run)) == 800, "each slot is counted")
        last = told(run)
        assert amoc(run, "stop").returncode == 0
        assert run.end() == 0, run.output
        arrivals, dropped = counted(run)
        summary = run.summary()
        (run.directory / "summary.json").unlink()
        rebuilt = load(RunDirectory(run.directory), lambda _: None).summary
    assert last == (arrivals, dropped) == (rebuilt["counters"]["arrivals"], 800 - arrivals)
    assert rebuilt["counters"] == summary["counters"]
    assert len(begun()) <= arrivals <= len(begun()) + 1, "at most the one in which it was killed"
    assert summary["users"]["restarted"] > 0
    assert summary["users"]["lost"] == 0
    assert any(pid == third for _, pid in begun())
    owners = {user_id: {pid for one, pid in begun() if one == user_id} for user_id, _ in begun()}
    assert all(not {workers[0], workers[1]} <= pids for pids in owners.values())


def test_an_arrival_rate_can_be_changed_and_paused_but_users_not_added(scenario, tmp_path):
    arguments = ("--arrival-rate", "100/s", "--max-users", "50", "--comment", "open")
    with running(scenario(NOTING), *arguments, directory=tmp_path) as run:
        eventually(lambda: len(lines(tmp_path / "begun")) > 20, "iterations begin")
        refused = amoc(run, "add", "5")
        assert refused.returncode != 0
        assert "change it with amoc throttle" in refused.stderr
        assert "must be below infinity" in amoc(run, "throttle", "arrival_rate", "inf").stderr
        assert "must have a time unit" in amoc(run, "throttle", "arrival_rate", "5").stderr
        assert amoc(run, "throttle", "arrival_rate", "0/s").returncode == 0
        held = len(lines(tmp_path / "begun"))
        changed = amoc(run, "throttle", "arrival_rate", "400/s")
        assert "throttle arrival_rate is changed to 400/s" in changed.stdout
        eventually(lambda: len(lines(tmp_path / "begun")) > held + 100, "it is faster")
        assert amoc(run, "pause").returncode == 0
        paused = len(lines(tmp_path / "begun"))
        assert "arrivals:" in amoc(run, "status").stdout
        ids = [int(line.split()[0]) for line in lines(tmp_path / "begun")]
        assert f"the highest id is {max(ids)}" in amoc(run, "users").stdout
        assert len(lines(tmp_path / "begun")) <= paused + 1
        assert amoc(run, "resume").returncode == 0
        eventually(lambda: len(lines(tmp_path / "begun")) > paused + 20, "it goes on")
        assert amoc(run, "throttle", "arrival_rate", "0/s").returncode == 0
        since_s = elapsed_s(run)
        eventually(lambda: elapsed_s(run) > since_s + 2.5, "two further seconds are told")
        last = told(run)
        assert amoc(run, "stop").returncode == 0
        assert run.end() == 0, run.output
        arrivals, dropped = counted(run)
    assert last == (arrivals, dropped), "iterations dropped by a pause were reported during the run"
    assert arrivals == len(lines(tmp_path / "begun"))
    again = preloaded.amoc("replay", str(run.directory), "--plan", cwd=ROOT)
    assert "iterations start at 100/s, on at most 50 users" in again.stdout
    assert "400/s" in again.stdout, "the command is repeated, too"
