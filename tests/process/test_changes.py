"""Guarantees of commands, with real workers, also when one is killed during a command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from tests.process.support import ROOT, eventually, lines
from tests.process.test_control import controlled

pytestmark = pytest.mark.slow

FAST = ("--set", "user_rate=inf", "--workers", "2", "--duration", "1h")

# Each user logs, unbuffered, the values that it sees; so does each call of the update function.
WATCHERS = """
    import os
    from amoc import setting, sleep, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    refused = set()

    def write(line):
        os.write(log, (line + "\\n").encode())

    def check(number):
        return not refused

    def changed(old, new):
        write(f"update {os.getpid()} {old} {new}")

    level = setting(1, "What users look at", verify=check, update=changed)

    def start(user_id):
        write(f"start {user_id} {os.getpid()}")
        seen = None
        while not user.stopping:
            if level.get() != seen:
                seen = level.get()
                write(f"see {user_id} {seen}")
            if os.path.exists(HERE + f"/refuse{user_id}"):
                refused.add(user_id)
                write(f"refuses {user_id}")
                os.unlink(HERE + f"/refuse{user_id}")
            sleep(0.01)
"""


def test_a_change_reaches_all_workers_once_and_survives_a_killed_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with controlled(scenario(WATCHERS), "--users", "6", *FAST, directory=tmp_path) as one:
        workers = one.run.wait_for("worker", 2)
        one.wait_for_users(6)
        one.say("set", "level=2")
        updates = [line for line in lines(log) if line.startswith("update")]
        assert sorted(updates) == sorted(f"update {pid} 1 2" for pid in workers)
        eventually(
            lambda: {f"see {n} 2" for n in range(1, 7)} <= set(lines(log)), "all users see it"
        )
        before = len(lines(log))
        one.run.kill(workers[0])
        eventually(
            lambda: sum(line.startswith("start") for line in lines(log)) == 9,
            f"the users of the killed worker start again: {one.run.output}",
        )
        eventually(
            lambda: sum(line.startswith("see") for line in lines(log)[before:]) >= 3,
            "they look at the level",
        )
        # The new worker was forked with the changed value: nobody has seen the old one again.
        assert not [line for line in lines(log)[before:] if re.match(r"see \d+ 1$", line)]
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == 0


def test_a_change_refused_by_one_worker_is_applied_nowhere(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with controlled(scenario(WATCHERS), "--users", "4", *FAST, directory=tmp_path) as one:
        one.wait_for_users(4)
        (tmp_path / "refuse2").touch()  # of the second worker only
        eventually(lambda: "refuses 2" in lines(log), "user 2 makes its worker refuse")
        answer = one.say("set", "level=2", code=int(ExitCode.SETTING))
        assert "level must pass its check" in answer
        one.say("note", "after the refusal")
        looked = len(lines(log))
        assert not [line for line in lines(log)[:looked] if line.startswith(("update", "see 1 2"))]
        commands = [(c["name"], c["outcome"]) for c in one.journal("command")]
        assert commands == [("set", "refused"), ("note", "ok")]


PACED = """
    import os, time
    from amoc import sleep, throttle, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def init():
        throttle.start("beat", 6000)

    def start(user_id):
        while True:
            throttle.wait("beat")
            os.write(log, f"beat {time.monotonic_ns()} {user_id}\\n".encode())
