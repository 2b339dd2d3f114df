"""The daemon's lifecycle: in the background, with several runs, killed, and restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gevent
import pytest

from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from amoc.service import run_queue, server_log
from amoc.service.start_bodies import StartBody
from tests.process.support import DEADLINE_S, ROOT, alive, eventually
from tests.process.test_control import terminal
from tests.service.support import Daemon, serving

pytestmark = pytest.mark.slow

DAY_S = 86_400


def amoc(*arguments: str, cwd: Path, code: int = 0) -> str:
    """Run a command that must end with `code`; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_the_server_runs_in_the_background_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as variables:
        variables.setenv("AMOC_API_PORT", "0")
        said = amoc("start", cwd=tmp_path)
    try:
        assert said.startswith("amoc serves http://127.0.0.1:")
        assert "already" in amoc("start", "--listen", "0", cwd=tmp_path, code=2)
        assert "already" in amoc("serve", "--listen", "0", cwd=tmp_path, code=2)
    finally:
        ended = amoc("stop-server", cwd=tmp_path)
    assert "has ended" in ended
    assert "no server is running for" in amoc("stop-server", cwd=tmp_path, code=2)
    assert (tmp_path / "amoc-runs/.daemon.log").read_text().startswith("amoc serves")
    # An error at its start is shown as in the foreground.
    assert "--token-file" in amoc("start", "--listen", "0.0.0.0:0", cwd=tmp_path, code=2)


def test_the_log_is_rotated_while_the_server_runs(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/broken.py").write_text("raise ValueError\n")
    url = amoc("start", "--listen", "0", cwd=tmp_path).split()[2]
    log = tmp_path / "amoc-runs/.daemon.log"
    try:
        os.truncate(log, server_log.MAX_BYTES)
        for _ in range(2):
            amoc("run", "--server", url, "broken", cwd=tmp_path, code=4)
        assert log.with_name(".daemon.log.1").stat().st_size > server_log.MAX_BYTES
        assert "ended with 4" in log.read_text()
    finally:
        amoc("stop-server", cwd=tmp_path)


def complete(daemon: Daemon, run: str) -> None:
    """Assert that a run has ended and left a complete directory."""
    saved = load(RunDirectory(daemon.runs / run))
    assert saved.complete
    assert list(saved.missing) == []
    assert (daemon.runs / run / "report.html").exists()


def test_runs_stop_gracefully_when_the_daemon_stops(tmp_path: Path) -> None:
    with serving(tmp_path, "--parallel", "2") as daemon:
        runs = [daemon.start(users=3) for _ in range(2)]
        tree = daemon.tree()
        daemon.kill(signal.SIGTERM)
        assert daemon.end() == 0
        assert alive(tree) == set()
        for run in runs:
            complete(daemon, run)


def test_runs_of_a_killed_daemon_stop_gracefully_and_are_listed_again(tmp_path: Path) -> None:
    with serving(tmp_path) as daemon:
        run = daemon.start(users=3)
        daemon.wait_for_users(run, 3)
        tree = daemon.tree() - {daemon.pid}
        assert len(tree) >= 3
        daemon.kill(signal.SIGKILL)
        eventually(lambda: not alive(tree), "the run's processes have ended")
        complete(daemon, run)
    with serving(tmp_path) as again:
        assert again.get(f"/runs/{run}/summary")["run"]["reasons"] == [
            "the server or the program that started the run was killed"
        ]
        listed = again.get("/runs")["runs"]
        assert [(one["id"], one["state"], one["verdict"]) for one in listed] == [
            (run, "over", "stopped")
        ]
        assert again.get(f"/runs/{run}/series")["total"] >= 1


def test_queued_runs_start_in_order(daemon: Daemon) -> None:
    first = daemon.start(users=1)
    body = {"scenario": "stayers", "users": 1, "workers": 1, "queue": True}
    second = daemon.patch("/execution/start", body, status=202)
    dropped = daemon.patch("/execution/start", body, status=202)
    assert second["state"] == "queued"
    assert daemon.get("/status")["queued"] == [second["run"], dropped["run"]]
    states = {one["id"]: one["state"] for one in daemon.get("/runs")["runs"]}
    assert (states[first], states[second["run"]]) == ("running", "queued")
    daemon.patch("/execution/stop", {"run": dropped["run"]})
    daemon.patch("/execution/stop", {"run": first})
    daemon.wait_for_state(second["run"], "running")
    assert daemon.get(f"/runs/{first}")["state"] == "over"
    daemon.patch("/execution/stop")
    daemon.wait_for_end(second["run"])
    assert daemon.request("GET", f"/runs/{dropped['run']}").status == 404


def test_a_run_starts_at_its_scheduled_time(daemon: Daemon) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3)
    body = {"scenario": "stayers", "users": 1, "workers": 1, "at": at.isoformat()}
    run = daemon.patch("/execution/start", body, status=202)["run"]
    daemon.wait_for_state(run, "running")
    journal = (daemon.runs / run / "journal.jsonl").read_text().splitlines()
    assert datetime.fromisoformat(json.loads(journal[0])["started_at"]) >= at
    daemon.patch("/execution/stop")
    daemon.wait_for_end(run)


