"""A run as a child of the server: ``amoc run`` in a process tree of its own."""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import gevent

from amoc.base.clock import S_NS, now_ns
from amoc.base.json_plain import JsonObject
from amoc.results.run_directory import RunDirectory
from amoc.runtime.child import ChildProcess, start_module

KEPT_LINES = 200
LOOK_S = 0.05
KILL_AFTER_S = 20.0
"""How long a run has that was asked to end at once."""


class RunProcess:
    """``amoc run``, started with its own directory.

    Attributes:
        directory: Where it writes; nothing is there before its scenario is loaded.
        output: The last lines that it printed.
        exit_code: How it ended; None while it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        target: Path,
        settings: JsonObject,
        directory: Path,
        on_end: Callable[[], None],
    ) -> None:
        """Start it.

        Args:
            command: ``run`` or ``replay``, and options.
            target: A scenario's file, or the directory of the run that is repeated.
            settings: Values by name; they go through a pipe, so `ps` does not show them.
            directory: Where it is to write.
            on_end: Called when it is over.
        """
        self.directory = RunDirectory(directory)
        self.output: deque[str] = deque(maxlen=KEPT_LINES)
        self.exit_code: int | None = None
        arguments = (
            *(str(os.getpid()), *command, "--set-json", "-"),
            *("--run-dir", str(directory), "--", str(target)),
        )
        self._child = ChildProcess(start_module("amoc.cli.below", arguments), self.output.append)
        self._child.write(json.dumps(settings).encode())
        self._child.close_lifeline()
        self._on_end = on_end
        self._watch = gevent.spawn(self._wait)

    @property
    def pid(self) -> int:
        """Of its controller."""
        return self._child.pid

    def _wait(self) -> None:
        while self._child.exit_status() is None:
            gevent.sleep(LOOK_S)
        self.exit_code = self._child.end(0.0)
        self._on_end()

    def begun(self, timeout_s: float) -> bool:
        """Wait until its users may start and it takes commands; whether they may."""
        give_up_ns = now_ns() + int(timeout_s * S_NS)
        while self.exit_code is None and now_ns() < give_up_ns:
            if self.directory.control.exists():
                return True
            gevent.sleep(LOOK_S)
        return self.directory.summary.exists()  # over already

    def interrupt(self) -> None:
        """As Ctrl-C does: the first stops it gracefully, the second at once."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def end(self, graceful_s: float) -> None:
        """Stop it gracefully, then at once, then kill it; it is over when this returns."""
        for wait_s in (graceful_s, KILL_AFTER_S):
            self.interrupt()
            self._watch.join(wait_s)
            if self.exit_code is not None:
                return
        self._child.kill()
        self._watch.join()