"""


def test_nothing_passes_a_throttle_during_a_pause_even_in_a_replaced_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with controlled(scenario(PACED), "--users", "10", *FAST, directory=tmp_path) as one:
        workers = one.run.wait_for("worker", 2)
        eventually(lambda: len(lines(log)) > 50, "it beats")
        asked_s = time.monotonic()
        answer = one.ask("pause")
        paused_s = time.monotonic()
        assert all(worker["text"].startswith("5 users") for worker in answer["workers"])
        assert one.ask("status")["state"] == "paused"
        silent = len(lines(log))
        one.run.kill(workers[0])
        one.run.wait_for_output("worker 0 was replaced")
        assert one.ask("users")["alive"] <= 10  # a command that both workers have answered
        assert len(lines(log)) == silent
        least_s = time.monotonic() - paused_s
        one.say("resume")
        most_s = time.monotonic() - asked_s
        eventually(
            lambda: (
                {line.split()[2] for line in lines(log)[silent:]} == set(map(str, range(1, 11)))
            ),
            f"all users beat again: {one.run.output}",
        )
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == 0
    times = [int(line.split()[1]) for line in lines(log)]
    # 100 a second: any second has at most 101, apart from those that caught up.
    for first, last in pairwise(sorted(times)[::101]):
        assert last - first > 850_000_000
    summary = one.run.summary()
    assert least_s - 0.001 <= summary["run"]["paused_s"]
    assert summary["run"]["paused_s"] <= most_s + 0.001
    assert summary["users"]["finished"] == 10, (
        "users waiting in the throttle's queue left from there"
    )
    assert summary["users"]["removed"] == 0


def test_removal_by_force_kills_users_and_reports_stuck_ones(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    stubborn = scenario("""
        import gevent
        from amoc import sleep

        def start(user_id):
            while user_id == 6:
                try:
                    sleep(1000)
                except gevent.GreenletExit:
                    pass
            sleep(1000)
    """)
    with controlled(
        stubborn, "--users", "6", *FAST, "--stop-timeout", "1s", directory=tmp_path
    ) as one:
        one.wait_for_users(6)
        answer = one.ask("remove", "2", "--force")
        assert answer["killed"] == 2
        assert answer["stuck"] == [6]
        assert "stuck after 2 s: 6" in answer["summary"]
        one.wait_for_users(5)  # a stuck user still counts
        assert one.ask("users")["alive"] == 5
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == int(ExitCode.STUCK)


def test_a_command_is_answered_though_a_worker_is_killed_during_it(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with controlled(scenario(WATCHERS), "--users", "20", *FAST, directory=tmp_path) as one:
        one.wait_for_users(20)
        victim = one.run.wait_for("worker", 2)[1]
        os.kill(victim, signal.SIGSTOP)  # it receives nothing until it is killed
        call = [sys.executable, "-m", "amoc", "remove", "4", "--run", str(one.directory), "--json"]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, cwd=ROOT) as asking:
            eventually(lambda: len(one.run.find("worker")) == 2, "both exist")
            one.run.kill(victim)
            output, _ = asking.communicate(timeout=120)
        assert asking.returncode == 0
        assert "lost before it had answered" in output or '"asked": 4' in output
        one.run.wait_for_output("worker 1 was replaced")
        assert one.ask("add", "3")["last_id"] == 23
        one.wait_until_none_is_pending()
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == 0


LONG = """
    import os
    from amoc import user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        os.write(log, f"start {user_id}\\n".encode())
        user.wait_stopping() if os.path.exists(HERE + "/finish") else __import__("time").sleep(1000)
