"""Locustfiles in real processes: which listeners are called where, and how users and runs end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support import DEADLINE_S, ROOT, eventually, lines, running

pytestmark = pytest.mark.slow

LISTENERS = """
    import os
    from locust import User, constant, events, task
    from locust.exception import StopUser
    from locust.runners import MasterRunner, WorkerRunner

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    prepared = []

    def note(what, environment):
        kind = type(environment.runner).__name__
        os.write(log, f"{kind} {what} {len(prepared)}\\n".encode())

    @events.init.add_listener
    def begin(environment, **_):
        note("init", environment)

        @environment.events.test_stop.add_listener
        def once(environment, **_):
            os.write(log, b"once\\n")

    @events.test_start.add_listener
    def prepare(environment, **_):
        if not isinstance(environment.runner, WorkerRunner):
            prepared.append(1)
        note("test_start", environment)
        raise KeyError("listeners may be wrong")

    @events.test_stop.add_listener
    def end(environment, **_):
        is_worker = isinstance(environment.runner, WorkerRunner)
        found = "all" if is_worker else environment.stats.total.num_requests
        note(f"test_stop after {found}", environment)

    @events.quitting.add_listener
    def leave(environment, **_):
        if environment.stats.total.fail_ratio > 0.2 and isinstance(environment.runner, WHO):
            environment.process_exit_code = 3

    @events.spawning_complete.add_listener
    def there(user_count, **_):
        os.write(log, f"there {user_count}\\n".encode())

    class Visitor(User):
        wait_time = constant(0.001)
        turns = 0

        @task
        def look(self):
            self.turns += 1
            if self.turns > 4:
                raise StopUser
            error = ValueError("odd") if self.turns % 2 else None
            self.environment.events.request.fire(
                request_type="try", name="it", response_time=1, response_length=0, exception=error
            )
            if self.turns == 2:
                raise ZeroDivisionError("in a task")

        def on_stop(self):
            os.write(log, b"on_stop\\n")
"""


def test_with_several_workers_listeners_see_a_master_and_workers(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(LISTENERS.replace("WHO", "MasterRunner"))
    options = ("--users", "6", "--workers", "2", "--spawn-rate", "1000")
    with running(str(file), *options, directory=tmp_path) as run:
        assert run.end() == 9
        summary = run.summary()
    noted = lines(tmp_path / "log")
    assert noted[:2] == ["MasterRunner init 0", "MasterRunner test_start 1"]
    assert noted[-2:] == ["MasterRunner test_stop after 24 1", "once"]
    assert noted.count("once") == 3  # listeners added in the master do not exist in the workers
    assert sorted(one for one in noted if "Worker" in one) == [
        *["WorkerRunner init 1"] * 2,
        *["WorkerRunner test_start 1"] * 2,
        *["WorkerRunner test_stop after all 1"] * 2,
    ]
    assert noted.count("there 3") == 2
    assert noted.count("on_stop") == 6
    assert "a listener of events.quitting has set process_exit_code to 3" in run.output
    assert "prepare, a listener of a Locust event, raised KeyError" in run.output
    step = summary["steps"]["try it"]
    assert (step["count"], step["failures"]) == (24, 12)
    assert [(one["cause"], one["message"]) for one in step["causes"]] == [("ValueError", "odd")]
    assert summary["users"]["finished"] == 6  # an exception in a task does not end its user
    assert sum(one["count"] for one in summary["crashes"]) == 6


def test_with_one_worker_all_listeners_are_called_there(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = scenario(LISTENERS.replace("WHO", "object"))
    with running(str(file), "--users", "2", "--workers", "1", directory=tmp_path) as run:
        assert run.end() == 9
    noted = lines(tmp_path / "log")
    assert noted[:2] == ["LocalRunner init 0", "LocalRunner test_start 1"]
    assert noted[-2:] == ["LocalRunner test_stop after 8 1", "once"]
    assert "there 2" in noted


WATCH = """
    import time
    import gevent
    from locust import HttpUser, constant_throughput, events, task
    from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING, WorkerRunner

    def watch(environment):
        while environment.runner.state not in (STATE_STOPPING, STATE_STOPPED, STATE_CLEANUP):
            time.sleep(0.05)
            if environment.stats.total.fail_ratio > 0.5 and environment.runner.user_count:
                environment.runner.quit()
                return

    @events.init.add_listener
    def begin(environment, **_):
        if not isinstance(environment.runner, WorkerRunner):
            gevent.spawn(watch, environment)

    class Visitor(HttpUser):
        host = "http://127.0.0.1:9"
        wait_time = constant_throughput(20)

        @task
        def look(self):
            self.client.get("/")
