"""From init() to terminate(), and every way in which a run must refuse to start."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import DEADLINE_S, ROOT, eventually, lines, parents, running

pytestmark = pytest.mark.slow
started = partial(running, before="")
"""Starts amoc from scratch, for tests whose result may depend on how it starts."""
Write = Callable[..., Path]


def amoc(
    *arguments: str, limits: dict[int, int] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run an ``amoc`` command to its end."""

    def set_limits() -> None:
        for which, most in (limits or {}).items():
            resource.setrlimit(which, (most, most))

    return subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **env},
        preexec_fn=set_limits if limits else None,
    )


def refuses(code: int, message: str, *arguments: str, **options: object) -> None:
    """Assert that `amoc run` ends with `code`, one line with `message`, and no process left."""
    mark = uuid.uuid4().hex
    result = amoc("run", *arguments, **options, AMOC_TEST_MARK=mark)  # type: ignore[arg-type]
    assert result.returncode == code, result.stdout + result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    eventually(lambda: not marked(mark), "nothing is left running")


def marked(mark: str) -> list[int]:
    """Return the processes that have `mark` in their environment."""
    found = []
    for pid in parents():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment:
            found.append(pid)
    return found


def test_users_repeat_with_the_shared_state_and_then_finish(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import metrics, user

        def init():
            return {"greeting": "hello"}

        def start(user_id, state):
            assert state == {"greeting": "hello"}
            assert user.id == user_id
            assert not user.stopping
            metrics.counter(f"iteration_{user.iteration}").inc()

        def terminate(state):
            with open(HERE + "/end", "w") as file:
                file.write(state["greeting"] + "\\n")
    """)
    with running(
        file,
        *("--users", "7", "--workers", "2", "--seed", "5", "--comment", "why"),
        *("--set", "repeat_num=3", "--set", "repeat_interval=10ms", "--set", "interarrival=1"),
        directory=tmp_path,
    ) as run:
        assert run.end() == 0
        summary = run.summary()
    assert summary["counters"] == {**{f"iteration_{n}": 7 for n in (1, 2, 3)}, "iterations": 21}
    assert summary["crashes"] == []
    users = summary["users"]
    assert (users["started"], users["finished"], users["removed"], users["running"]) == (7, 7, 0, 0)
    assert users["peak"] >= 1
    assert summary["run"]["verdict"] == "no criteria"
    assert summary["run"]["seed"] == 5
    assert summary["run"]["comment"] == "why"
    assert [(one["node"], one["worker"]) for one in summary["workers"]] == [
        ("node0", 0),
        ("node0", 1),
    ]
    assert lines(tmp_path / "end") == ["hello"]


def test_the_state_that_init_returns_is_shared_and_init_runs_once(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        import os

        def init():
            print(f"init in {os.getpid()}")
            return lambda: os.getppid()     # nothing that could be pickled

        def start(user_id, state):
            print(f"user below {state()}")
    """)
    with started(
        file, "--users", "4", "--set", "repeat_num=1", "--set", "interarrival=0", directory=tmp_path
    ) as run:
        assert run.end() == 0
        printed = [
            line.split()[-1]
            for line in run.output.splitlines()
            if " in " in line or "below" in line
        ]
    assert len(printed) == 5
    assert len(set(printed)) == 1


