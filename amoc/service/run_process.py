"""A run as a child of the server: ``amoc run`` in its own process tree."""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import gevent

from amoc.base.json_plain import JsonObject
from amoc.base.polling import poll
from amoc.results.run_directory import RunDirectory
from amoc.runtime.child import ChildProcess, start_module

KEPT_LINES = 200
POLL_S = 0.05
KILL_AFTER_S = 20.0
"""How long a run may take to end after it was asked to end at once."""


class RunProcess:
    """A process ``amoc run``, with a given run directory.

    Attributes:
        directory: The run's directory, which exists once the scenario is loaded.
        output: The last lines of its output.
        exit_code: Its exit code; None while it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        target: Path,
        settings: JsonObject,
        directory: Path,
        on_end: Callable[[], None],
    ) -> None:
        """Start the process.

        Args:
            command: ``run`` or ``replay``, and options.
            target: A scenario's file, or the directory of the run to repeat.
            settings: Values by name, sent through a pipe so that `ps` does not show them.
            directory: Directory for the run.
            on_end: Called when it has ended.
        """
        self.directory = RunDirectory(directory)
        self.output: deque[str] = deque(maxlen=KEPT_LINES)
        self.exit_code: int | None = None
        arguments = (
            *(str(os.getpid()), *command, "--set-json", "-"),
            *("--run-dir", str(directory), "--", str(target)),
        )
        self._child = ChildProcess(
            start_module("amoc.cli.child_main", arguments), self.output.append
        )
        self._child.write(json.dumps(settings).encode())
        self._child.close_lifeline()
        self._on_end = on_end
        self._watch = gevent.spawn(self._wait)

    @property
    def pid(self) -> int:
        """The process id of the run's controller."""
        return self._child.pid

    def _wait(self) -> None:
        while self._child.exit_status() is None:
            gevent.sleep(POLL_S)
        self.exit_code = self._child.end(0.0)
        self._on_end()

    def wait_started(self, timeout_s: float) -> bool:
        """Wait until users may start and the run takes commands. Return whether they may."""
        takes_commands = self.directory.control.exists
        poll(lambda: self.exit_code is not None or takes_commands(), timeout_s, POLL_S)
        has_ended_already = self.directory.summary.exists()
        return has_ended_already or (self.exit_code is None and takes_commands())

    def interrupt(self) -> None:
        """Send the signal of Ctrl-C: the first stops the run gracefully, the second at once."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self, graceful_s: float) -> None:
        """Stop the run gracefully, then at once, then kill it. Returns when it has ended."""
        for wait_s in (graceful_s, KILL_AFTER_S):
            self.interrupt()
            self._watch.join(wait_s)
            if self.exit_code is not None:
                return
        self._child.kill()
        self._watch.join()
