"""A scenario ends its run and numbers its iterations, in whichever worker its users are."""

from __future__ import annotations

import json

import pytest

from amoc.results.run_directory import RunDirectory
from tests.process.support import eventually, lines, running

pytestmark = pytest.mark.slow


def stops(run):
    """Return the stop commands in the journal of a run."""
    entries = map(json.loads, RunDirectory(run.directory).journal.read_text().splitlines())
    return [
        (one["source"], one["comment"])
        for one in entries
        if one["kind"] == "command" and one["name"] == "stop"
    ]


def test_users_end_the_run_with_a_reason_and_only_the_first_counts(scenario, tmp_path):
    file = scenario("""
        from amoc import coordinator, sleep, stop_run, user

        def start(user_id):
            coordinator.barrier("all", 4)
            stop_run("the basket is full")
            sleep(3600)
    """)
    at_once = ("--set", "interarrival=0", "--set", "workers=2")
    with running(file, "--users", "4", *at_once, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        assert "the scenario ends the run: the basket is full" in run.output
        summary = run.summary()
        assert stops(run) == [("scenario", "the basket is full")]
    assert summary["run"]["verdict"] == "stopped"
    assert "the scenario ended the run: the basket is full" in summary["run"]["reasons"]
    assert summary["users"]["finished"] == 4


def test_init_can_end_the_run_before_any_user_starts(scenario, tmp_path):
    file = scenario("""
        from amoc import stop_run

        def init():
            stop_run("there is nothing to do")

        def start(user_id):
            raise AssertionError
    """)
    with running(file, "--users", "3", directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
        assert stops(run) == [("scenario", "there is nothing to do")]
    assert (summary["run"]["verdict"], summary["users"]["started"]) == ("stopped", 0)
    assert summary["users"]["not_started"] == 3


def test_iteration_numbers_are_unique_although_a_worker_is_killed(scenario, tmp_path):
    file = scenario("""
        import os
        from amoc import run, user

        def init():
            return os.open(HERE + "/numbers", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def start(user_id, fd):
            os.write(fd, b"%d\\n" % run.iteration)
    """)
    numbers = tmp_path / "numbers"
    often = ("--set", "interarrival=0", "--set", "repeat_interval=5ms", "--set", "workers=2")
    with running(file, "--users", "10", "--duration", "1h", *often, directory=tmp_path) as run:
        eventually(lambda: len(lines(numbers)) > 200, "users run")
        victim = run.find("worker 0")[0]
        run.kill(victim)
        eventually(lambda: run.find("worker 0") not in ([], [victim]), "the worker is replaced")
        enough = len(lines(numbers)) + 1_000
        eventually(lambda: len(lines(numbers)) > enough, "users go on")
    taken = lines(numbers)
    assert len(set(taken)) == len(taken)
