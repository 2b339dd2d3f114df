"""Killing any process with SIGKILL leaves no orphan, no lost count and no run that hangs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support import alive, eventually, lines, running

pytestmark = pytest.mark.slow

# Each user logs, unbuffered, its start and each time that it counts; the counters in shared memory
# are compared with this log.
COUNTING = """
    import os
    from amoc import metrics, sleep, user

    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    counts = metrics.counter("counts")

    def start(user_id):
        os.write(log, f"start {user_id}\\n".encode())
        while not user.stopping:
            counts.inc()
            os.write(log, f"count {user_id}\\n".encode())
            sleep(0.01)

    def terminate():
        os.write(log, b"terminate\\n")
"""
FAST = ("--set", "user_rate=infinity", "--workers", "2")


def test_a_killed_worker_is_replaced_and_loses_neither_counts_nor_users(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    users, kills = 60, 6
    log = tmp_path / "log"
    with running(
        scenario(COUNTING), "--users", str(users), *FAST, "--duration", "1h", directory=tmp_path
    ) as run:
        run.wait_for("worker", 2)
        for kill in range(1, kills + 1):
            eventually(
                lambda: len({line for line in lines(log) if line.startswith("start")}) == users,
                "all users start",
            )
            victim = run.wait_for(f"worker {kill % 2} ")[0]
            starts = Counter(lines(log))
            run.kill(victim)
            mine = [n for n in range(1, users + 1) if (n - 1) % 2 == kill % 2]
            eventually(
                lambda starts=starts, mine=mine: all(
                    Counter(lines(log))[f"start {n}"] == starts[f"start {n}"] + 1 for n in mine
                ),
                f"the users of the killed worker start again, each once:\n{run.output}",
            )
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0
        summary = run.summary()
    killed = [reason for reason in summary["run"]["reasons"] if " was killed " in reason]
    assert sorted(killed) == [
        f"worker {worker} was killed by SIGKILL, {kills // 2} times" for worker in range(2)
    ]
    logged = Counter(line.split()[0] for line in lines(log))
    # At each kill, at most one user may be between counting and logging it.
    assert logged["count"] <= summary["counters"]["counts"] <= logged["count"] + kills
    assert summary["users"] | {"starts_per_s_peak": 0} == {
        "started": users,
        "finished": users,
        "crashed": 0,
        "removed": 0,
        "timed_out": 0,
        "lost": 0,
        "not_started": 0,
        "restarted": users // 2 * kills,
        "peak": users,
        "running": 0,
        "resting": 0,
        "starts_per_s_peak": 0,
    }
    assert sorted(worker["restarts"] for worker in summary["workers"]) == [kills // 2] * 2
    assert logged["start"] == users + users // 2 * kills
    assert logged["terminate"] == 1


@pytest.mark.parametrize("role", ["supervisor", "node"])
def test_killing_a_parent_process_ends_its_tree_and_is_reported(
    scenario: Callable[[str], Path], tmp_path: Path, role: str
) -> None:
    with running(
        scenario(COUNTING), "--users", "20", *FAST, "--duration", "1h", directory=tmp_path
    ) as run:
        run.wait_for("worker", 2)
        eventually(lambda: len(lines(tmp_path / "log")) > 200, "users count")
        tree = set(run.tree())
        assert run.has_sockets
        run.kill(run.find(role)[0])
        assert run.end() == 8
        eventually(lambda: not alive(tree), f"nothing of the tree is left: {tree}")
        assert re.search(rf"amoc: .*{role}.* was killed by SIGKILL", run.output)
        summary = run.summary()
        assert summary["run"]["verdict"] == "failed"
        if role == "supervisor":  # the node still reports what became of them
            assert summary["users"]["lost"] == 20
        assert not run.has_sockets


def test_users_finish_after_the_controller_is_killed_and_nothing_is_left_behind(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(
        scenario(COUNTING), "--users", "20", *FAST, "--duration", "1h", directory=tmp_path
    ) as run:
        run.wait_for("worker", 2)
        eventually(lambda: len(lines(tmp_path / "log")) > 200, "users count")
        tree = set(run.tree())
        assert run.has_sockets
        run.kill(run.pid)
        eventually(lambda: not alive(tree), f"nothing of the tree is left: {tree}")
        assert not run.has_sockets
    assert lines(tmp_path / "log").count("terminate") == 1


def test_a_controller_killed_at_its_start_leaves_no_socket_directory(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(scenario(COUNTING), directory=tmp_path) as run:
        eventually(lambda: run.has_sockets, "a socket directory")
        run.kill(run.pid)
        eventually(lambda: not run.has_sockets, "it is removed")


def test_the_next_run_removes_the_socket_directory_of_a_completely_killed_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    counting = scenario(COUNTING)
    with running(counting, *FAST, "--duration", "1h", directory=tmp_path) as killed:
        killed.wait_for("worker", 2)
        tree = set(killed.tree())
        for signum in (
            signal.SIGSTOP,
            signal.SIGKILL,
        ):  # stopped first, or one would see the others die and clean up
            for pid in tree:
                killed.kill(pid, signum)
        eventually(lambda: not alive(tree), "all are killed")
        (left,) = killed.temporary.glob("amoc-*")
        short = (*FAST, "--duration", "0.1s")
        for age_s, is_there in ((0, True), (3600, False)):
            os.utime(left, (time.time() - age_s,) * 2)
            again = tmp_path / f"after{age_s}"
            again.mkdir()
            with running(counting, *short, directory=again, TMPDIR=str(killed.temporary)) as run:
                assert run.end() == 0
            assert left.exists() is is_there


def test_a_node_still_in_init_ends_with_its_killed_controller(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    hangs = scenario("""
        import os

        def init():
            print("init hangs", flush=True)
            os.read(os.pipe()[0], 1)

        def start(user_id): ...
    """)
    with running(hangs, "--init-timeout", "1h", "--stop-timeout", "1s", directory=tmp_path) as run:
        run.wait_for_output("init hangs")
        tree = set(run.tree())
        assert any("supervisor" in title for title in run.tree().values())
        run.kill(run.pid)
        eventually(lambda: not alive(tree), f"nothing of the tree is left: {tree}")


def test_a_worker_that_keeps_dying_before_it_takes_users_ends_the_run(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    stillborn = scenario("""
        import os

        os.register_at_fork(after_in_child=lambda: os._exit(3))

        def start(user_id): ...
    """)
    with running(stillborn, "--users", "1", directory=tmp_path) as run:
        assert run.end() == 10
        tree = set(run.tree())
        assert "exited with 3 before it took any user" in run.output
        assert not alive(tree)


def test_users_of_a_dead_worker_not_restarted_by_the_end_count_as_lost(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    deadly = scenario("""
        import os
        import signal
        from amoc import user

        def start(user_id):
            if user_id == 3:  # the last of its worker
                os.kill(os.getpid(), signal.SIGKILL)
            user.wait_stopping()
    """)
    with running(deadly, "--users", "4", *FAST, directory=tmp_path) as run:
        death = "worker 0 was killed by SIGKILL"
        # Replacing a worker that dies early is delayed longer each time, by now for seconds.
        eventually(lambda: run.output.count(f"{death}; its") == 6, "the worker dies again")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 11
        summary = run.summary()
    assert "2 users were lost with their worker" in run.output
    assert summary["run"]["verdict"] == "failed"
    assert f"{death}, 6 times" in summary["run"]["reasons"]
    users = summary["users"]
    assert (users["lost"], users["finished"], users["removed"]) == (2, 2, 0)


def test_a_worker_that_hangs_in_c_while_the_run_stops_is_killed(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    hangs = scenario("""
        import os
        from amoc import user

        def start(user_id):
            print(f"started {user_id}")
            user.wait_stopping()
            if user_id == 1:
                os.read(os.pipe()[0], 1)
    """)
    with running(hangs, "--users", "4", *FAST, "--stop-timeout", "1s", directory=tmp_path) as run:
        for user_id in range(1, 5):
            run.wait_for_output(f"started {user_id}")
        tree = set(run.tree())
        run.kill(run.pid, signal.SIGTERM)
        assert run.end() == 11
        assert "2 users were lost with their worker" in run.output
        assert "worker 0 did not stop in time and is killed" in run.output
        eventually(lambda: not alive(tree), "nothing is left")
        summary = run.summary()["users"]
        assert (summary["finished"], summary["lost"], summary["removed"]) == (2, 2, 0)


def test_a_second_interrupt_ends_everything_at_once(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    stubborn = scenario("""
        import time

        def start(user_id):
            print("started", flush=True)
            time.sleep(3600)  # unlike amoc.sleep, goes on when the user is asked to stop
    """)
    with running(
        stubborn, "--users", "10", *FAST, "--stop-timeout", "1h", directory=tmp_path
    ) as run:
        run.wait_for_output("started")
        tree = set(run.tree())
        run.kill(run.pid, signal.SIGINT)
        run.wait_for_output("again to stop at once")
        assert alive(tree) == tree
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 130
        eventually(lambda: not alive(tree), "nothing is left")
        assert run.summary()["run"]["verdict"] == "interrupted"


def test_no_names_are_left_in_shared_memory(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    before = set(Path("/dev/shm").iterdir())
    with running(scenario(COUNTING), "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for("worker", 2)
        assert set(Path("/dev/shm").iterdir()) <= before
        run.kill(run.pid)
        tree = set(run.tree())
        eventually(lambda: not alive(tree), "nothing is left")
    assert set(Path("/dev/shm").iterdir()) <= before


DETACHES = """
    import subprocess
    from amoc import sleep, user

    def start(user_id):
        with open(HERE + "/detached", "a") as file:
            print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, file=file)
        sleep(600)