"""


def test_users_removed_one_by_one_do_not_restart_after_a_killed_worker(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with controlled(
        scenario(LONG), "--users", "8", *FAST, "--stop-timeout", "1s", directory=tmp_path
    ) as one:
        one.wait_for_users(8)
        answers = [one.ask("remove", "1") for _ in range(6)]
        assert [answer["asked"] for answer in answers] == [1] * 6
        assert one.ask("users")["alive"] == 8, "their iterations are long"
        # 3 of the 4 users of each worker were asked to leave; those do not start again.
        one.run.kill(one.run.wait_for("worker", 2)[1])
        eventually(lambda: len(lines(log)) == 9, f"one user starts again: {one.run.output}")
        assert one.ask("remove", "5")["asked"] == 2
        assert one.ask("remove", "5")["asked"] == 0
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == 0
    assert len(lines(log)) == 9
    assert one.run.summary()["users"]["removed"] == 8


def test_users_removed_before_they_start_do_not_keep_the_run_going(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with controlled(
        scenario(WATCHERS),
        *("--users", "30", "--workers", "2", "--set", "user_rate=60", "--set", "repeat_num=1"),
        directory=tmp_path,
    ) as one:
        # At least one: on a slow host, the next may start before the query.
        eventually(lambda: one.run.look("status")["users"]["running"] >= 1, "a user runs")
        answer = one.ask("remove", "30")
        assert answer["asked"] + answer["withdrawn"] == 30
        # No users run and none will start, so the run ends, long before 30 s.
        assert one.run.end() == 0
        assert one.run.summary()["users"]["started"] == answer["asked"]


def test_a_run_can_be_stopped_during_ramp_down_while_a_worker_hangs(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with controlled(
        scenario(WATCHERS),
        *("--stages", "0s:50, 10s:45, 10m:0", "--workers", "2", "--stop-timeout", "1s"),
        directory=tmp_path,
    ) as one:
        eventually(lambda: one.run.look("status")["users"]["removed"], "users leave by stages")
        os.kill(one.run.wait_for("worker", 2)[0], signal.SIGSTOP)
        one.say("stop")
        assert one.run.end() == int(ExitCode.STUCK)
        assert "worker 0 did not stop in time and is killed" in one.run.output


def test_ramp_down_also_removes_users_of_replaced_workers(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with controlled(
        scenario(WATCHERS),
        *("--stages", "0s:40, 10s:40, 3s:4, 1h:4", "--workers", "2"),
        directory=tmp_path,
    ) as one:
        one.wait_for_users(40)
        for number in (0, 1):
            one.run.kill(one.run.wait_for(f"worker {number} ")[0])
            one.run.wait_for_output(f"worker {number} was replaced")
        one.wait_for_users(4)
        assert one.ask("users")["alive"] == 4
        one.say("stop")
        assert one.run.end() == 0
        users = one.run.summary()["users"]
        assert users["finished"] == 4
        assert users["started"] == 40
        assert users["removed"] == 36


def test_restarted_and_added_users_start_no_faster_than_the_ramp_up(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    writers = scenario("""
        import os
        import time
        from amoc import user

        log = os.open(HERE + "/begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def start(user_id):
            os.write(log, f"{time.monotonic()}\\n".encode())
            user.wait_stopping()
    """)
    with controlled(
        writers, "--stages", "2s:40, 1h:40", "--workers", "2", directory=tmp_path
    ) as one:
        one.wait_for_users(40)
        for act in (
            lambda: one.run.kill(one.run.wait_for("worker", 2)[0]),
            lambda: one.say("add", "20"),
        ):
            before = len(lines(begun))
            act()
            eventually(lambda before=before: len(lines(begun)) == before + 20, "20 users start")
            times = [float(line) for line in lines(begun)[before:]]
            # At 20 a second; a tenth of a second's starts may come at once.
            assert times[-1] - times[0] >= 0.8


def test_ramp_down_removes_only_running_users_above_its_target(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    half = scenario("""
        from amoc import user

        def start(user_id):
            if user_id > 10:
                user.wait_stopping()
    """)
    with controlled(
        half,
        *("--stages", "0s:20, 2s:20, 1s:10, 4s:10, 1s:6, 1h:6"),
        *("--workers", "2", "--set", "repeat_num=1"),
        directory=tmp_path,
    ) as one:
        one.wait_for_users(6)
        eventually(lambda: one.run.look("status")["elapsed_s"] > 9, "the last ramp-down has ended")
        users = one.ask("status")["users"]
        assert (users["running"], users["removed"]) == (6, 4)
        one.say("stop")
        assert one.run.end() == 0
    points = StoredSeries(RunDirectory(one.run.directory).series)
    plateau = {point.users["running"] for point in points if 3.5 < point.t_s < 7}
    assert plateau == {10}, "a plateau of 10 has 10"


def test_a_worker_that_reads_no_commands_is_replaced(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    flood = scenario("""
        from amoc import throttle

        def init():
            throttle.start("a", 60)

        def start(user_id):
            rate = 60
            while user_id == 1:  # in the first worker; each change is sent to all workers
                rate += 1
                throttle.change_rate("a", rate % 1000 + 60, wait=False)
            throttle.wait("a")
    """)
    limit = 2_000  # instead of 20,000, which would take as many commands through the controller
    with controlled(
        flood,
        *("--users", "4", *FAST, "--stop-timeout", "1s"),
        directory=tmp_path,
        before=f"from amoc.ipc.bus import parent; parent.MAX_UNACKED = {limit}",
    ) as one:
        one.wait_for_users(4)
        os.kill(one.run.wait_for("worker", 2)[1], signal.SIGSTOP)
        killed = "worker 1 is killed: w1.1 must acknowledge its commands"
        one.run.wait_for_output(f"{killed}, but {limit} are outstanding")
        one.run.wait_for_output("worker 1 was replaced")
        assert one.ask("status")["state"] == "running"
        one.wait_until_none_is_pending()
        one.say("stop")
        assert one.run.end() == ExitCode.OK


def test_a_change_that_an_update_function_refuses_is_rolled_back(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    paced = scenario("""
        from amoc import setting, sleep, throttle

        def change(old, new):
            throttle.change_rate("a", new)

        rate = setting(600, "Beats a minute", update=change)

        def init():
            throttle.start("a", rate.get())

        def start(user_id):
            print(f"user {user_id} sees {rate.get()}")
            sleep(1000)
    """)
    with controlled(
        paced, "--users", "2", *FAST, "--stop-timeout", "1s", directory=tmp_path
    ) as one:
        one.wait_for_users(2)
        assert "rate is 1200 now, was 600" in one.say("set", "rate=1200")
        answer = one.say("set", "rate=-5", code=int(ExitCode.SETTING))
        assert "a rate must be 0 or more" in answer
        assert "nothing was changed" in answer
        (throttle,) = [t for t in one.ask("status")["throttles"] if t["name"] == "a"]
        assert throttle["rate"] == 1200
        assert "nothing to change" in one.say("set", "rate=1200"), (
            "the value is back on all workers"
        )
        one.say("add", "2")
        one.run.wait_for_output("user 4 sees 1200")
        one.run.kill(one.run.pid, signal.SIGINT)
        assert one.run.end() == ExitCode.OK