"""


def test_a_greenlet_that_watches_the_statistics_can_end_the_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    options = ("--users", "4", "--workers", "2", "--failures-ok")
    with running(str(scenario(WATCH)), *options, directory=tmp_path) as run:
        assert run.end() == 0
        summary = run.summary()
    assert "the locustfile has called environment.runner.quit()" in run.output
    assert summary["steps"]["GET /"]["causes"][0]["cause"] == "ConnectionRefusedError"
    assert summary["users"]["finished"] == summary["users"]["started"] > 0


WRONG = """
    from locust import HttpUser, task

    class Visitor(HttpUser):
        host = "http://127.0.0.1:9"

        @task
        def look(self):
            self.client.mount("https://", None)
"""


def test_an_unsupported_feature_crashes_the_user_and_is_named(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(str(scenario(WRONG)), directory=tmp_path) as run:
        run.end()
        summary = run.summary()
    assert "client.mount is a feature of Locust that amoc does not support" in run.output
    assert summary["users"]["crashed"] == 1


SHAPE = """
    import os
    from locust import LoadTestShape, User, constant, task

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Visitor(User):
        wait_time = constant(0.05)

        def on_start(self):
            os.write(log, b"begin\\n")

        @task
        def look(self):
            pass

    class FourUsers(LoadTestShape):
        def tick(self):
            os.write(log, b"tick\\n")
            return None if os.path.exists(HERE + "/enough") else (4, 100)
"""


def test_a_load_shape_continues_when_its_worker_is_lost(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(str(scenario(SHAPE)), "--workers", "2", directory=tmp_path) as run:
        eventually(lambda: lines(log).count("begin") == 4, "4 users")
        (first,) = run.find("worker 0")
        run.kill(first)
        eventually(lambda: lines(log).count("begin") == 6, "2 users again")
        ticks = lines(log).count("tick")
        eventually(lambda: lines(log).count("tick") >= ticks + 3, "3 more ticks")
        (tmp_path / "enough").touch()
        assert run.end() == 0
    assert lines(log).count("begin") == 6
    users = run.summary()["users"]
    assert (users["restarted"], users["started"]) == (2, 4)


def test_check_runs_one_user_and_the_listeners(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "amoc", "check", "--run"),
            str(scenario(LISTENERS.replace("WHO", "MasterRunner"))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 4  # for the exception in a task
    assert "ZeroDivisionError: in a task" in done.stdout + done.stderr
    assert "try it.count: 4" in done.stdout
    noted = lines(tmp_path / "log")
    assert noted[:2] == ["LocalRunner init 0", "LocalRunner test_start 1"]
    assert noted[-2:] == ["LocalRunner test_stop after 4 1", "once"]


KINDS = """
    from locust import User, constant, task
    from locust.exception import StopUser

    class Few(User):
        fixed_count = 1
        turns = 0
        wait_time = constant(0)

        @task
        def look(self):
            self.turns += 1
            if self.turns > 3:
                raise StopUser
            self.environment.events.request.fire(
                request_type="look", name=type(self).__name__, response_time=1, response_length=0
            )

    class Many(Few):
        fixed_count = 0
"""
BESIDE = """
    from amoc import override, step

    override("repeat_num", 5)
    override("repeat_interval", 1)

    def start(user_id):
        with step("beside"):
            pass
"""


def test_a_locustfile_runs_together_with_another_scenario(
    scenario: Callable[..., Path], tmp_path: Path
) -> None:
    file, beside = scenario(KINDS), scenario(BESIDE, "beside.py")
    options = (f"{beside}=3", "--workers", "2", "--spawn-rate", "1000")
    with running(f"{file}=4", *options, directory=tmp_path) as run:
        assert run.end() == 0
    summary = run.summary()
    counts = {name: one["count"] for name, one in summary["steps"].items()}
    assert counts == {"look Few": 3, "look Many": 9, "beside": 15, "Aggregated": 27}
    counters = summary["counters"]
    assert (counters["kind.Few.users"], counters["kind.Many.users"]) == (1, 3)
    assert summary["users"]["finished"] == 7


MANY_NAMES = """
    from locust import User, task
    from locust.exception import StopUser

    class Visitor(User):
        @task
        def look(self):
            for n in range(1100):
                self.environment.events.request.fire(
                    request_type="GET", name=f"/{n}", response_time=1, response_length=0
                )
            raise StopUser
"""


def test_requests_with_more_names_than_a_worker_records_are_noted_once_per_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    options = ("--users", "2", "--workers", "2", "--spawn-rate", "1000")
    with running(str(scenario(MANY_NAMES)), *options, directory=tmp_path) as run:
        assert run.end() == 0
        summary = run.summary()
    assert summary["steps"]["other"]["count"] == summary["counters"]["http.names_beyond"] == 200
    [note] = (one for one in summary["run"]["notes"] if "other" in one)
    assert note.startswith("200 requests counted as 'other', because a worker records at most")
    assert run.output.count("further requests count as 'other', because a worker records") == 1
    report = (run.directory / "report.html").read_text()
    assert "200 requests counted as" in report