def test_a_queued_run_that_is_refused_says_why(daemon: Daemon) -> None:
    first = daemon.start(users=1)
    body = {"scenario": "stayers", "settings": {"mode": "sad"}, "queue": True}
    run = daemon.patch("/execution/start", body, status=202)["run"]
    daemon.patch("/execution/stop", {"run": first})
    found = daemon.wait_for_end(run)
    assert found["state"] == "failed"
    assert "mode must be one of 'calm', 'wild'" in found["error"]


def states(daemon: Daemon) -> dict[str, str]:
    return {one["id"]: one["state"] for one in daemon.get("/runs")["runs"]}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_queued_runs_stay_queued_when_the_server_ends(tmp_path: Path, signum: int) -> None:
    body = {"scenario": "stayers", "users": 1, "workers": 1, "queue": True}
    later = datetime.now(UTC) + timedelta(days=1)
    gone = tmp_path / "scenarios/gone.py"
    with serving(tmp_path) as daemon:
        gone.write_text("def start(user_id): ...\n")
        first = daemon.start(users=1)
        waiting = [
            daemon.patch("/execution/start", {**body, **more}, status=202)["run"]
            for more in (
                {"scenario": "gone"},
                {"comment": "next"},
                {"settings": {"password": "hush"}},
                {"at": later.isoformat()},
            )
        ]
        dropped = daemon.patch("/execution/start", body, status=202)["run"]
        daemon.patch("/execution/stop", {"run": dropped})
        tree = daemon.tree()
        daemon.kill(signum)
        eventually(lambda: not alive(tree), "all processes have ended")
        assert "hush" not in "".join(one.read_text() for one in daemon.runs.glob(".queue/*"))
    gone.unlink()
    missing, second, secret, tomorrow = waiting
    with serving(tmp_path) as again:
        eventually(lambda: states(again)[second] == "running", "the next one runs")
        assert states(again) == {
            first: "over",
            missing: "failed",
            second: "running",
            secret: "failed",
            tomorrow: "queued",
        }
        assert "no scenario 'gone'" in again.get(f"/runs/{missing}")["error"]
        assert "not saved when the server ends: password" in again.get(f"/runs/{secret}")["error"]
        assert again.get("/status")["queued"] == [tomorrow]
        again.patch("/execution/stop", {"run": tomorrow})
        again.patch("/execution/stop")
        assert again.wait_for_end(second)["comment"] == "next"
        for run in (missing, secret):
            assert again.request("DELETE", f"/runs/{run}").status == 204
        assert set(states(again)) == {first, second}
        assert list(again.runs.glob(".queue/*")) == []


