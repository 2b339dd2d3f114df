"""``amoc run`` in its own process tree, for callers without gevent.

It has its own process group, so only the caller receives Ctrl-C in a terminal or a notebook, and
then stops the run. If the caller dies, even by SIGKILL, the run stops gracefully
(`amoc.cli.child_main`).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from amoc.base.clock import S_NS, now_ns
from amoc.base.start_command import start_command
from amoc.base.text import LineSplitter

KEPT_LINES = 2_000
POLL_S = 1.0
GRACE_S = 60.0
"""How long an abandoned run may take to stop, beyond its own timeouts."""


class Ended(NamedTuple):
    """How a run's process has ended."""

    status: int
    """Its exit status, negative for a signal."""
    output: str
    """The last lines of its standard output."""
    errors: str
    """The last lines of its standard error."""
    interrupts: int
    """How often the caller was interrupted while waiting."""


class RunProcess:
    """An amoc command as a process that does not outlive this one."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
        text: str = "",
    ) -> None:
        """Start ``amoc arguments…``.

        Args:
            arguments: The command and its arguments.
            text: Content of its standard input.
            environment: Variables in addition to those of this process.
            on_line: Called with each line that it prints.
        """
        self._on_line = on_line or (lambda _: None)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._errors: deque[str] = deque(maxlen=KEPT_LINES)
        with tempfile.TemporaryFile() as given:  # has no name, so it never has to be cleaned up
            given.write(text.encode())
            given.seek(0)
            self._process = subprocess.Popen(
                start_command("amoc.cli.child_main", [str(os.getpid()), *arguments]),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **(environment or {})},
                process_group=0,
            )
        self.pid = self._process.pid

    def wait(self) -> Ended:
        """Wait for the end of the process. An interrupt stops it, and is counted.

        Other exceptions meanwhile, for example of `on_line`, stop the run and propagate.
        """
        interrupts = 0
        with selectors.DefaultSelector() as ready:
            pidfd = os.pidfd_open(self.pid)
            try:
                ready.register(pidfd, selectors.EVENT_READ)
                self._watch(ready)
                while True:
                    try:
                        self._read(ready, pidfd)
                        break
                    except KeyboardInterrupt:
                        interrupts += 1  # a second SIGINT stops the run at once
                        self._signal(signal.SIGINT if interrupts < 3 else signal.SIGKILL)
            except BaseException:
                self._abandon(ready, pidfd)
                raise
            finally:
                os.close(pidfd)
                self._close()
        return Ended(
            self._process.wait(), "\n".join(self._lines), "\n".join(self._errors), interrupts
        )

    def _watch(self, ready: selectors.BaseSelector) -> None:
        for stream, kept in (
            (self._process.stdout, self._lines),
            (self._process.stderr, self._errors),
        ):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            ready.register(stream.fileno(), selectors.EVENT_READ, (LineSplitter(), kept))

    def _read(
        self, ready: selectors.BaseSelector, pidfd: int, give_up_ns: int | None = None
    ) -> None:
        """Read output until the process has ended, then the rest in the pipes."""
        ended = False
        while not ended and (give_up_ns is None or now_ns() < give_up_ns):
            keys = [key for key, _ in ready.select(POLL_S)]
            ended = any(key.fd == pidfd for key in keys)
            for key in keys if not ended else list(ready.get_map().values()):
                if key.fd != pidfd:
                    self._take(ready, key, all_of_it=ended)

    def _take(
        self, ready: selectors.BaseSelector, key: selectors.SelectorKey, all_of_it: bool
    ) -> None:
        lines, kept = key.data
        while True:
            try:
                data = os.read(key.fd, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                ready.unregister(key.fd)
            for line in lines.feed(data):
                kept.append(line)
                self._on_line(line)
            if not (data and all_of_it):
                return

    def _abandon(self, ready: selectors.BaseSelector, pidfd: int) -> None:
        self._on_line = lambda _: None
        self._signal(signal.SIGTERM)
        with contextlib.suppress(BaseException):
            self._read(ready, pidfd, now_ns() + int(GRACE_S * S_NS))
        self._signal(signal.SIGKILL)

    def _signal(self, signum: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signum)

    def _close(self) -> None:
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
