"""Regressions in the process tree: each test is a way in which a run was once lost.

Several of them stop a process (SIGSTOP) at the worst moment: exactly where the others must not wait
for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amoc.results.series import GONE
from tests.process.support import DEADLINE_S, ROOT, Run, alive, eventually, parents, running

pytestmark = pytest.mark.slow

Write = Callable[[str], Path]

FAST = ("--set", "user_rate=infinity", "--workers", "2")
ONCE = ("--set", "repeat_num=1", "--workers", "1")
PATIENT = """
    from amoc import user

    def start(user_id):
        print(f"started {user_id}", flush=True)
        user.wait_stopping()
"""
FORKS_A_HELPER = """
    import os
    from amoc import user

    def init():
        # As multiprocessing does it: a copy of the supervisor, with all its descriptors.
        if not (helper := os.fork()):
            os.read(os.pipe()[0], 1)
        print(f"helper {helper}", flush=True)

    def start(user_id):
        print(f"started {user_id}", flush=True)
        user.wait_stopping()
"""


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return ""


def state(pid: int) -> str:
    """Return the state letter of a process, ``T`` when it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def hold(pid: int) -> None:
    """Stop a process with SIGSTOP, and wait until it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(pid) == "T", f"{pid} is stopped")


def started_by(run: Run, text: str) -> int:
    """Wait for the controller's descendant with `text` in its command line; return its pid."""

    def find() -> int | None:
        below = run.tree().keys() - {run.pid}
        return next((pid for pid in below if text in command_line(pid)), None)

    return eventually(find, f"a process with {text} in its command line")


def helper_of(run: Run) -> int:
    """Return the pid of the process that the scenario's init() forked."""
    run.wait_for_output("helper ")
    found = re.search(r"helper (\d+)", run.output)
    assert found
    return int(found[1])


def accounted_for(run: Run) -> None:
    """Assert that no user is running and that each one that started has one recorded outcome."""
    users = run.summary()["users"]
    assert users["running"] == 0
    assert users["started"] == sum(users[name] for name in GONE)