def test_a_run_that_was_starting_when_the_server_was_killed_is_not_restarted(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as daemon:
        (tmp_path / "scenarios/slow.py").write_text(
            "import time\n\n\ntime.sleep(300)\n\n\ndef start(user_id): ...\n"
        )
        at = datetime.now(UTC) + timedelta(seconds=1)
        body = {"scenario": "slow", "at": at.isoformat()}
        run = daemon.patch("/execution/start", body, status=202)["run"]
        eventually(lambda: states(daemon)[run] == "starting", "it is loaded")
        tree = daemon.tree()
        daemon.kill(signal.SIGKILL)
        eventually(lambda: not alive(tree), "all processes have ended")
    with serving(tmp_path) as again:
        assert states(again) == {run: "failed"}
        assert "ended while this run was starting" in again.get(f"/runs/{run}")["error"]


def test_a_run_of_a_killed_server_keeps_its_slot_until_it_ends(tmp_path: Path) -> None:
    go_on = tmp_path / "go_on"
    with serving(tmp_path) as daemon:
        (tmp_path / "scenarios/stubborn.py").write_text(
            f"import os, time\n\n\ndef start(user_id):\n"
            f"    while not os.path.exists({str(go_on)!r}):\n        time.sleep(0.05)\n"
        )
        first = daemon.start("stubborn", users=1, stop_timeout="5m")
        body = {"scenario": "stayers", "users": 1, "workers": 1, "queue": True}
        second = daemon.patch("/execution/start", body, status=202)["run"]
        daemon.kill(signal.SIGKILL)
        daemon.end()
        with serving(tmp_path) as again:
            assert states(again) == {first: "running", second: "queued"}
            refused = again.patch("/execution/start", {"scenario": "stayers"}, status=409)
            assert f"already running: {first};" in refused["detail"]
            assert again.request("DELETE", f"/runs/{first}").status == 409
            go_on.touch()
            assert again.wait_for_end(first)["verdict"] == "stopped"
            again.wait_for_state(second, "running")
            again.patch("/execution/stop")
            again.wait_for_end(second)
            assert list(again.runs.glob(".queue/*")) == []


def test_a_run_is_found_by_name_id_or_unique_prefix(daemon: Daemon) -> None:
    run = daemon.start(users=1)
    known = daemon.get(f"/runs/{run}/status")["id"]
    assert known != run
    assert daemon.patch("/execution/note", {"comment": "by its id", "run": known})["run"] == run
    daemon.patch("/execution/stop", {"run": known})
    daemon.wait_for_end(run)
    assert daemon.get(f"/runs/{known}/summary")["run"]["id"] == known
    assert daemon.get(f"/runs/{run[:-1]}")["id"] == run
    again = daemon.start(users=1)
    daemon.patch("/execution/stop")
    daemon.wait_for_end(again)
    several = daemon.request("GET", "/runs/2")
    assert several.status == 409
    assert "ambiguous" in several.json["detail"]
    assert daemon.request("DELETE", f"/runs/{run[:-1]}").status == 404
    assert daemon.request("DELETE", f"/runs/{known}").status == 204
    assert daemon.request("GET", f"/runs/{known}").status == 404


def test_an_expired_run_is_deleted_on_an_idle_server(tmp_path: Path) -> None:
    old = tmp_path / "amoc-runs/20200101T000000-old"
    old.mkdir(parents=True)
    (old / "journal.jsonl").write_text("{}\n")
    ends = time.time() - DAY_S + 4
    os.utime(old / "journal.jsonl", (ends, ends))
    with serving(tmp_path, "--keep-days", "1") as daemon:
        eventually(lambda: not old.exists(), "the run is deleted")
        assert time.time() > ends + DAY_S
        assert daemon.get("/runs")["runs"] == []


def test_commands_to_parallel_runs_must_name_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--parallel", "2") as daemon:
        one, other = (daemon.start(users=users) for users in (1, 2))
        several = daemon.patch("/execution/add_users", {"users": 1}, status=409)
        assert several["errors"][0]["field"] == "run"
        daemon.patch("/execution/add_users", {"users": 3, "run": other})
        daemon.wait_for_users(other, 5)
        daemon.wait_for_users(one, 1)
        assert len(daemon.get("/status/node0")["runs"]) == 2
        daemon.patch("/execution/start", {"scenario": "stayers"}, status=409)
        for run in (one, other):
            daemon.patch("/execution/stop", {"run": run})
            daemon.wait_for_end(run)


def test_a_run_started_from_a_shell_can_be_controlled(daemon: Daemon) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "amoc", "run", "scenarios/stayers.py", "--workers", "1"],
        cwd=daemon.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AMOC_USER_RATE": "inf"},
        stdout=subprocess.DEVNULL,
    ) as shell:
        runs = eventually(lambda: daemon.get("/status")["runs"], "the run is seen")
        daemon.patch("/execution/add_users", {"users": 2})
        daemon.wait_for_users(runs[0]["run"], 3)
        daemon.patch("/execution/stop")
        assert shell.wait(DEADLINE_S) == 0


