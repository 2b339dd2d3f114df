"""Commands without their startup time: each is a fork of one process that has imported amoc.

For tests of what commands and runs do. Starting Python and its imports take two thirds of the CPU
time of a short run. The start itself is covered by other tests.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock

import setproctitle

from tests.rooms import ROOT

DEADLINE_S = 120.0
MODULES = (
    *("amoc.cli.check", "amoc.control.client"),
    *("amoc.runtime.in_process", "amoc.scenario.joined", "amoc.service.describe"),
    *("amoc.service.isolated_main", "amoc.steps.api", "amoc.users.run"),
    *("amoc.cli.signals", "amoc.cli.summary_file", "amoc.cli.view.shown_run"),
    *("amoc.results.report.page", "amoc.runtime.controller.controller", "amoc.runtime.launched"),
    *("amoc.cli.cluster", "amoc.cli.run_data", "amoc.cli.view.plain", "amoc.cli.view.summary"),
    *("amoc.results.export.junit", "amoc.runtime.controller.report_writer", "amoc.runtime.host"),
    *("amoc.runtime.local_launcher", "pydantic.main", "pydantic.type_adapter", "rich.ansi"),
)
"""Imports of commands, except those that require the patched standard library."""


def amoc(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command; return its output and exit code.

    Args:
        arguments: The command and its arguments.
        cwd: Its working directory.
        env: All of its environment variables; None means ours.
    """
    with tempfile.TemporaryDirectory(prefix="amoc-said-") as said:
        files = [Path(said, name) for name in ("stdout", "stderr")]
        command = Command(arguments, cwd, dict(os.environ) if env is None else env, *files)
        try:
            code = command.wait(DEADLINE_S)
        finally:
            command.kill()
        return subprocess.CompletedProcess(arguments, code, *(one.read_text() for one in files))


class Command:
    """A running command, with those parts of the API of `subprocess.Popen` that tests need.

    Attributes:
        pid: Its process id.
        returncode: Its exit code, once `poll` or `wait` has found that it has ended.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: dict[str, str], stdout: Path, stderr: Path
    ) -> None:
        """Start it with its output in files and an empty standard input."""
        self.returncode: int | None = None
        self._server = _server("serve" if "serve" in arguments[:1] else "all others")
        for file in (stdout, stderr):
            file.write_bytes(b"")
        self.pid = _answer(self._server, [arguments, str(cwd), env, [str(stdout), str(stderr)]])
        self._pidfd = os.pidfd_open(self.pid)  # there until its end is asked for

    def poll(self) -> int | None:
        """Return its exit code; None while it is running."""
        if self.returncode is None and select.select([self._pidfd], [], [], 0)[0]:
            os.close(self._pidfd)
            self.returncode = _answer(self._server, self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end for at most `timeout` seconds; return its exit code."""
        if self.returncode is None and not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def terminate(self) -> None:
        """Send SIGTERM if it is running."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL if it is running."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


_asking = Lock()


def _answer(server: subprocess.Popen[bytes], asked: object) -> int:
    """Return the response to a request: a process id for a command, an exit code for an id."""
    with _asking:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked).encode() + b"\n")
        server.stdin.flush()
        assert select.select([server.stdout], [], [], DEADLINE_S)[0], "it answers at once"
        return int(server.stdout.readline())


@cache
def _server(commands: str) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", commands],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(server.communicate)  # which has it end
    return server


def serve(commands: str) -> None:
    """Start commands, and serve requests about them, until all clients have left."""
    main = import_module("amoc.cli.main").main
    if commands == "serve":  # what that needs finds a patched standard library
        import_module("amoc.runtime.supervisor.monkey_patch").patch()
        import_module("amoc.service.main")
    else:
        for module in MODULES:
            import_module(module)
        assert "ssl" not in sys.modules
    setproctitle.getproctitle()  # which looks for its place: beside an environment that is our own
    gc.freeze()
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        if isinstance(asked, int):
            print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            sys.argv[1:], cwd, env, files = asked
            for fd, path in enumerate([os.devnull, *files]):
                opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
                os.dup2(opened, fd)
                os.close(opened)
            os.environ.clear()
            os.environ.update(env)
            os.chdir(cwd)
            sys.path[0] = cwd
            sys.argv[0] = "amoc"
            main()
            return
        print(child, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
