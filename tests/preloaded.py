"""The command line without its start: each command is a fork of one process that has imported it.

For tests that look at what commands and runs do: of the CPU time of a short run, Python and its
imports are two thirds. How amoc starts is for other tests.
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
"""What commands import when they are called, but for what must find a patched standard library."""


def amoc(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command prints and ends with.

    Args:
        arguments: The command and its arguments.
        cwd: Where it is called.
        env: All of its environment; None means ours.
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
    """A command that runs, with as much of `subprocess.Popen` as tests need.

    Attributes:
        pid: Its process id.
        returncode: How it has ended, once somebody has asked.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: dict[str, str], stdout: Path, stderr: Path
    ) -> None:
        """Start it; what it prints goes to files, and there is nothing to read for it."""
        self.returncode: int | None = None
        self._server = _server("serve" if "serve" in arguments[:1] else "all others")
        for file in (stdout, stderr):
            file.write_bytes(b"")
        self.pid = _answer(self._server, [arguments, str(cwd), env, [str(stdout), str(stderr)]])
        self._pidfd = os.pidfd_open(self.pid)  # there until its end is asked for

    def poll(self) -> int | None:
        """How it has ended; None while it runs."""
        if self.returncode is None and select.select([self._pidfd], [], [], 0)[0]:
            os.close(self._pidfd)
            self.returncode = _answer(self._server, self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """How it ends, within so many seconds."""
        if self.returncode is None and not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def terminate(self) -> None:
        """Ask it to end, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


_asking = Lock()


def _answer(server: subprocess.Popen[bytes], asked: object) -> int:
    """What a server answers: to a command its process id, to such an id how it has ended."""
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
    """Start commands and answer for them until nobody asks."""
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
