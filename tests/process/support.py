"""Runs amoc as an operator would, in separate processes, and inspects their tree."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from amoc.control import client
from amoc.results.run_directory import RunDirectory
from amoc.results.series import Point
from amoc.results.store.reader import StoredSeries
from tests.preloaded import Command

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0


def eventually(
    condition: Callable[[], Any], what: str | Callable[[], str], deadline_s: float = DEADLINE_S
) -> Any:
    """Wait until `condition` returns a true value, and return it; fail the test at the deadline.

    A callable `what` is called only then.
    """
    begun = time.monotonic()
    while True:
        result = condition()
        if result:
            return result
        waited_s = time.monotonic() - begun
        if waited_s > deadline_s:
            text = what if isinstance(what, str) else what()
            pytest.fail(f"not within {deadline_s:g} s: {text}")
        time.sleep(min(0.05, 0.01 + waited_s / 20))  # polling takes CPU from the process under test


def parents() -> dict[int, int]:
    """Return the parent of each process that is not a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _state(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def title(pid: int) -> str:
    """Return the title of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def alive(pids: set[int]) -> set[int]:
    """Return those of `pids` that still run."""
    return {pid for pid in pids if _state(pid)}


def parent(pid: int) -> int:
    """Return the parent of a process; 0 if the process has ended."""
    return int(fields[1]) if (fields := _state(pid)) else 0


def _state(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name; none if the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
    return fields if fields[0] != "Z" else []


def below(pid: int) -> set[int]:
    """Return a process and its descendants that run, without reading all of /proc."""
    found = alive({pid})
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has just ended
            for child in task.read_text().split():
                found |= below(int(child))
    return found


class Run:
    """A running ``amoc run``.

    Attributes:
        pid: The controller's process id.
        json: Path of the summary.
        directory: The run directory.
        temporary: Directory of its sockets; their paths must be short.
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
            # Python reads these variables only at its start, so it must be started with them.
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
        """Whether its socket directory exists."""
        return any(self.temporary.glob("amoc-*"))

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return self._output.read_text()

    @property
    def ended(self) -> bool:
        """Whether the controller has ended."""
        return self._process.poll() is not None

    def tree(self) -> dict[int, str]:
        """Return the controller and its descendants, with their titles."""
        return {pid: title(pid) for pid in below(self.pid)}

    def find(self, role: str) -> list[int]:
        """Return the processes of the tree whose title begins with ``amoc: role``.

        A process that was just forked still has its parent's title, and is left out.
        """
        titles = self.tree()
        return sorted(
            pid
            for pid, name in titles.items()
            if name.startswith(f"amoc: {role}") and titles.get(parent(pid)) != name
        )

    def wait_for(self, role: str, count: int = 1) -> list[int]:
        """Wait until there are `count` processes with a role, and return them."""

        def there() -> list[int]:
            if self.ended:
                pytest.fail(f"amoc ended with {self._process.returncode}:\n{self.output}")
            found = self.find(role)
            return found if len(found) >= count else []

        return eventually(there, lambda: f"{count} × {role}:\n{self.output}")

    def look(self, command: str) -> Any:
        """Send the run a command that only reads, without starting a process; return its answer."""
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

        eventually(printed, lambda: f"{text!r} printed; so far:\n{self.output}")

    def kill(self, pid: int, signum: int = signal.SIGKILL) -> None:
        """Send a signal to one process of the tree."""
        os.kill(pid, signum)

    def end(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the run to end, and return its exit status."""
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"amoc still runs after {deadline_s:g} s:\n{self.output}")

    def summary(self) -> Any:
        """Return the JSON summary."""
        return json.loads(self.json.read_text())

    def seconds(self) -> Sequence[Point]:
        """Return the seconds that it has written so far."""
        path = RunDirectory(self.directory).series
        return list(StoredSeries(path)) if path.exists() else []

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
    """Run ``amoc run`` with `arguments`; none of its processes outlives the block.

    Args:
        scenario: A file or a module.
        arguments: Options of the command.
        directory: The test's directory, for the output and the summary.
        run_directory: The run directory; None means ``run`` in `directory`.
        may_be_limited: Whether the test also passes if this machine, which may be busy, is too slow
            for the run.
        before: Code that the first process executes before anything else; its forks inherit the
            effect. None means a fork of `preloaded`'s process; otherwise amoc starts from scratch.
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
    """Run a test twice, with ``spread`` being the options of one node, then of three nodes.

    Args:
        on_one: The options of one node.
    """
    on_three = ("--cluster", "local:3", "--workers", "1")
    there = [on_one, pytest.param(on_three, marks=pytest.mark.once)]
    return pytest.mark.parametrize("spread", there, ids=["one node", "local:3"])


def lines(path: Path) -> list[str]:
    """Return the complete lines of a file that users append to; none if it does not exist yet."""
    return re.findall(r"(.*)\n", path.read_text()) if path.exists() else []