"""


@pytest.mark.parametrize("killed", [None, "worker", "supervisor", "node"])
def test_a_program_detached_by_a_user_ends_with_the_run(
    scenario: Callable[[str], Path], tmp_path: Path, killed: str | None
) -> None:
    file = scenario(DETACHES)
    with running(file, "--users", "2", *FAST, directory=tmp_path) as run:
        eventually(lambda: len(lines(tmp_path / "detached")) == 2, "both users have started one")
        detached = {int(pid) for pid in lines(tmp_path / "detached")}
        assert alive(detached) == detached
        if killed:
            run.kill(run.wait_for(killed)[0])
        else:
            run.kill(run.pid, signal.SIGINT)
        if killed == "worker":
            eventually(lambda: len(lines(tmp_path / "detached")) == 3, "its user starts again")
            run.kill(run.pid, signal.SIGINT)
        assert run.end() == (8 if killed in ("supervisor", "node") else 0)
        detached |= {int(pid) for pid in lines(tmp_path / "detached")}
        assert not alive(detached)


def test_a_node_that_cannot_read_its_shared_memory_fails_at_once(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = """
        from amoc import sleep
        from amoc.metrics import registry

        def start(user_id):
            # As a faulty C library might overwrite it: many entries of an invalid kind.
            registry.current.area.memory[:8] = (5000).to_bytes(8, "little")
            sleep(1000)
    """
    with running(scenario(text), "--users", "1", "--duration", "1h", directory=tmp_path) as run:
        assert run.end() == 1
        assert "amoc: ValueError: 0 is not a valid Kind" in run.output
        assert "has not reported" not in run.output