def operator(
    *arguments: str | Path, directory: Path, shell: str = 'exec "$@"', **env: str
) -> subprocess.CompletedProcess[str]:
    """Run ``amoc run`` to its end through `shell`, in `directory`, as if it were installed."""
    call = [sys.executable, "-P", "-c", "from amoc.cli.main import main; main()", "run"]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        ["sh", "-c", shell, "sh", *call, *map(str, arguments)],
        cwd=directory,
        env={**inherited, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


# Processes that die or stall at the wrong moment


def test_a_supervisors_death_is_noticed_though_a_helper_holds_its_descriptors(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(FORKS_A_HELPER), "--users", "2", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 2")
        helper = helper_of(run)
        children = [pid for pid, parent in parents().items() if parent in run.find("node")]
        run.kill(next(pid for pid in children if pid != helper))
        assert run.end() == 8
        assert "supervisor of node 0 was killed by SIGKILL" in run.output
        eventually(lambda: not alive({helper}), "the helper is gone with the run")


def test_processes_forked_by_a_scenario_do_not_outlive_a_killed_controller(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(FORKS_A_HELPER), "--users", "2", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 2")
        tree = set(run.tree()) | {helper_of(run)}
        try:
            run.kill(run.pid)
            eventually(lambda: not alive(tree), f"nothing is left of {tree}")
        finally:
            for pid in alive(tree):
                os.kill(pid, signal.SIGKILL)


def test_programs_started_by_users_end_with_the_run(scenario: Write, tmp_path: Path) -> None:
    leaves_one_behind = scenario("""
        import subprocess
        from amoc import user

        def start(user_id):
            print("program", subprocess.Popen(["sleep", "600"]).pid, flush=True)
            user.wait_stopping()
    """)
    with running(leaves_one_behind, *FAST, directory=tmp_path) as run:
        run.wait_for_output("program ")
        found = re.search(r"program (\d+)", run.output)
        assert found
        program = {int(found[1])}
        try:
            run.kill(run.pid, signal.SIGINT)
            assert run.end() == 0
            eventually(lambda: not alive(program), "the program has ended")
        finally:
            for pid in alive(program):
                os.kill(pid, signal.SIGKILL)


def test_a_controller_killed_before_its_node_joined_leaves_nothing_behind(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(PATIENT), directory=tmp_path) as run:
        # Only once it has its title, and so its signal handlers: the kernel sends SIGHUP to a
        # stopped process when its parent dies.
        node, *_ = run.wait_for("node")  # its child shares this title until it sets its own
        hold(node)  # so that it is unlikely to have joined yet
        tree = set(run.tree())
        assert run.has_sockets
        run.kill(run.pid)
        os.kill(node, signal.SIGCONT)
        eventually(lambda: not alive(tree), f"nothing is left of {tree}")
        assert not run.has_sockets


def test_users_of_a_worker_replaced_while_the_run_stops_are_accounted_for(
    scenario: Write, tmp_path: Path
) -> None:
    # The replacement is delayed between its fork and its hello until the run is stopping; the
    # users of the other worker take a while, so that it starts before the end.
    late = scenario("""
        import os
        import time
        from amoc import sleep, user

        late, go = HERE + "/late", HERE + "/go"

        def wait_for_go():
            give_up = time.monotonic() + 20
            while os.path.exists(late) and not os.path.exists(go) and time.monotonic() < give_up:
                time.sleep(0.01)

        os.register_at_fork(after_in_child=wait_for_go)

        def start(user_id):
            print(f"started {user_id}", flush=True)
            user.wait_stopping()
            sleep(1)
    """)
    with running(late, "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 1")
        run.wait_for_output("started 4")
        (tmp_path / "late").touch()
        run.kill(run.wait_for("worker 0 ")[0])
        run.wait_for_output("worker 0 was killed by SIGKILL")
        run.kill(run.pid, signal.SIGINT)
        run.wait_for_output("stopping")
        (tmp_path / "go").touch()
        assert run.end() == 11  # its users are lost
        accounted_for(run)
        assert run.summary()["users"]["finished"] == 2


def test_users_waiting_to_restart_when_the_run_stops_are_accounted_for(
    scenario: Write, tmp_path: Path
) -> None:
    slow = ("--workers", "2", "--set", "interarrival=50")
    with running(scenario(PATIENT), "--users", "20", *slow, directory=tmp_path) as run:
        run.wait_for_output("started 20")
        run.kill(run.wait_for("worker 0 ")[0])
        run.wait_for_output("to restart")
        run.kill(run.pid, signal.SIGINT)
        code = run.end()
        accounted_for(run)
        assert code == (11 if run.summary()["users"]["lost"] else 0)


def test_a_worker_that_dies_while_its_users_leave_is_reported_with_the_signal(
    scenario: Write, tmp_path: Path
) -> None:
    leaves_slowly = scenario("""
        from amoc import sleep, user

        def start(user_id):
            print(f"started {user_id}", flush=True)
            user.wait_stopping()
            print("leaving", flush=True)
            sleep(2)
    """)
    with running(leaves_slowly, "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 4")
        run.kill(run.pid, signal.SIGINT)
        run.wait_for_output("leaving")
        run.kill(run.find("worker 0 ")[0], signal.SIGSEGV)
        assert run.end() == 11
        assert "worker 0 was killed by SIGSEGV" in run.output
        accounted_for(run)


def test_a_worker_whose_hello_reaches_a_stopped_node_loses_no_report(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(PATIENT), "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 4")
        [node], [old] = run.find("node"), run.wait_for("worker 0 ")
        hold(node)
        run.kill(old)
        # The new one's loop has started, and with it the hellos.
        eventually(lambda: set(run.find("worker 0 (0 users)")) - {old}, "a replacement")
        os.kill(node, signal.SIGCONT)
        run.wait_for_output("2 users to restart")
        run.wait_for("worker 0 (2 users)")  # users still pending at the end of a run count as lost
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0
        assert "lost" not in run.output


# Signals


def test_sigterm_to_all_processes_at_once_is_a_graceful_stop(
    scenario: Write, tmp_path: Path
) -> None:
    """As systemd does, and anyone who kills a process group."""
    terminates = scenario(PATIENT + '\n    def terminate():\n        print("terminated")\n')
    with running(terminates, "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 4")
        for pid in run.tree():
            os.kill(pid, signal.SIGTERM)
        assert run.end() == 0
        assert "terminated" in run.output
        assert run.summary()["users"]["finished"] == 4
        accounted_for(run)


def test_a_run_that_ignores_sighup_survives_the_loss_of_its_terminal(
    scenario: Write, tmp_path: Path
) -> None:
    ends = scenario("""
        import os
        import signal

        def start(user_id):
            controller = int(open(HERE + "/pid").read())
            os.kill(controller, signal.SIGHUP)
            print("goes on")
    """)
    shell = f"trap '' HUP; echo $$ > {tmp_path}/pid; exec \"$@\""
    done = operator(ends, *ONCE, directory=tmp_path, shell=shell)
    assert done.returncode == 0
    assert "goes on" in done.stdout
    assert "stopping" not in done.stdout


def test_a_run_can_be_interrupted_while_the_embedded_server_starts(tmp_path: Path) -> None:
    one_to_one = ROOT / "scenarios" / "xmpp" / "one_to_one.py"
    with running(one_to_one, "--users", "2", directory=tmp_path) as run:
        hold(started_by(run, "xmppd"))  # started by the first user that connects
        tree = set(run.tree())
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0  # the users are asked to stop, and need not wait for the server
        eventually(lambda: not alive(tree), f"nothing is left of {tree}")


@pytest.fixture
def unread() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_run_can_be_ended_while_nobody_reads_its_output(
    scenario: Write, tmp_path: Path, unread: tuple[int, int]
) -> None:
    """A terminal with Ctrl-S, or a pager that waits."""
    prints = scenario("""
        from amoc import sleep, user

        def start(user_id):
            while not user.stopping:
                print("x" * 200)
                sleep(0.001)
    """)
    call = [sys.executable, "-m", "amoc", "run", str(prints), *FAST]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    out = unread[1]
    with subprocess.Popen(
        call, cwd=ROOT, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
    ) as process:
        run = Run.__new__(Run)  # only its view of the process tree is needed
        run.pid = process.pid
        try:
            # Nothing fits into the pipe any more.
            os.set_blocking(out, False)
            eventually(lambda: not _fits(out), "the pipe is full")
            os.set_blocking(out, True)
            tree = set(run.tree())
            assert len(tree) >= 4
            for _ in range(3):
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
            assert process.wait(DEADLINE_S) == 130
            eventually(lambda: not alive(tree), f"nothing is left of {tree}")
        finally:
            tree = set(run.tree())
            process.kill()
            for pid in alive(tree):
                os.kill(pid, signal.SIGKILL)


def _fits(out: int) -> bool:
    import select

    return bool(select.select([], [out], [], 0)[1])


# What a scenario prints


def test_a_scenario_that_floods_its_output_is_stopped_like_any_other(
    scenario: Write, tmp_path: Path
) -> None:
    floods = scenario("""
        from amoc import sleep, user

        def start(user_id):
            while not user.stopping:
                for _ in range(2000):
                    print("x" * 100)
                sleep(0.001)
    """)
    with running(floods, "--users", "2", *FAST, directory=tmp_path) as run:
        run.wait_for_output("left out")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0
        accounted_for(run)


def test_lines_dropped_from_a_flood_of_output_are_counted_at_the_end(
    scenario: Write, tmp_path: Path
) -> None:
    floods = scenario("""
        def start(user_id):
            for number in range(20_000):
                print(f"line {number}")
    """)
    with running(floods, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        shown = run.output.count("line ")
        # Reported once a second, and a busy machine may need several seconds.
        left_out = re.findall(r"([\d,]+) printed lines? left out", run.output)
        assert left_out
        counted = shown - run.output.count("printed line ")
        assert counted + sum(int(number.replace(",", "")) for number in left_out) == 20_000


def test_every_printed_byte_is_passed_on_however_writes_are_split(
    scenario: Write, tmp_path: Path
) -> None:
    cuts = scenario("""
        import os
        from amoc import sleep

        def start(user_id):
            for number in range(3):
                for piece in (b"?", b" !", b" %d\\n" % number):
                    os.write(1, piece)
                    sleep(0.1)
    """)
    with running(cuts, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        assert re.findall(r"(.*) ! (\d)", run.output) == [("?", "0"), ("?", "1"), ("?", "2")]


def test_text_that_the_terminal_cannot_encode_is_escaped(scenario: Write, tmp_path: Path) -> None:
    odd = scenario("""
        def start(user_id):
            raise ValueError("caf" + chr(0xE9) + " " + chr(0xD800))
    """)
    with running(odd, *ONCE, "--failures-ok", directory=tmp_path, PYTHONIOENCODING="ascii") as run:
        assert run.end() == 0
        assert r"caf\xe9 \ud800" in run.output
        assert run.summary()["users"]["crashed"] == 1


def test_a_scenario_may_close_its_standard_output(scenario: Write, tmp_path: Path) -> None:
    closes = scenario("""
        import sys

        sys.stdout.close()

        def start(user_id):
            pass
    """)
    with running(closes, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        assert "Traceback" not in run.output
        assert run.summary()["users"]["finished"] == 1


# The environment of a run


def test_a_worker_without_a_free_descriptor_keeps_sending_heartbeats(
    scenario: Write, tmp_path: Path
) -> None:
    uses_all = scenario("""
        import os
        from amoc import sleep

        def start(user_id):
            descriptors = []
            try:
                while True:
                    descriptors.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                print("all in use", flush=True)
            sleep(2.5)  # long enough for it to measure its own memory twice
    """)
    done = operator(
        *(uses_all, *ONCE, "--json", tmp_path / "s.json"),
        directory=tmp_path,
        shell='ulimit -n 200; exec "$@"',
    )
    assert done.returncode == 0
    assert "all in use" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_temporary_directory_too_long_for_sockets_is_not_used(
    scenario: Write, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with running(scenario(PATIENT), *FAST, directory=tmp_path, TMPDIR=str(deep)) as run:
        run.wait_for_output("started 1")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0


def test_files_in_the_working_directory_do_not_shadow_modules(
    scenario: Write, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    for name in ("random", "select", "queue", "types"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('not me')\n")
    done = operator(
        scenario("def start(user_id):\n    print('runs')\n"), *ONCE, directory=tmp_path / "here"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "runs" in done.stdout


def test_programs_started_by_a_scenario_inherit_pythonpath(scenario: Write, tmp_path: Path) -> None:
    shows = scenario("""
        import os

        def start(user_id):
            print("path is", os.environ.get("PYTHONPATH"))
    """)
    with running(shows, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        assert f"path is {os.environ.get('PYTHONPATH')}\n" in run.output


def test_a_runs_failure_is_reported_even_if_the_summary_cannot_be_written(
    scenario: Write, tmp_path: Path
) -> None:
    fails = scenario("""
        def start(user_id): ...

        def terminate():
            raise ValueError("no")
    """)
    done = operator(fails, *ONCE, "--json", "/dev/full", directory=tmp_path)
    assert done.returncode == 9
    assert "raised ValueError: no" in done.stderr
    assert "/dev/full cannot be written" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_does_not_need_standard_streams(scenario: Write, tmp_path: Path, closed: str) -> None:
    done = operator(
        *(scenario("def start(user_id): ...\n"), *ONCE, "--json", tmp_path / "s.json"),
        directory=tmp_path,
        shell=f'exec "$@" {closed}',
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"finished": 1' in (tmp_path / "s.json").read_text()


def test_a_symlinked_summary_file_stays_a_symlink(scenario: Write, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text("old")
    (tmp_path / "link.json").symlink_to(target)
    done = operator(
        *(scenario("def start(user_id): ...\n"), *ONCE, "--json", tmp_path / "link.json"),
        directory=tmp_path,
    )
    assert done.returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert '"finished": 1' in target.read_text()
