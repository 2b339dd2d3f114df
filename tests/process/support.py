"""Runs amoc as an operator would, in processes of its own, and looks at the tree they form."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from amoc.control import client
from tests.preloaded import Command

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """What `condition` returns as soon as it is true; fails the test when it never is."""
    begun = time.monotonic()
    while True:
        result = condition()
        if result:
            return result
        waited_s = time.monotonic() - begun
        if waited_s > deadline_s:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(min(0.05, 0.01 + waited_s / 20))  # looks take CPU from what is waited for


def parents() -> dict[int, int]:
    """The parent of each process that is not a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _state(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def title(pid: int) -> str:
    """How the process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def alive(pids: set[int]) -> set[int]:
    """Those of `pids` that still run."""
    return {pid for pid in pids if _state(pid)}


def parent(pid: int) -> int:
    """The parent of a process; 0 if that has ended."""
    return int(fields[1]) if (fields := _state(pid)) else 0


def _state(pid: int) -> list[str]:
    """What the kernel says of a process behind its name; nothing where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
    return fields if fields[0] != "Z" else []


def below(pid: int) -> set[int]:
    """A process and those below it that run, without a look at all others there are."""
    found = alive({pid})
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            for child in task.read_text().split():
                found |= below(int(child))
    return found


class Run:
    """A running ``amoc run``.

    Attributes:
        pid: The controller's process id.
        json: Where the summary will be.
        directory: The run's own directory.
        temporary: Where it has its sockets; their paths must be short.
    """

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        run_directory: Path,
        env: dict[str, str],
        before: str | None = None,
    ) -> None:
        self.json = directory / "summary.json"
        self.directory = run_directory
        self.temporary = Path(tempfile.mkdtemp(prefix="amoc-test-"))
        self._output = directory / "output.txt"
        self._process = self._started(
            [*("run", *arguments, "--json", str(self.json)), *("--run-dir", str(self.directory))],
            {**os.environ, "TMPDIR": str(self.temporary), **env},
            # What Python reads when it starts has to be there by then.
            "" if before is None and any(name.startswith("PYTHON") for name in env) else before,
        )
        self.pid = self._process.pid

    def _started(
        self, arguments: list[str], env: dict[str, str], before: str | None
    ) -> Command | subprocess.Popen[bytes]:
        if before is None:
            return Command(arguments, ROOT, env, self._output, self._output)
        changed = f"{before}\nfrom amoc.cli.main import main\nmain()"
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *(("-c", changed) if before else ("-m", "amoc")), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=env,
            )

    @property
    def has_sockets(self) -> bool:
        """Whether it has a directory of sockets."""
        return any(self.temporary.glob("amoc-*"))

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._output.read_text()

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._process.poll() is not None

    def tree(self) -> dict[int, str]:
        """The processes below the controller and itself, with their titles."""
        return {pid: title(pid) for pid in below(self.pid)}

    def find(self, role: str) -> list[int]:
        """The processes of the tree whose title begins with ``amoc: role``.

        One that was forked right now still has that of its parent, and is none of them.
        """
        titles = self.tree()
        return sorted(
            pid
            for pid, name in titles.items()
            if name.startswith(f"amoc: {role}") and titles.get(parent(pid)) != name
        )

    def wait_for(self, role: str, count: int = 1) -> list[int]:
        """The processes with that role, once there are `count` of them."""

        def there() -> list[int]:
            if self.ended:
                pytest.fail(f"amoc ended with {self._process.returncode}:\n{self.output}")
            found = self.find(role)
            return found if len(found) >= count else []

        return eventually(there, f"{count} × {role}:\n{self.output}")

    def look(self, command: str) -> Any:
        """What the run answers to a command that only reads, without a process for each look."""
        return client.request(self.directory / "control", command, {})

    def wait_for_output(self, text: str) -> None:
        """Wait until `text` was printed."""

        def printed() -> bool:
            ended = self.ended
            if text in self.output:
                return True
            if ended:
                pytest.fail(f"amoc has ended and not printed {text!r}:\n{self.output}")
            return False

        eventually(printed, f"{text!r} printed; so far:\n{self.output}")

    def kill(self, pid: int, signum: int = signal.SIGKILL) -> None:
        """Send a signal to one process of the tree."""
        os.kill(pid, signum)

    def end(self, deadline_s: float = DEADLINE_S) -> int:
        """The exit status, once it has ended by itself."""
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"amoc still runs after {deadline_s:g} s:\n{self.output}")

    def summary(self) -> Any:
        """The JSON summary."""
        return json.loads(self.json.read_text())

    def clean_up(self) -> None:
        """End whatever the test left running."""
        tree = set(self.tree())
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pid in alive(tree):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.temporary)


@contextmanager
def running(
    scenario: str | Path,
    *arguments: str,
    directory: Path,
    run_directory: Path | None = None,
    may_be_limited: bool = True,
    before: str | None = None,
    **env: str,
) -> Iterator[Run]:
    """``amoc run`` with `arguments`; nothing of it outlives the block.

    Args:
        scenario: A file or a module.
        arguments: Options of the command.
        directory: Of the test, for what is printed and the summary.
        run_directory: The run's own; None means ``run`` in `directory`.
        may_be_limited: Whether it is as good when this machine, which has other things to do, is
            too slow for it.
        before: Code that its processes, which are forks of one, have executed before all else.
            None means that they are forks of `preloaded`'s; all others start as people start amoc.
        env: Environment variables.
    """
    options = ["--limited-ok"] if may_be_limited else []
    run = Run(
        [str(scenario), *arguments, *options],
        directory,
        run_directory or directory / "run",
        env,
        before,
    )
    try:
        yield run
    finally:
        run.clean_up()


def also_over_nodes(*on_one: str) -> pytest.MarkDecorator:
    """Have a test run with the options ``spread``: those of one node, and of three.

    Args:
        on_one: Of one node.
    """
    on_three = ("--cluster", "local:3", "--workers", "1")
    there = [on_one, pytest.param(on_three, marks=pytest.mark.once)]
    return pytest.mark.parametrize("spread", there, ids=["one node", "local:3"])


def lines(path: Path) -> list[str]:
    """The lines of a file that users append to; none when it is not there yet."""
    return re.findall(r"(.*)\n", path.read_text()) if path.exists() else []