def test_crashes_are_counted_by_cause_and_crashed_users_repeat(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from helper_beside import fail

        def start(user_id):
            fail(user_id)
    """)
    (tmp_path / "helper_beside.py").write_text(
        "def fail(n):\n"
        "    if n % 2:\n"
        "        raise ValueError(f'user {n} is odd')\n"
        "    raise SystemExit(3)\n"
    )
    with running(
        file,
        *("--users", "10", "--workers", "2"),
        *("--set", "repeat_num=2", "--set", "crash_pause=100ms", "--set", "user_rate=inf"),
        directory=tmp_path,
    ) as run:
        assert run.end() == ExitCode.THRESHOLD
        summary, output = run.summary(), run.output
    assert summary["run"]["verdict"] == "everything failed"
    assert summary["run"]["reasons"] == ["no iteration succeeded: 20 iterations crashed"]
    causes = Counter({crash["cause"]: crash["count"] for crash in summary["crashes"]})
    assert causes == {
        "ValueError: user # is odd (helper_beside.py:3 in fail)": 10,
        "SystemExit: # (helper_beside.py:4 in fail)": 10,
    }
    assert summary["users"]["crashed"] == 20
    assert summary["users"]["finished"] == 10
    assert output.count("Traceback") == 2, "one traceback for each cause"


def test_users_that_rest_most_of_the_time_are_shown_and_noted_once(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        def start(user_id):
            pass
    """)
    options = ("--users", "4", "--set", "user_rate=inf", "--workers", "2", "--duration", "1h")
    with running(file, *options, directory=tmp_path) as run:
        eventually((run.directory / "control").exists, "it can be asked")
        eventually(lambda: "running (4 resting)" in run.look("status")["summary"], "users rest")
        eventually(lambda: run.look("status")["elapsed_s"] > 2, "they rest most of the time")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        (note,) = run.summary()["run"]["notes"]
    assert note.startswith("users rested between iterations for ")
    assert "repeat_interval" in note
    assert run.output.count("users rested between iterations") == 1


def test_users_that_never_started_are_counted_and_noted(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import user

        def start(user_id):
            user.wait_stopping()
    """)
    slow = ("--users", "1000", "--set", "user_rate=60", "--duration", "1s", "--workers", "1")
    with running(file, *slow, directory=tmp_path) as run:
        assert run.end() == 0
        summary = run.summary()
    users = summary["users"]
    assert users["started"] + users["not_started"] == 1000
    assert users["not_started"] >= 900
    assert summary["run"]["notes"] == [
        f"{users['not_started']} of 1,000 users had not started when the run ended"
    ]


def test_users_that_do_not_finish_time_out_and_stuck_ones_are_listed(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        import time

        def start(user_id):
            print(f"started {user_id}")
            while True:
                try:
                    time.sleep(3600)  # not one of amoc's waits: the end of the run does not end it
                except BaseException:
                    if user_id != 3:
                        raise
    """)
    with running(
        file,
        *("--users", "4", "--stop-timeout", "200ms", "--set", "user_rate=inf"),
        directory=tmp_path,
    ) as run:
        for user_id in range(1, 5):
            run.wait_for_output(f"started {user_id}")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 11
        assert "3 users did not finish within 0.2 s" in run.output
        assert "users did not stop even when they were killed: 3" in run.output
        users = run.summary()["users"]
    assert (users["timed_out"], users["running"], users["finished"]) == (3, 1, 0)
    assert users["removed"] == 0, "no command removed any"


def test_users_waiting_in_amocs_calls_end_with_the_run_and_count_as_finished(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        import contextlib
        import time
        from amoc import coordinator, metrics, receive, sleep, throttle, user, xmpp

        def init():
            throttle.start("nobody", 0)

        def stay(user_id):
            if user_id == 1:
                sleep(60)
            elif user_id == 2:
                receive(timeout=60)
            elif user_id == 3:
                receive()
            elif user_id == 4:
                throttle.wait("nobody", timeout=60)
            elif user_id == 5:
                coordinator.barrier("never", 100)
            else:
                with xmpp.connect(user_id) as client:
                    if user_id == 6:
                        client.receive(timeout=60)
                    elif user_id == 7:
                        client.wait_until(lambda: False)
                    else:
                        client.wait(60)

        def start(user_id):
            try:
                stay(user_id)
            except user.UserStopped:
                metrics.counter("told").inc()
                raise
            finally:
                sleep(0.01)
                metrics.counter("cleaned_up").inc()
    """)
    with running(
        file,
        *("--users", "8", "--workers", "2", "--duration", "5s", "--set", "user_rate=inf"),
        directory=tmp_path,
    ) as run:
        assert run.end() == 0
        summary = run.summary()
    users, counters = summary["users"], summary["counters"]
    assert (users["finished"], users["removed"], users["crashed"]) == (8, 0, 0)
    assert counters["told"] == counters["cleaned_up"] == 8
    # The duration only, without the ten seconds of --stop-timeout.
    assert summary["run"]["duration_s"] < 8.0


def test_the_duration_asks_users_to_finish(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import metrics, user

        def start(user_id):
            user.wait_stopping()
            metrics.counter("left_in_order").inc()
    """)
    with running(
        file, "--users", "6", "--duration", "1s", "--set", "user_rate=inf", directory=tmp_path
    ) as run:
        assert run.end() == 0
        summary = run.summary()
    assert summary["counters"] == {"left_in_order": 6, "iterations": 6}
    assert summary["users"]["finished"] == 6
    assert summary["run"]["duration_s"] >= 1.0


