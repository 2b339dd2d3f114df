"""Commands to real runs: from other shells, from the terminal, and repeated by a replay."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from amoc.results.journal import read
from tests import preloaded
from tests.process.support import DEADLINE_S, ROOT, Run, also_over_nodes, eventually, lines, running

pytestmark = pytest.mark.slow

STAYERS = """
    import os
    from amoc import setting, user
    pause = setting(0.02, "Seconds between looks", verify=lambda s: s > 0, update="free")
    fixed = setting(1, "What cannot change")

    def start(user_id):
        with open(os.path.join(HERE, "ids"), "a") as file:
            file.write(f"{user_id}\\n")
        while not user.stopping:
            user.wait_stopping(pause.get())
"""
FAST = ("--set", "user_rate=inf", "--set", "repeat_num=1")


def amoc(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return preloaded.amoc(*arguments, cwd=cwd)


class Controlled:
    """A run, and a shell that sends it commands."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self.directory = directory

    def say(self, *arguments: str, code: int | None = 0) -> str:
        """Send a command and return its output; with `code` None, it must fail."""
        done = amoc(*arguments, "--run", str(self.directory), cwd=self.directory.parent)
        as_expected = done.returncode == code if code is not None else done.returncode != 0
        assert as_expected, (arguments, done.stdout, done.stderr, self.run.output)
        return done.stdout + done.stderr

    def ask(self, *arguments: str) -> Any:
        """Send a command and return its JSON answer."""
        return json.loads(self.say(*arguments, "--json"))

    def wait_for_users(self, count: int) -> None:
        """Wait until that many users run."""
        eventually(
            lambda: self.run.look("status")["users"]["running"] == count,
            f"{count} users: {self.run.output}",
        )

    def wait_until_none_is_pending(self) -> None:
        """Wait until no user is pending: one that is when the run ends counts as lost."""
        eventually(
            lambda: self.run.look("users")["waiting"] == 0, f"none is pending: {self.run.output}"
        )

    def journal(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the journal's entries of these kinds."""
        entries = read(self.directory / "journal.jsonl")
        return [one for one in entries if one["kind"] in kinds]


@contextmanager
def controlled(
    scenario: Path, *arguments: str, directory: Path, before: str | None = None
) -> Iterator[Controlled]:
    own = directory / "run"
    with running(scenario, *arguments, directory=directory, before=before) as run:
        eventually((own / "control").exists, f"a control socket: {run.output}")
        yield Controlled(run, own)


@pytest.fixture
def stayers(scenario: Callable[[str], Path]) -> Path:
    return scenario(STAYERS)


def test_users_are_added_and_removed_during_the_run(stayers, tmp_path):
    with controlled(stayers, "--users", "10", *FAST, directory=tmp_path) as it:
        it.wait_for_users(10)
        answer = it.ask("add", "6", "--comment", "the second wave")
        assert (answer["first_id"], answer["last_id"]) == (11, 16)
        assert all(re.fullmatch(r"node0/\d+", one["worker"]) for one in answer["workers"])
        it.wait_for_users(16)
        it.say("remove", "4")
        it.wait_for_users(12)
        it.say("remove", "2", "--force")
        it.wait_for_users(10)
        assert it.ask("users")["highest_id"] == 16
        it.say("stop", "--comment", "enough")
        assert it.run.end() == ExitCode.OK
        assert sorted(map(int, lines(tmp_path / "ids"))) == list(range(1, 17))
        found = [(one["name"], one["outcome"], one["comment"]) for one in it.journal("command")]
        assert found == [
            ("add", "ok", "the second wave"),
            ("remove", "ok", ""),
            ("remove", "ok", ""),
            ("stop", "ok", "enough"),
        ]
        (end,) = it.journal("end")
        assert (end["verdict"], end["exit_code"]) == ("stopped", 0)
        assert not (it.directory / "control").exists()


def test_status_and_users_reflect_a_command_as_soon_as_it_is_answered(stayers, tmp_path):
    with controlled(stayers, "--users", "10", *FAST, directory=tmp_path) as it:
        it.wait_for_users(10)
        for left in (8, 6, 4, 2):
            assert it.ask("remove", "2", "--force")["killed"] == 2
            users = it.ask("status")["users"]
            assert (users["running"], users["removed"]) == (left, 10 - left)
            assert it.ask("users")["alive"] == left
        it.say("set", "user_rate=0")
        it.say("add", "5")
        assert it.ask("status")["users"]["waiting"] == 5
        assert it.ask("users")["waiting"] == 5


def test_a_start_rate_of_0_holds_all_starts_until_it_is_raised(stayers, tmp_path):
    held = ("--users", "10", "--set", "user_rate=0", "--set", "repeat_num=1")
    with controlled(stayers, *held, directory=tmp_path) as it:
        eventually(lambda: it.run.look("status")["elapsed_s"] > 1.0, "it goes on without users")
        assert it.ask("status")["users"]["waiting"] == 10
        it.say("set", "user_rate=inf")
        it.wait_for_users(10)
        it.say("set", "user_rate=0")
        it.say("add", "3")
        assert it.ask("users")["waiting"] == 3
        it.say("set", "user_rate=inf")
        it.wait_for_users(13)


def test_a_run_with_a_duration_starts_and_continues_without_users(stayers, tmp_path):
    with controlled(stayers, "--users", "0", "--duration", "1h", *FAST, directory=tmp_path) as it:
        assert it.ask("users")["alive"] == 0
        it.say("add", "3")
        it.wait_for_users(3)
        it.say("remove", "3")
        it.wait_for_users(0)
        answer = it.ask("add", "--ids", "101-105")
        assert (answer["first_id"], answer["last_id"]) == (101, 105)
        it.wait_for_users(5)
        refused = it.say("add", "--ids", "3-10", code=ExitCode.USAGE)
        assert refused == "amoc: ids of add must be new, got user 3 again\n"
        removed = it.ask("remove", "--ids", "102-104", "--force")
        assert removed["killed"] == 3
        it.wait_for_users(2)
        assert it.ask("remove", "--ids", "104-200")["asked"] == 1
        it.wait_for_users(1)
        assert it.ask("add", "1")["first_id"] == 106
        it.say("stop")
        assert it.run.end() == ExitCode.OK
        assert sorted(map(int, lines(tmp_path / "ids"))) == [1, 2, 3, *range(101, 107)]
        users = it.run.summary()["users"]
        assert (users["started"], users["removed"], users["finished"]) == (9, 7, 2)


def test_a_run_without_a_duration_ends_when_it_has_no_users(stayers, tmp_path):
    with running(stayers, "--users", "0", *FAST, directory=tmp_path) as run:
        assert run.end() == ExitCode.OK
        assert run.summary()["users"]["started"] == 0


def test_a_run_lasts_its_duration_though_all_users_have_finished(scenario, tmp_path):
    quick = scenario("def start(user_id): pass")
    with running(quick, "--users", "5", "--duration", "1.5s", *FAST, directory=tmp_path) as run:
        assert run.end() == ExitCode.OK
        summary = run.summary()
        assert summary["users"]["finished"] == 5
        assert summary["run"]["duration_s"] >= 1.5


@also_over_nodes()
def test_settings_change_on_all_workers_or_on_none(stayers, tmp_path, spread):
    with controlled(stayers, "--users", "4", *FAST, *spread, directory=tmp_path) as it:
        it.wait_for_users(4)
        answer = it.ask("set", "pause=0.05")
        assert len(answer["workers"]) >= 1
        refused = it.say("set", "pause=-1", "fixed=2", "nothing=3", code=ExitCode.SETTING)
        assert all(line.startswith("amoc: ") for line in refused.splitlines())
        for name in ("pause", "fixed", "nothing"):
            assert name in refused
        it.say("set", "pause=soon", code=ExitCode.SETTING)
        outcomes = [one["outcome"] for one in it.journal("command")]
        assert outcomes == ["ok", "refused", "refused"]
        it.say("stop")
        assert it.run.end() == ExitCode.OK


@also_over_nodes()
def test_a_run_is_paused_and_resumed(stayers, tmp_path, spread):
    with controlled(stayers, "--users", "4", *FAST, *spread, directory=tmp_path) as it:
        it.wait_for_users(4)
        assert "paused" in it.say("pause")
        assert it.ask("status")["state"] == "paused"
        assert "a run that is paused cannot pause" in it.say("pause", code=None)
        it.say("resume", "--comment", "again")
        assert it.ask("status")["state"] == "running"
        it.say("note", "all", "is", "well")
        it.say("stop")
        assert it.run.end() == ExitCode.OK
        names = [(one["name"], one["outcome"]) for one in it.journal("command")]
        assert names == [
            *(("pause", "ok"), ("pause", "refused"), ("resume", "ok"), ("note", "ok")),
            ("stop", "ok"),
        ]


def test_a_paused_run_can_be_stopped(stayers, tmp_path):
    with controlled(stayers, "--users", "4", *FAST, directory=tmp_path) as it:
        it.wait_for_users(4)
        it.say("pause")
        it.say("stop")
        assert it.run.end() == ExitCode.OK


def test_a_killed_run_counts_as_not_running_though_its_socket_exists(stayers, tmp_path):
    with controlled(stayers, "--users", "2", *FAST, directory=tmp_path) as it:
        it.wait_for_users(2)
        it.run.kill(it.run.pid, signal.SIGKILL)
        assert it.run.end() == -signal.SIGKILL
        assert (it.directory / "control").exists()
        said = it.say("status", code=ExitCode.USAGE)
        assert said == f"amoc: run {it.directory} is not running: it does not answer\n"
        assert [one["kind"] for one in it.journal("run", "end")] == ["run"]


def test_a_run_that_never_started_leaves_no_directory(tmp_path, scenario):
    broken = scenario("def init(): raise ValueError('no')\ndef start(user_id): pass\n")
    done = amoc("run", str(broken), cwd=tmp_path)
    assert done.returncode == ExitCode.INIT_FAILED
    assert not (tmp_path / "amoc-runs").exists()


def test_commands_find_the_only_run_in_the_working_directory(tmp_path, stayers):
    process = subprocess.Popen(
        [sys.executable, "-m", "amoc", "run", str(stayers), "--users", "2", *FAST],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: list(tmp_path.glob("amoc-runs/*/control")), "a control socket")
        (directory,) = (tmp_path / "amoc-runs").iterdir()
        assert re.fullmatch(r"\d{8}T\d{6}-trial", directory.name)
        assert directory.stat().st_mode & 0o777 == 0o700
        status = json.loads(amoc("status", "--json", cwd=tmp_path).stdout)
        for name in (directory.name, status["id"]):
            assert amoc("status", "--run", name, cwd=tmp_path).returncode == 0
        assert amoc("stop", cwd=tmp_path).returncode == 0
        assert process.wait(DEADLINE_S) == ExitCode.OK
        assert amoc("status", cwd=tmp_path).returncode == ExitCode.USAGE
    finally:
        process.kill()
        process.wait()


def test_stages_start_and_remove_users_on_time(stayers, tmp_path):
    stages = ("--stages", "1s:20, 300ms:20, 0s:5, 1s:5")
    with controlled(stayers, *stages, *FAST, directory=tmp_path) as it:
        assert it.run.end() == ExitCode.OK
        assert sorted(map(int, lines(tmp_path / "ids"))) == list(range(1, 21))
        assert it.run.summary()["users"]["removed"] == 15
        assert it.run.summary()["run"]["verdict"] == "no criteria"


def test_a_replay_has_the_same_users_and_commands(stayers, tmp_path):
    options = ("--users", "6", "--seed", "5", "--workers", "2", "--set", "pause=0.03", *FAST)
    with controlled(stayers, *options, directory=tmp_path) as it:
        it.wait_for_users(6)
        it.say("add", "3", "--comment", "more")
        it.wait_for_users(9)
        it.say("set", "pause=0.01")
        it.say("remove", "1")
        it.wait_for_users(8)
        it.say("stop")
        assert it.run.end() == ExitCode.OK
    first_ids = sorted(map(int, lines(tmp_path / "ids")))
    (tmp_path / "ids").unlink()
    (plan,) = it.journal("run")
    done = amoc("replay", str(it.directory), "--run-dir", "again", cwd=tmp_path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    again = Controlled(it.run, tmp_path / "again")
    assert sorted(map(int, lines(tmp_path / "ids"))) == first_ids == list(range(1, 10))
    before, after = it.journal("command"), again.journal("command")
    assert [(one["name"], one["arguments"]) for one in after] == [
        (one["name"], one["arguments"]) for one in before
    ]
    assert {one["source"] for one in after} == {"replay"}
    assert all(mine["t_s"] >= his["t_s"] for mine, his in zip(after, before, strict=True))
    (planned,) = again.journal("run")
    for field in ("users", "seed", "stages", "rates", "duration_s"):
        assert planned["plan"][field] == plan["plan"][field]
    assert planned["workers"] == plan["workers"] == 2
    values = {one["name"]: one["value"] for one in planned["settings"]}
    assert values["pause"] == "0.03"
    shown = amoc("replay", "again", "--plan", cwd=tmp_path).stdout
    for text in ("6 users, 1 to 6", "add", "remove", "pause", "0.03", "trial.py"):
        assert text in shown
    assert not (tmp_path / "amoc-runs").exists()


def test_secrets_are_in_no_file_of_the_run_and_a_replay_asks_for_them(tmp_path, scenario):
    file = scenario(
        """
        from amoc import setting
        api_token = setting("", "What opens the door", update="free")
        def start(user_id):
            if api_token.get() != "s3cret": raise ValueError("the wrong one")
        """
    )
    options = ("--users", "1", *FAST, "--set", "api_token=s3cret")
    own = tmp_path / "run"
    with running(file, *options, "--run-dir", str(own), directory=tmp_path) as run:
        assert run.end() == ExitCode.OK
        assert run.summary()["users"]["crashed"] == 0
    left = [path for path in own.rglob("*") if path.is_file()]
    assert {"journal.jsonl", "summary.json", "report.html", "worker-0.jsonl"} <= {
        path.name for path in left
    }
    for path in left:
        assert b"s3cret" not in path.read_bytes()
    done = amoc("replay", str(own), cwd=tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert "AMOC_API_TOKEN or --set-from-file api_token=FILE" in done.stderr
    again = ("--set", "api_token=s3cret", "--json", "again.json")
    done = amoc("replay", str(own), *again, cwd=tmp_path)
    assert done.returncode == ExitCode.OK
    assert json.loads((tmp_path / "again.json").read_text())["users"]["crashed"] == 0


# The terminal


class Terminal:
    """A run in its own pseudo-terminal, and the keys typed there."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, b"\x28\x00\xa0\x00\x00\x00\x00\x00")
        self.before = termios.tcgetattr(self.slave)
        self.text = ""

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=lead,  # noqa: PLW1509 - there is one thread
        )

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until `text` appears in output that no earlier call has consumed."""
        give_up = time.monotonic() + DEADLINE_S
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)
            if text in plain:
                self.text = ""
                return
            if time.monotonic() > give_up:
                pytest.fail(f"{text!r} is not shown, but {plain[-3000:]}")
            self._look()

    def _look(self) -> None:
        ready, _, _ = select.select([self._master], [], [], 0.05)
        if ready:
            self.text += os.read(self._master, 65536).decode(errors="replace")

    def end(self) -> int:
        """Wait for the exit status, reading output meanwhile so that the process cannot block."""
        give_up = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < give_up, self.text[-3000:]
            self._look()
        return self.process.returncode

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)  # sends SIGHUP to anything else that runs there
        os.close(self.slave)


AMOC_RUN = (sys.executable, "-m", "amoc", "run")


@contextmanager
def terminal(*arguments: str, cwd: Path, command: tuple[str, ...] = AMOC_RUN) -> Iterator[Terminal]:
    one = Terminal(*command, *arguments, cwd=cwd)
    try:
        yield one
    finally:
        one.clean_up()


def test_keys_control_a_run(stayers, tmp_path):
    with terminal(str(stayers), "--users", "10", *FAST, cwd=tmp_path) as it:
        it.wait_for("10 running")
        it.type("p")
        it.wait_for("the run is paused")
        it.type("p")
        it.wait_for("the run is resumed")
        it.type("+")
        it.wait_for("11 running")
        it.type("-")
        it.wait_for("10 running")
        it.type("?")
        it.wait_for("amoc add 100")
        it.type("q")
        assert it.end() == ExitCode.OK
        assert it.restored()
        (directory,) = (tmp_path / "amoc-runs").iterdir()
        entries = [one for one in read(directory / "journal.jsonl") if one["kind"] == "command"]
        assert [one["name"] for one in entries] == [*("pause", "resume", "add", "remove", "stop")]
        assert {one["source"] for one in entries} == {"terminal"}


def test_a_second_interrupt_restores_the_terminal(tmp_path, scenario):
    stubborn = scenario(
        """
        from amoc import sleep
        def start(user_id):
            while True:
                sleep(0.1)
        """
    )
    with terminal(str(stubborn), "--users", "3", *FAST, cwd=tmp_path) as it:
        it.wait_for("3 running")
        assert not it.restored()
        it.type("\x03")
        it.wait_for("again to stop at once")
        it.type("\x03")
        assert it.end() == ExitCode.INTERRUPTED
        assert it.restored()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash, for its job control")
def test_a_suspended_run_restores_the_terminal_and_takes_it_again(stayers, tmp_path):
    shell = ("bash", "--norc", "--noprofile", "-i")
    with terminal(command=shell, cwd=tmp_path) as it:
        # By its name alone, or a long path could wrap the line that the end is recognised by.
        it.type(shlex.join([*AMOC_RUN, stayers.name, "--users", "3", *FAST]) + "\r")
        it.wait_for("3 running")
        it.type("\x1a")
        it.wait_for("Stopped")
        it.type("echo modes $(stty -a | tr ' ' '\\n' | grep -cx -e icanon -e echo)\r")
        it.wait_for("modes 2")
        it.type("bg; sleep 0\r")
        it.wait_for("3 running")
        it.type("fg\r")
        it.wait_for("? help")
        it.type("s")
        it.wait_for("users: 3 running")
        it.type("q")
        it.wait_for("verdict stopped")
        it.type("exit\r")
        it.end()


def test_ctrl_z_without_a_job_control_shell_does_no_harm(stayers, tmp_path):
    with terminal(str(stayers), "--users", "3", *FAST, cwd=tmp_path) as it:
        it.wait_for("3 running")
        it.type("\x1as")
        it.wait_for("users: 3 running")
        it.type("q")
        assert it.end() == ExitCode.OK
        assert it.restored()


def test_a_failing_run_restores_the_terminal(stayers, tmp_path):
    with terminal(str(stayers), "--users", "3", *FAST, cwd=tmp_path) as it:
        it.wait_for("3 running")
        os.kill(int(_child_of(it.process.pid)), signal.SIGKILL)
        assert it.end() == ExitCode.NODE_LOST
        assert it.restored()


def _child_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
