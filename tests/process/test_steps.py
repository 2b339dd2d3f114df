"""Steps while workers are killed: none is lost, none counts twice."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from amoc.results.run_directory import RunDirectory
from amoc.results.saved_run import load
from tests.process.support import eventually, lines, running

pytestmark = pytest.mark.slow

# Each execution is logged, unbuffered, before it ends.
STEPS = """
    import os
    from amoc import check, sleep, step, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        os.write(log, f"start {user_id}\\n".encode())
        while not user.stopping:
            for n in range(10):
                with step("GET /item/[id]", expected=TimeoutError) as this:
                    what = "good"
                    if n == 1:
                        what = "refused"
                        this.fail("refused", f"card {user_id}")
                    elif n == 2:
                        what = "wrong"
                        check("total is right", False, "3 and 4")
                    elif n == 3:
                        what = "late"
                    os.write(log, f"{what}\\n".encode())
                    if n == 3:
                        raise TimeoutError("20 s")
                sleep(0.001)
"""
CAUSES = {"refused": "refused", "wrong": "check total is right", "late": "TimeoutError"}
KILLS = 3


def executed(log: Path, steps: int, starts: int) -> None:
    """Wait until `steps` steps have been executed after exactly `starts` starts of users."""

    def enough() -> bool:
        found = lines(log) if log.exists() else []
        started = sum(line.startswith("start") for line in found)
        return started == starts and len(found) - started >= steps

    eventually(enough, f"{steps} steps after {starts} starts")


def test_failures_by_cause_are_exact_although_workers_are_killed(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    options = ("--users", "8", "--set", "user_rate=infinity", "--workers", "2", "--duration", "1h")
    with running(scenario(STEPS), *options, directory=tmp_path) as run:
        for kill in range(1, KILLS + 1):
            victim = run.wait_for(f"worker {kill % 2} ")[0]
            executed(log, 400 * kill, starts=8 + 4 * (kill - 1))
            run.kill(victim)
        executed(log, 400 * (KILLS + 1), starts=8 + 4 * KILLS)
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0
        summary = run.summary()
    logged = Counter(line for line in lines(log) if not line.startswith("start"))
    found = summary["steps"]["GET /item/[id]"]
    # At each kill, at most one step may be logged but not yet counted.
    assert 0 <= logged.total() - found["count"] <= KILLS
    causes = {one["cause"]: one for one in found["causes"]}
    assert causes.keys() == set(CAUSES.values())
    for what, cause in CAUSES.items():
        assert 0 <= logged[what] - causes[cause]["count"] <= KILLS
    assert sum(one["count"] for one in causes.values()) == found["failures"]
    assert found["count"] - found["failures"] == summary["timers"]["GET /item/[id]"]["count"]
    assert summary["checks"]["total is right"]["failed"] - causes["check total is right"][
        "count"
    ] in range(KILLS + 1)
    whole = summary["steps"]["Aggregated"]
    assert (found["count"] - whole["count"]) in range(KILLS + 1)
    assert causes["TimeoutError"]["message"] == "20 s"
    assert causes["refused"]["message"].startswith("card ")
    assert 0 < causes["refused"]["user_id"] <= 8
    assert 0 <= causes["refused"]["first_s"] < causes["refused"]["last_s"]
    # The summary rebuilt from the run directory is identical to the last digit.
    directory = RunDirectory(run.directory)
    directory.summary.unlink()
    rebuilt = json.loads(json.dumps(load(directory, lambda _: None).summary))
    assert rebuilt["steps"] == summary["steps"]
    assert rebuilt["checks"] == summary["checks"]
    for field in ("started_at", "ended_at", "duration_s", "active_s"):
        assert rebuilt["run"][field] == summary["run"][field]


def test_causes_beyond_the_limit_count_as_other_and_are_reported_once(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        from amoc import step

        def start(user_id):
            for n in range(100):
                with step("pay") as this:
                    this.fail(f"order {n}")
    """
    options = ("--users", "2", "--set", "repeat_num=1", "--workers", "1", "--failures-ok")
    with running(scenario(text), *options, directory=tmp_path) as run:
        assert run.end() == 0
        summary, printed = run.summary(), run.output
    causes = {one["cause"]: one["count"] for one in summary["steps"]["pay"]["causes"]}
    assert summary["steps"]["pay"]["failures"] == sum(causes.values()) == 200
    assert causes.pop("other") == 160
    assert causes == {f"order {n}": 2 for n in range(20)}
    assert printed.count("the others count as 'other'") == 1


def test_first_and_last_failure_are_reported_at_their_times(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        from time import monotonic
        from amoc import sleep, step

        log = open(HERE + "/log", "a", buffering=1)

        def start(user_id):
            sleep(0.1 + 0.3 * user_id)
            for _ in range(2):
                with step("pay") as this:
                    before = monotonic()
                    this.fail("refused")
                log.write(f"{before} {monotonic()}\\n")
                sleep(1.3)
    """
    options = ("--users", "2", "--set", "repeat_num=1", "--workers", "2", "--failures-ok")
    with running(scenario(text), *options, directory=tmp_path) as run:
        assert run.end() == 0
        summary = run.summary()
    moments = sorted(tuple(map(float, line.split())) for line in lines(tmp_path / "log"))
    (cause,) = summary["steps"]["pay"]["causes"]
    assert cause["count"] == len(moments) == 4
    apart_s = cause["last_s"] - cause["first_s"]
    (first, first_over), (last, last_over) = moments[0], moments[-1]
    assert last - first_over - 0.002 <= apart_s <= last_over - first + 0.002
    directory = RunDirectory(run.directory)
    directory.summary.unlink()
    assert load(directory, lambda _: None).summary["steps"]["pay"]["causes"] == [cause]


def test_servers_that_users_connect_to_are_targets(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    text = """
        from amoc import http, setting

        shop = setting("http://127.0.0.1:8080/shop", "Base address of the shop")

        def start(user_id):
            with http.session(shop.get()) as own:
                own.get("/")
            with http.session("http://127.0.0.1:1", raises=False) as other:
                other.get("/")
            with http.session(raises=False) as any_server:
                any_server.get(shop.get().replace("127.0.0.1", "localhost"))
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_port
        own = f"http://127.0.0.1:{port}/"
        options = (
            "--users",
            "4",
            "--set",
            "repeat_num=1",
            "--workers",
            "2",
            "--set",
            f"shop={own}",
        )
        with running(scenario(text), *options, directory=tmp_path) as run:
            ended = run.end()
            summary = run.summary()
        server.shutdown()
    assert ended == 0, run.output
    seen = ["http://127.0.0.1:1", f"http://localhost:{port}"]
    assert summary["run"]["targets"] == [own, *seen]
    directory = RunDirectory(run.directory)
    directory.summary.unlink()
    assert load(directory, lambda _: None).summary["run"]["targets"] == [own, *seen]
