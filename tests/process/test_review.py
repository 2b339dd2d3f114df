"""What a review of the process tree broke once: each test is a way to lose a run, once.

Several of them take the moment that hurts most: a process is held still (SIGSTOP) exactly where the
others must not wait for it.
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
    """How a process was called; nothing when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return ""


def state(pid: int) -> str:
    """The state letter of a process, ``T`` when it is held still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def hold(pid: int) -> None:
    """Hold a process still, and wait until it is."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(pid) == "T", f"{pid} is held still")


def started_by(run: Run, text: str) -> int:
    """The process below the controller whose call has `text` in it, as soon as it is there."""

    def find() -> int | None:
        below = run.tree().keys() - {run.pid}
        return next((pid for pid in below if text in command_line(pid)), None)

    return eventually(find, f"a process that was called with {text}")


def helper_of(run: Run) -> int:
    """The process that the scenario's init() forked."""
    run.wait_for_output("helper ")
    found = re.search(r"helper (\d+)", run.output)
    assert found
    return int(found[1])


def accounted_for(run: Run) -> None:
    """Every user that started has finished, or is accounted for otherwise; none runs any more."""
    users = run.summary()["users"]
    assert users["running"] == 0
    assert users["started"] == sum(users[name] for name in GONE)


def operator(
    *arguments: str | Path, directory: Path, shell: str = 'exec "$@"', **env: str
) -> subprocess.CompletedProcess[str]:
    """``amoc run`` to its end, called through `shell`, from `directory`, as if it was installed."""
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


# Somebody dies or stands still at the wrong moment


def test_a_supervisor_whose_descriptors_live_on_in_a_helper_is_missed_all_the_same(
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


def test_what_a_scenario_forked_does_not_outlive_a_killed_controller(
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


def test_programs_that_users_started_end_with_the_run(scenario: Write, tmp_path: Path) -> None:
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
            eventually(lambda: not alive(program), "the program is gone")
        finally:
            for pid in alive(program):
                os.kill(pid, signal.SIGKILL)


def test_a_controller_killed_before_its_node_has_joined_leaves_nothing_behind(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(PATIENT), directory=tmp_path) as run:
        # Not before it has the title, and so its signal handlers: the kernel sends SIGHUP to a
        # process that is held still when its parent dies.
        node, *_ = run.wait_for("node")  # its child has its title until it gives itself its own
        hold(node)  # so that it has hardly joined yet
        tree = set(run.tree())
        assert run.has_sockets
        run.kill(run.pid)
        os.kill(node, signal.SIGCONT)
        eventually(lambda: not alive(tree), f"nothing is left of {tree}")
        assert not run.has_sockets


def test_users_of_a_worker_that_is_replaced_while_the_run_stops_are_accounted_for(
    scenario: Write, tmp_path: Path
) -> None:
    # The replacement is held up between its fork and its hello until the run is stopping; the
    # users of the other worker take a while, so that it comes up before the end.
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


def test_users_that_wait_to_start_again_when_the_run_stops_are_accounted_for(
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


def test_a_worker_that_dies_while_its_users_leave_is_named_with_the_signal(
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


def test_a_worker_that_says_hello_to_a_node_that_is_held_up_has_lost_no_report(
    scenario: Write, tmp_path: Path
) -> None:
    with running(scenario(PATIENT), "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 4")
        [node], [old] = run.find("node"), run.wait_for("worker 0 ")
        hold(node)
        run.kill(old)
        # The loop of the new one has begun, and with it the hellos.
        eventually(lambda: set(run.find("worker 0 (0 users)")) - {old}, "a replacement")
        os.kill(node, signal.SIGCONT)
        run.wait_for_output("2 users to restart")
        run.wait_for("worker 0 (2 users)")  # at its end a run has lost those that are yet to come
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0
        assert "lost" not in run.output


# Signals


def test_a_sigterm_to_all_processes_at_once_is_a_graceful_stop(
    scenario: Write, tmp_path: Path
) -> None:
    """As systemd does it, and whoever kills a process group."""
    terminates = scenario(PATIENT + '\n    def terminate():\n        print("terminated")\n')
    with running(terminates, "--users", "4", *FAST, directory=tmp_path) as run:
        run.wait_for_output("started 4")
        for pid in run.tree():
            os.kill(pid, signal.SIGTERM)
        assert run.end() == 0
        assert "terminated" in run.output
        assert run.summary()["users"]["finished"] == 4
        accounted_for(run)


def test_what_nohup_protects_goes_on_without_its_terminal(scenario: Write, tmp_path: Path) -> None:
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


def test_an_interrupt_is_heeded_while_the_embedded_server_comes_up(tmp_path: Path) -> None:
    one_to_one = ROOT / "scenarios" / "xmpp" / "one_to_one.py"
    with running(one_to_one, "--users", "2", directory=tmp_path) as run:
        hold(started_by(run, "xmppd"))  # by the first user that connects
        tree = set(run.tree())
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0  # the users are asked to stop, and need not wait for it
        eventually(lambda: not alive(tree), f"nothing is left of {tree}")


@pytest.fixture
def unread() -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_an_output_that_nobody_reads_does_not_keep_a_run_from_being_ended(
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
        run = Run.__new__(Run)  # only its view of the tree is wanted
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


def test_what_is_left_out_of_a_flood_at_the_end_is_said(scenario: Write, tmp_path: Path) -> None:
    floods = scenario("""
        def start(user_id):
            for number in range(20_000):
                print(f"line {number}")
    """)
    with running(floods, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        shown = run.output.count("line ")
        # Once a second, and a busy machine may need more than one.
        left_out = re.findall(r"([\d,]+) printed lines? left out", run.output)
        assert left_out
        counted = shown - run.output.count("printed line ")
        assert counted + sum(int(number.replace(",", "")) for number in left_out) == 20_000


def test_every_byte_that_is_printed_is_passed_on_however_it_was_cut(
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


def test_text_that_the_terminal_cannot_show_is_shown_as_well_as_can_be(
    scenario: Write, tmp_path: Path
) -> None:
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


# The place where it runs


def test_a_worker_without_a_free_descriptor_goes_on_beating(
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
            sleep(2.5)  # long enough for two looks at its own memory
    """)
    done = operator(
        *(uses_all, *ONCE, "--json", tmp_path / "s.json"),
        directory=tmp_path,
        shell='ulimit -n 200; exec "$@"',
    )
    assert done.returncode == 0
    assert "all in use" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_path_too_long_for_sockets_is_avoided(scenario: Write, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with running(scenario(PATIENT), *FAST, directory=tmp_path, TMPDIR=str(deep)) as run:
        run.wait_for_output("started 1")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0


def test_files_where_the_operator_stands_do_not_take_the_place_of_modules(
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


def test_programs_that_a_scenario_starts_see_the_operators_module_path(
    scenario: Write, tmp_path: Path
) -> None:
    shows = scenario("""
        import os

        def start(user_id):
            print("path is", os.environ.get("PYTHONPATH"))
    """)
    with running(shows, *ONCE, directory=tmp_path) as run:
        assert run.end() == 0
        assert f"path is {os.environ.get('PYTHONPATH')}\n" in run.output


def test_the_runs_own_failure_is_said_although_the_summary_cannot_be_written(
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


def test_a_link_to_the_summary_stays_a_link(scenario: Write, tmp_path: Path) -> None:
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