@contextmanager
def attached(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Start ``amoc attach``, and wait until it shows the run."""
    with subprocess.Popen(
        [sys.executable, "-m", "amoc", "attach"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        try:
            assert shell.stdout is not None
            line = shell.stdout.readline()
            assert "users: 2 running" in line, line + shell.stdout.read()
            yield shell
        finally:
            shell.kill()


def test_attach_can_be_detached_or_lasts_until_the_run_ends(daemon: Daemon) -> None:
    run = daemon.start(users=2)
    with attached(daemon.directory) as stays, attached(daemon.directory) as leaves:
        leaves.send_signal(signal.SIGINT)
        said, _ = leaves.communicate(timeout=DEADLINE_S)
        assert (leaves.returncode, said) == (0, f"amoc: detached from run {run}, which continues\n")
        assert daemon.status_of(run)["state"] == "running"
        daemon.patch("/execution/stop")
        said, _ = stays.communicate(timeout=DEADLINE_S)
        assert stays.returncode == 0
        assert "verdict stopped" in said
    daemon.wait_for_end(run)


def test_attach_controls_the_run_with_keys(daemon: Daemon) -> None:
    run = daemon.start(users=10)
    program = (sys.executable, "-m", "amoc", "attach")
    with terminal(cwd=daemon.directory, command=program) as it:
        it.wait_for("10 running")
        it.type("+")
        daemon.wait_for_users(run, 11)
        it.type("p")
        daemon.wait_for_state(run, "paused")
        it.type("\x03")
        assert it.end() == 0
        assert it.restored()
    with terminal("--server", daemon.url, cwd=daemon.directory, command=program) as it:
        it.wait_for("paused")
        it.type("p")
        daemon.wait_for_state(run, "running")
        it.type("-")
        daemon.wait_for_users(run, 10)
        it.type("q")
        it.wait_for("verdict stopped")
        assert it.end() == 0
    daemon.wait_for_end(run)


def descriptors(daemon: Daemon) -> int:
    """Return how many descriptors the daemon has open once no run is left."""
    eventually(lambda: len(daemon.tree()) == 1, "the run's processes have ended")
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def test_runs_leak_no_descriptors_and_are_deleted_by_hand_count_and_age(tmp_path: Path) -> None:
    runs = tmp_path / "amoc-runs"
    with serving(tmp_path) as daemon:
        made, opened = [], []
        for _ in range(4):
            made.append(daemon.start(users=1))
            refused = daemon.request("DELETE", f"/runs/{made[-1]}")
            assert refused.status == 409
            daemon.patch("/execution/stop")
            daemon.wait_for_end(made[-1])
            opened.append(descriptors(daemon))
            # The daemon may take a moment to close its end of our connection.
            eventually(lambda: descriptors(daemon) <= opened[0], "nothing more is open")
        assert daemon.request("DELETE", f"/runs/{made[0]}").status == 204
        assert daemon.request("DELETE", f"/runs/{made[0]}").status == 404
    old = time.time() - 3 * DAY_S
    os.utime(runs / made[1] / "journal.jsonl", (old, old))

    def are_left(names: list[str]) -> bool:
        return sorted(one.name for one in runs.glob("[!.]*")) == names

    with serving(tmp_path, "--keep-days", "2"):
        eventually(lambda: are_left(made[2:]), "the old one is deleted")
    with serving(tmp_path, "--keep", "1"):
        eventually(lambda: are_left(made[3:]), "all but one are deleted")


def test_a_run_that_fails_after_its_request_was_answered_keeps_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_queue, "BEGIN_S", 0.1)
    scenario, go_on = tmp_path / "late.py", tmp_path / "go_on"
    scenario.write_text(
        f"import os, time\n\n\ndef init():\n    while not os.path.exists({str(go_on)!r}):\n"
        "        time.sleep(0.05)\n    raise ValueError('not today')\n\n\ndef start(user_id): ...\n"
    )
    queue = run_queue.RunQueue(tmp_path / "runs", 1, lambda _: scenario)
    try:
        job = queue.start(StartBody(scenario="late", workers=1), "late")
        assert job.state == "starting"
        go_on.touch()
        with gevent.Timeout(DEADLINE_S):
            while job.state != "failed":
                gevent.sleep(0.02)
        assert "not today" in job.error
    finally:
        queue.close()
