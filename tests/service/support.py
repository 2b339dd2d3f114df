"""A daemon as an operator starts it, and a client of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.preloaded import Command
from tests.process.support import DEADLINE_S, ROOT, alive, below, eventually

STAYERS = '''
"""Users that stay until they are asked to leave."""

from amoc import metrics, setting, throttle, user

pause = setting(0.02, "Seconds between looks", verify=lambda s: s > 0, update="free")
mode = setting("calm", "How", verify=["calm", "wild"])
password = setting("xyzzy", "Of nobody")


def init():
    throttle.start("looks", 1000, 1.0)


def start(user_id):
    while not user.stopping:
        metrics.counter("looks").inc()
        user.wait_stopping(pause.get())
'''


class Answer(NamedTuple):
    """What a request was answered with."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Daemon:
    """A running ``amoc serve``.

    Attributes:
        pid: The daemon's process id.
        directory: Where it was started: ``scenarios/stayers.py`` is there.
        url: Where it listens.
    """

    def __init__(self, directory: Path, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        self.directory = directory
        scenarios = directory / "scenarios"
        scenarios.mkdir(exist_ok=True)
        (scenarios / "stayers.py").write_text(textwrap.dedent(STAYERS))
        self.temporary = Path(tempfile.mkdtemp(prefix="amoc-test-"))
        self._output = directory / "serve.txt"
        self._process = Command(
            ["serve", "--listen", "0", *arguments],
            directory,
            {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(self.temporary),
                "AMOC_USER_RATE": "inf",
                **env,
            },
            self._output,
            self._output,
        )
        self.pid = self._process.pid
        self.url = ""

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._output.read_text()

    @property
    def runs(self) -> Path:
        """Where its runs have their directories."""
        return self.directory / "amoc-runs"

    def listening(self) -> None:
        """Wait until it takes requests."""

        def there() -> re.Match[str] | None:
            if self._process.poll() is not None:
                pytest.fail(f"amoc serve ended with {self._process.returncode}:\n{self.output}")
            return re.search(r"amoc serves (https?://\S+)", self.output)

        self.url = eventually(there, "the daemon listens")[1]

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it."""
        where = urlsplit(self.url)
        assert where.hostname is not None
        return http.client.HTTPConnection(where.hostname, where.port, timeout=DEADLINE_S)

    def request(
        self, method: str, path: str, body: Any = None, data: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request; `body` goes as JSON, `data` as it is; `_` in names of headers is `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        line = self.connection()
        try:
            line.request(method, path, data, sent)
            answer = line.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            line.close()

    def get(self, path: str) -> Any:
        """The JSON at a path, which must be there."""
        answer = self.request("GET", path)
        assert answer.status == 200, (path, answer.status, answer.data[:2000])
        return answer.json

    def patch(self, path: str, body: Any = None, status: int = 200) -> Any:
        """What a PATCH answers, which must have that status."""
        answer = self.request("PATCH", path, body)
        assert answer.status == status, (path, answer.status, answer.data[:2000], self.output)
        return answer.json

    def start(self, scenario: str = "stayers", **body: Any) -> str:
        """Start a run; its id, once its users run."""
        run = str(
            self.patch("/execution/start", {"scenario": scenario, "workers": 1, **body})["run"]
        )
        self.wait_for_state(run, "running")
        return run

    def status_of(self, run: str) -> Any:
        """How a run that runs is; None where it takes no commands."""
        return next((one for one in self.get("/status")["runs"] if one["run"] == run), None)

    def wait_for_state(self, run: str, state: str) -> None:
        """Wait until a run takes commands and is in a state."""
        eventually(
            lambda: (found := self.status_of(run)) is not None and found["state"] == state,
            f"{run} is {state}",
        )

    def wait_for_users(self, run: str, count: int) -> None:
        """Wait until so many users of a run run."""
        eventually(
            lambda: (found := self.status_of(run)) and found["users"]["running"] == count,
            f"{count} users of {run}",
        )

    def wait_for_end(self, run: str) -> Any:
        """The run as it is listed, once it is over."""

        def over() -> Any:
            found = self.get(f"/runs/{run}")
            return found if found["state"] in ("over", "failed") else None

        return eventually(over, f"{run} is over")

    def tree(self) -> set[int]:
        """The processes below it and itself."""
        return below(self.pid)

    def kill(self, signum: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def end(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait(DEADLINE_S)

    def clean_up(self) -> None:
        """End it, and whatever it left."""
        tree = self.tree()
        if self._process.poll() is None:
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()
        for pid in alive(tree):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)


@contextmanager
def serving(directory: Path, *arguments: str, **env: str) -> Iterator[Daemon]:
    """``amoc serve`` in `directory` with `arguments`; nothing of it outlives the block."""
    daemon = Daemon(directory, arguments, env)
    try:
        daemon.listening()
        yield daemon
    finally:
        daemon.clean_up()
