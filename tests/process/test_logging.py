"""Logs of real runs: one file per process, and equal messages of 1,000 users are grouped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.process.support import Run, eventually, lines, running

pytestmark = pytest.mark.slow

AT_ONCE = ("--set", "user_rate=infinity", "--set", "repeat_num=1", "--workers", "2")


def log(run: Run, process: str) -> list[dict[str, Any]]:
    """Return the entries of a process's log."""
    return [json.loads(line) for line in lines(run.directory / "logs" / f"{process}.jsonl")]


def test_each_process_writes_its_log_with_the_messages_and_ids_of_users(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    talks = scenario("""
        import logging
        from amoc import setting, throttle

        logging.basicConfig(level=logging.DEBUG)
        log = logging.getLogger("talks")
        api_token = setting("", "What must not be seen", type=str)
        log.info("imported")

        def init():
            log.info("init with %s users", "few")
            throttle.start("logins", 6000)

        def start(user_id):
            throttle.wait("logins")
            log.info("logged in", extra={"room": user_id * 10})
            log.debug("in %s", "detail")
    """)
    secret = "6b1f-never-to-be-seen"
    arguments = ("--users", "4", *AT_ONCE, "--set", f"api_token={secret}", "--log-level", "debug")
    with running(talks, *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
    logs = {path.stem: path.read_text() for path in (run.directory / "logs").iterdir()}
    assert logs.keys() == {"controller", "node0", "supervisor", "worker-0", "worker-1"}
    assert not [name for name, text in logs.items() if secret in text]
    said = [one["message"] for one in log(run, "supervisor") if one["logger"] == "talks"]
    assert said == ["imported", "init with few users"]  # once, whatever basicConfig() does
    of_users = [one for worker in range(2) for one in log(run, f"worker-{worker}")]
    logged_in = [one for one in of_users if one["message"] == "logged in"]
    assert {one["user"]: (one["extra"]["room"], one["worker"]) for one in logged_in} == {
        user_id: (user_id * 10, (user_id - 1) % 2) for user_id in range(1, 5)
    }
    assert {one["level"] for one in of_users if one["message"] == "in detail"} == {"debug"}
    started = [one["message"] for one in log(run, "controller")]
    assert "throttle logins is started with 6000 per 60 s" in started
    assert started[-1] == "the run is finished"


def test_equal_failures_of_a_thousand_users_are_grouped_with_a_count(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    fails = scenario("""
        import logging
        log = logging.getLogger("fails")

        def start(user_id):
            try:
                raise ConnectionError(f"user {user_id} is refused")
            except ConnectionError:
                log.exception("user %d gives up", user_id)
                raise
    """)
    everything = ("--users", "1000", *AT_ONCE, "--failures-ok")
    with running(fails, *everything, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        assert run.summary()["users"]["crashed"] == 1000
    told = Counter()
    for worker in range(2):
        grave = [one for one in log(run, f"worker-{worker}") if one["level"] == "error"]
        for logger in ("fails", "amoc.runtime.worker.crashes"):
            first, *rest = [one for one in grave if one["logger"] == logger]
            assert first["user"] in range(1, 1001)
            assert "count" not in first
            assert "is refused" in first["traceback"]
            # At most one line for each period of a second or more.
            assert len(rest) <= 5
            assert 1 + sum(one["count"] for one in rest) == 500
            told[logger] += 1 + sum(one["count"] for one in rest)
    assert told == {"fails": 1000, "amoc.runtime.worker.crashes": 1000}
    # The operator is shown each worker's first, and how many more there were.
    assert 2 <= run.output.count(" gives up (fails, user ") <= 4
    assert " more)" in run.output


def test_a_replacement_continues_the_log_of_its_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    waits = scenario("""
        import logging
        from amoc import user

        def start(user_id):
            logging.getLogger("waits").info("here")
            user.wait_stopping()
    """)
    with running(waits, "--users", "2", *AT_ONCE, directory=tmp_path) as run:

        def here() -> list[tuple[int, int]]:
            said = [one for one in log(run, "worker-0") if one["message"] == "here"]
            return [(one["incarnation"], one["user"]) for one in said]

        eventually(lambda: here() == [(1, 1)], "the first worker's user is there")
        run.kill(run.find("worker 0")[0])
        eventually(lambda: here() == [(1, 1), (2, 1)], "the second worker's user is there")
        run.kill(run.pid, 2)
        assert run.end() == 0, run.output
    lost = [one for one in log(run, "supervisor") if "SIGKILL" in one["message"]]
    assert [(one["worker"], one["incarnation"]) for one in lost] == [(0, 1)]


def test_log_level_warning_writes_only_warnings(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    talks = scenario("""
        import logging

        def start(user_id):
            logging.getLogger("talks").info("not this")
            logging.getLogger("talks").warning("but this")
    """)
    arguments = ("--users", "2", *AT_ONCE, "--log-level", "warning")
    with running(talks, *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
    for worker in range(2):
        assert [one["message"] for one in log(run, f"worker-{worker}")] == ["but this"]
    assert not log(run, "supervisor")
    assert run.output.count("but this (talks, user ") == 2


def test_a_user_that_reconfigures_logging_does_not_silence_its_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    configures = scenario("""
        import logging
        import logging.config

        from amoc import user

        QUIET = {"version": 1, "root": {"level": "ERROR", "handlers": []}}

        def start(user_id):
            if user_id == 1:
                logging.basicConfig(level=logging.ERROR, force=True)
            else:
                logging.config.dictConfig(QUIET)
            while not user.wait_stopping(0.05):
                logging.getLogger("after").info("still here")
    """)
    with running(configures, "--users", "2", *AT_ONCE, directory=tmp_path) as run:
        for worker in range(2):
            eventually(
                lambda worker=worker: any(
                    one["message"] == "still here" for one in log(run, f"worker-{worker}")
                ),
                f"worker {worker} goes on with its log",
            )
        run.kill(run.pid, 2)
        assert run.end() == 0, run.output
