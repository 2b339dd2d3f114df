"""The code that Ray runs on each host: it starts amoc's keeper there, and watches it.

Ray receives the text of this module, so it may only use the standard library: if amoc is not
installed on a host, this code reports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

MAX_LINES = 20
STAY_S = 5.0
"""How long an actor stays after its keeper has ended, so that the driver learns of that."""
NOT_FOUND = 127
"""The exit status of shells for a command that does not exist."""


class AmocNode:
    """Starts the keeper of this host.

    The keeper is a separate program, because Ray's processes have threads, which a fork does not
    copy. Its standard input is its lifeline, so it exits when this process ends in any way.
    """

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None

    def niceness(self) -> int:
        """Return the niceness of this process and its children: 0 if that is permitted.

        Ray raises the niceness of its processes, but a load generator that has to wait for other
        processes measures itself.
        """
        if os.getpriority(os.PRIO_PROCESS, 0) > 0:
            with suppress(OSError):  # not permitted
                os.setpriority(os.PRIO_PROCESS, 0, 0)
        return os.getpriority(os.PRIO_PROCESS, 0)

    def run(self, amoc: str, options: list[str], secret: str) -> tuple[int, str, list[str]]:
        """Run a keeper until it ends.

        Args:
            amoc: The command that runs amoc; empty for the Python that runs this.
            options: Options of ``amoc``.
            secret: The run's secret. It is passed between processes, and not stored by Ray.

        Returns:
            Its exit status, negative for a signal, the command that started it, its last lines.
        """
        command = amoc.split() or [sys.executable, "-P", "-m", "amoc"]
        # Ray's own variables are not for scenarios; the cluster's token is among them.
        env = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
        try:
            keeper = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
            )
        except OSError as error:
            return NOT_FOUND, command[0], [f"{command[0]}: {error.strerror}"]
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and its output tells why
            keeper.stdin.write(f"{secret}\n".encode())
            keeper.stdin.flush()
        self._keeper = keeper
        said: list[str] = []
        for line in keeper.stdout:
            text = line.decode(errors="replace").rstrip()
            print(text, flush=True)  # Ray streams it to the driver
            said = [*said, text][-MAX_LINES:]
        status = keeper.wait()
        # If Ray's head is lost, nothing else ends this process.
        threading.Timer(STAY_S, os._exit, [0]).start()
        return status, command[0], said

    def stop(self, deadline_s: float) -> None:
        """Stop the keeper and wait for it; after the deadline it is killed."""
        keeper = self._keeper
        if keeper is None or keeper.stdin is None:
            return
        with suppress(BrokenPipeError):
            keeper.stdin.close()
        try:
            keeper.wait(deadline_s)
        except subprocess.TimeoutExpired:
            keeper.kill()