def test_users_get_the_ids_given_by_user_ids(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        def start(user_id):
            print(f"id {user_id}")
    """)
    with running(
        file,
        *("--user-ids", "5001-5005", "--set", "repeat_num=1", "--set", "user_rate=inf"),
        directory=tmp_path,
    ) as run:
        assert run.end() == 0
        assert sorted(line for line in run.output.splitlines() if line.startswith("id ")) == [
            f"id {n}" for n in range(5001, 5006)
        ]


def test_users_see_settings_in_order_of_precedence(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import config, setting

        one = setting(1, "first")
        two = setting(1, "second")
        three = setting(1, "third")
        four = setting(1, "fourth")

        def start(user_id):
            print("values", one.get(), config.get("two"), three.get(), four.get())
    """)
    toml = tmp_path / "some.toml"
    toml.write_text("one = 2\ntwo = 2\nthree = 2\n[trial]\nthree = 5\n[other]\nwhat = 1\n")
    with started(
        file,
        *("--config", str(toml), "--set", "one=4", "--set", "repeat_num=1"),
        directory=tmp_path,
        AMOC_ONE="3",
        amoc_two="3",
    ) as run:
        assert run.end() == 0
        assert "values 4 3 5 1" in run.output


def test_a_failing_terminate_has_its_own_exit_code(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        def start(user_id): ...

        def terminate():
            raise RuntimeError("cannot tidy up")
    """)
    with running(file, "--set", "repeat_num=1", directory=tmp_path) as run:
        assert run.end() == 9
        assert "terminate() of" in run.output
        assert "RuntimeError: cannot tidy up" in run.output
        assert run.summary()["users"]["finished"] == 1


def test_init_may_use_blocking_calls_threads_and_gevents_threadpool(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        import socket, threading, time
        from gevent import get_hub

        def init():
            time.sleep(0.01)
            found = []
            look_up = lambda: found.append(socket.gethostbyname("localhost"))
            thread = threading.Thread(target=look_up)
            thread.start()
            thread.join()
            get_hub().threadpool.spawn(time.monotonic).get()
            return found

        def start(user_id, state):
            time.sleep(0.01)
            print("found", state)
    """)
    with started(
        file, "--users", "4", "--set", "repeat_num=1", "--set", "interarrival=0", directory=tmp_path
    ) as run:
        assert run.end() == 0
        assert run.output.count("found ['127.0.0.1']") == 4
        assert "thread(s)" not in run.output


# Messages that depend on the interpreter are covered by the tests of the loader.
@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("def begin(user_id): ...", 4, "has no start(); define start(user_id, state)"),
        ("def start(a, b, c): ...", 4, "takes (a, b, c); define start(user_id, state)"),
        ("async def start(user_id): ...", 4, "must be a plain function, got an async one"),
        ("def start(user_id) ...", 4, "SyntaxError"),
        ("import does_not_exist\ndef start(user_id): ...", 4, "No module named 'does_not_exist'"),
        ("1 / 0\ndef start(user_id): ...", 4, "trial.py:1"),
        (
            "from amoc import setting\nrate = setting(5, 'a')\nrate.get()\ndef start(i): ...",
            4,
            "is read while the scenario is imported",
        ),
        (
            "def start(user_id): ...\ndef init():\n    raise OSError('no such table')",
            5,
            "OSError: no such table",
        ),
        (
            "from amoc import Error\ndef start(i): ...\ndef init():\n    return Error('no domain')",
            5,
            "refused to start: no domain",
        ),
        (
            "import os\ndef start(user_id): ...\ndef init():\n    os.read(os.pipe()[0], 1)",
            6,
            "did not return within 5 s (--init-timeout)",
        ),
        (
            "import os\nos.read(os.pipe()[0], 1)\ndef start(user_id): ...",
            6,
            "did not finish within 5 s (--init-timeout)",
        ),
    ],
)
def test_a_scenario_that_cannot_run_is_refused_in_one_line(
    scenario: Write, text: str, code: int, message: str
) -> None:
    # Importing the others may take seconds where the machine is busy.
    limit = ("--init-timeout", "5s") if code == ExitCode.INIT_TIMEOUT else ()
    refuses(code, message, str(scenario(text)), *limit)


