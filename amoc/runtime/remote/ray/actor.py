"""What Ray runs on each host: it starts amoc's keeper there, and watches it.

Ray is sent this module's text, so it has to do with the standard library: where amoc is missing, it
is there to say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

MAX_LINES = 20
STAY_S = 5.0
"""How long an actor stays once its keeper has ended, so that the driver hears of that."""
NOT_FOUND = 127
"""The exit status of a command that is not there, as shells have it."""


class AmocNode:
    """Starts the keeper of this host.

    The keeper is a program of its own: Ray's processes have threads, which no fork copies. Its
    standard input is its lifeline, so it leaves when this process ends, however that ends.
    """

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None

    def niceness(self) -> int:
        """How nice this process is, and so will be what it starts: 0, where that can be had.

        Ray makes its processes nice, but a load generator that has to wait for others measures
        itself.
        """
        if os.getpriority(os.PRIO_PROCESS, 0) > 0:
            with suppress(OSError):  # it is not for everybody
                os.setpriority(os.PRIO_PROCESS, 0, 0)
        return os.getpriority(os.PRIO_PROCESS, 0)

    def run(self, amoc: str, options: list[str], secret: str) -> tuple[int, str, list[str]]:
        """Run a keeper until it ends.

        Args:
            amoc: A command that runs amoc; empty for the Python that this runs in.
            options: Of ``amoc``.
            secret: Of the run. It goes from process to process, and is no part of what Ray keeps.

        Returns:
            Its exit status, negative for a signal, what it was started with, and its last lines.
        """
        command = amoc.split() or [sys.executable, "-P", "-m", "amoc"]
        # What is Ray's own is not for scenarios; the cluster's token is among it.
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
        with suppress(BrokenPipeError):  # it has ended, and says why
            keeper.stdin.write(f"{secret}\n".encode())
            keeper.stdin.flush()
        self._keeper = keeper
        said: list[str] = []
        for line in keeper.stdout:
            text = line.decode(errors="replace").rstrip()
            print(text, flush=True)  # Ray streams it to the driver
            said = [*said, text][-MAX_LINES:]
        status = keeper.wait()
        # Where Ray's head is lost, nobody else ends this process.
        threading.Timer(STAY_S, os._exit, [0]).start()
        return status, command[0], said

    def stop(self, deadline_s: float) -> None:
        """Have the keeper leave, and wait for that; what does not leave is killed."""
        keeper = self._keeper
        if keeper is None or keeper.stdin is None:
            return
        with suppress(BrokenPipeError):
            keeper.stdin.close()
        try:
            keeper.wait(deadline_s)
        except subprocess.TimeoutExpired:
            keeper.kill()
