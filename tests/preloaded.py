"""The command line without its start: each command is a fork of one process that has imported it.

For tests that look at what many commands do: of half a second that a process of its own takes,
Python and its imports are two thirds. How amoc starts is for other tests.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.rooms import ROOT

DEADLINE_S = 120.0
MODULES = (
    *("amoc.cli.check", "amoc.cli.view.dependency_table", "amoc.control.client"),
    *("amoc.runtime.in_process", "amoc.scenario.joined", "amoc.service.describe"),
    *("amoc.service.isolated_main", "amoc.steps.api", "amoc.users.run"),
)
"""What commands import when they are called, but for what must find a patched standard library."""


def amoc(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command prints and ends with; one at a time.

    Args:
        arguments: The command and its arguments.
        cwd: Where it is called.
        env: All of its environment; None means ours.
    """
    with tempfile.TemporaryDirectory(prefix="amoc-said-") as said:
        files = [Path(said, name) for name in ("stdout", "stderr")]
        asked = [arguments, str(cwd), dict(env or os.environ), [str(one) for one in files]]
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked).encode() + b"\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], DEADLINE_S)[0]:
            server.kill()
            _server.cache_clear()
            raise subprocess.TimeoutExpired(arguments, DEADLINE_S)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(one.read_text() for one in files))


@cache
def _server() -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(server.communicate)  # which has it end
    return server


def serve() -> None:
    """Answer with the exit codes of the commands that are asked for, until nobody asks."""
    main = import_module("amoc.cli.main").main
    for module in MODULES:
        import_module(module)
    assert "ssl" not in sys.modules
    while line := sys.stdin.buffer.readline():
        child = os.fork()
        if not child:
            sys.argv[1:], cwd, env, files = json.loads(line)
            for fd, path in enumerate([os.devnull, *files]):
                opened = os.open(path, os.O_RDWR | os.O_CREAT)
                os.dup2(opened, fd)
                os.close(opened)
            os.environ.clear()
            os.environ.update(env)
            os.chdir(cwd)
            sys.path[0] = cwd
            sys.argv[0] = "amoc"
            main()
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
