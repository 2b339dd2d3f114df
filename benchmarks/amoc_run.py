"""Run ``amoc run`` as an operator does, for programs that measure it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amoc.base.errors import ExitCode
from benchmarks import outcome
from benchmarks.processes import cpu_s, family

HERE = Path(__file__).resolve().parent
DIRECTORY = "BENCHMARK_DIRECTORY"
"""Environment variable that tells a scenario where to write files."""
BEGIN = "begin"
"""File there in which the scenario writes when its users begin, on the monotonic clock."""
START_S = 120.0
"""Time limit for all users to start."""
END_S = 120.0
"""Time limit for a run to end once everything is measured."""
_LOOK_S = 0.005


class AmocRun:
    """A run that has been started.

    Attributes:
        process: The controller's process.
        directory: Where the run and its scenario write; removed at the end.
        started: When the command was started, on the monotonic clock.
    """

    def __init__(self, command: list[str], directory: Path) -> None:
        self.directory = directory
        self._output = directory / "output"
        self._summary = directory / "summary.json"
        self.started = time.monotonic()
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "--json", str(self._summary), "--run-dir", str(directory / "run")],
                cwd=HERE.parent,
                env={**os.environ, DIRECTORY: str(directory)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, pattern: str, count: int, seconds: float) -> bool:
        """Wait until `count` files match `pattern` in the directory; return whether they do."""
        give_up = time.monotonic() + seconds
        while len(list(self.directory.glob(pattern))) < count:
            if self.process.poll() is not None or time.monotonic() > give_up:
                self._fail(f"had made {pattern} less than {count} times")
                return False
            time.sleep(_LOOK_S)
        return True

    def wait_for_begin(self) -> float:
        """Wait until all users have started; return when they begin, on the monotonic clock.

        Raises:
            SystemExit: They did not start.
        """
        if not self.wait_for(BEGIN, 1, START_S):
            sys.exit(outcome.Exit.FAILED)
        return float((self.directory / BEGIN).read_text())

    def cpu_between(self, begin: float, end: float) -> dict[str, float]:
        """Return the CPU seconds of each of its processes between two moments, by role."""
        time.sleep(max(0.0, begin - time.monotonic()))
        roles = family(self.process.pid)
        before = {pid: cpu_s(pid) for pid in roles}
        time.sleep(max(0.0, end - time.monotonic()))
        used = defaultdict[str, float](float)
        for pid, role in roles.items():
            used[role] += cpu_s(pid) - before[pid]
        return dict(used)

    def finish(self, stop: bool = False) -> dict[str, Any]:
        """Wait until it ends, or stop it. Return its summary. Users that raised fail the program.

        Raises:
            SystemExit: It left no summary.
        """
        if stop:
            self.process.terminate()
        try:
            code = self.process.wait(END_S)
            summary = json.loads(self._summary.read_text())
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            outcome.failed(
                f"the run left no summary, {error!r}:\n{self._output.read_text()[-3000:]}"
            )
            sys.exit(outcome.Exit.FAILED)
        if code == ExitCode.GENERATOR_LIMITED:
            outcome.missed("amoc reports that it was too slow itself")
        elif code:
            self._fail(f"ended with code {code}")
        outcome.check_users(summary)
        return summary

    def _fail(self, text: str) -> None:
        outcome.failed(f"the run {text}:\n{self._output.read_text()[-3000:]}")


@contextmanager
def amoc_run(
    scenario: Path, users: int, workers: int, settings: Mapping[str, object], *options: str
) -> Iterator[AmocRun]:
    """Run a scenario. Kill whatever is left of it at the end."""
    command = [sys.executable, "-m", "amoc", "run", str(scenario)]
    command += ["--users", str(users), "--workers", str(workers), *options]
    for name, value in {"user_rate": "infinity", **settings}.items():
        command += ["--set", f"{name}={value}"]
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as directory:
        run = AmocRun(command, Path(directory))
        try:
            yield run
        finally:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