@pytest.mark.once
def test_all_invalid_settings_are_reported_at_once(scenario: Write) -> None:
    file = scenario("""
        from amoc import setting

        rate = setting(5, "a rate", verify=lambda n: n > 0)
        mode = setting("chat", "what to send", verify=["chat", "headline"])
        needed = setting(description="must be there", type=str)

        def start(user_id): ...
    """)
    result = amoc(
        "run", str(file), "--set", "rate=fast", "--set", "colour=red", AMOC_MODE="shout",
        AMOC_USER_RATE="0.5",
    )  # fmt: skip
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    for problem in (
        "colour is not a setting of this scenario, got 'red' (from --set)",
        "rate must be a valid integer, got 'fast' (from --set)",
        "mode must be one of 'chat', 'headline', got 'shout' (from AMOC_MODE)",
        "needed must be set (must be there)",
        "at least 1/min, or 0 to hold all starts, got '0.5' (from AMOC_USER_RATE)",
    ):
        assert problem in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 5


@pytest.mark.once
def test_a_missing_scenario_file_is_reported_in_one_line() -> None:
    refuses(4, "scenario nowhere/to_be.py does not exist", "nowhere/to_be.py")


@pytest.mark.once
def test_a_missing_scenario_module_is_reported_in_one_line() -> None:
    refuses(4, "neither a file (*.py) nor an importable module", "nowhere.to_be")


@pytest.mark.once
def test_too_little_shared_memory_is_reported_in_one_line() -> None:
    refuses(
        7,
        "shared memory",
        *("scenarios/idle.py", "--user-ids", "4000000000-4000000001"),
        limits={resource.RLIMIT_AS: 3 << 30},
    )


@pytest.mark.once
def test_too_few_file_descriptors_are_reported_in_one_line(scenario: Write) -> None:
    file = scenario("""
        from amoc.scenario import fd_budget as limits

        limits.needs_fds(__name__, 1)

        def start(user_id): ...
    """)
    refuses(
        7,
        "1000 users on 2 workers need 600 file descriptors in each, but the limit is 400",
        *(str(file), "--users", "1000", "--workers", "2"),
        limits={resource.RLIMIT_NOFILE: 400},
    )


@pytest.mark.once
@pytest.mark.parametrize("limit", [20, 30, 63])
def test_a_limit_that_is_too_low_for_amoc_itself_is_reported_in_one_line(limit: int) -> None:
    refuses(
        7,
        f"amoc needs a limit of at least 64 file descriptors, but it is {limit}; raise it with",
        "scenarios/hello.py",
        limits={resource.RLIMIT_NOFILE: limit},
    )


def test_a_module_on_pythonpath_can_be_the_scenario(scenario: Write, tmp_path: Path) -> None:
    scenario("def start(user_id): print('from a module')", name="some_module.py")
    with started(
        "some_module", "--set", "repeat_num=1", directory=tmp_path, PYTHONPATH=str(tmp_path)
    ) as run:
        assert run.end() == 0
        assert "from a module" in run.output


def test_ctrl_c_stays_ignored_if_it_was_ignored_at_the_start(
    scenario: Write, tmp_path: Path
) -> None:
    """Shells make background commands ignore it."""
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "amoc")
    file = scenario("def start(user_id): print('here')")
    with subprocess.Popen(
        [*ignoring, "run", str(file), "--duration", "1s", "--run-dir", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert any(line == "here\n" for line in child.stdout)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0, said
    assert "stopping: users have" not in said


@pytest.mark.parametrize("imported", ["gevent", "click"])
def test_ctrl_c_while_amoc_is_being_imported_is_quiet(imported: str, tmp_path: Path) -> None:
    hangs = "import time; print('here', flush=True); time.sleep(60)"
    (tmp_path / f"{imported}.py").write_text(hangs)
    with subprocess.Popen(
        [sys.executable, "-m", "amoc", "run", "none.py"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=DEADLINE_S) == ("", "")
    assert child.returncode == ExitCode.INTERRUPTED
