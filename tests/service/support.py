"""A daemon, started as an operator would, and a client for it."""

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
    """The answer to a request."""

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
        directory: Its working directory, which has ``scenarios/stayers.py``.
        url: The URL on which it listens.
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
        """Everything printed so far."""
        return self._output.read_text()

    @property
    def runs(self) -> Path:
        """The directory of its run directories."""
        return self.directory / "amoc-runs"

    def listening(self) -> None:
        """Wait until it accepts requests."""

        def there() -> re.Match[str] | None:
            if self._process.poll() is not None:
                pytest.fail(f"amoc serve ended with {self._process.returncode}:\n{self.output}")
            return re.search(r"amoc serves (https?://\S+)", self.output)

        self.url = eventually(there, "the daemon listens")[1]

    def connection(self) -> http.client.HTTPConnection:
        """Return a new connection to it."""
        where = urlsplit(self.url)
        assert where.hostname is not None
        return http.client.HTTPConnection(where.hostname, where.port, timeout=DEADLINE_S)

    def request(
        self, method: str, path: str, body: Any = None, data: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request, `body` as JSON or `data` unchanged; `_` in header names means `-`."""
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
        """Return the JSON at a path, which must exist."""
        answer = self.request("GET", path)
        assert answer.status == 200, (path, answer.status, answer.data[:2000])
        return answer.json

    def patch(self, path: str, body: Any = None, status: int = 200) -> Any:
        """Send a PATCH, which must return `status`; return its JSON."""
        answer = self.request("PATCH", path, body)
        assert answer.status == status, (path, answer.status, answer.data[:2000], self.output)
        return answer.json

    def start(self, scenario: str = "stayers", **body: Any) -> str:
        """Start a run, and wait until it is running; return its id."""
        run = str(
            self.patch("/execution/start", {"scenario": scenario, "workers": 1, **body})["run"]
        )
        self.wait_for_state(run, "running")
        return run

    def status_of(self, run: str) -> Any:
        """Return the status of a run; None if it accepts no commands."""
        return next((one for one in self.get("/status")["runs"] if one["run"] == run), None)

    def wait_for_state(self, run: str, state: str) -> None:
        """Wait until a run accepts commands and is in a state."""
        eventually(
            lambda: (found := self.status_of(run)) is not None and found["state"] == state,
            f"{run} is {state}",
        )

    def wait_for_users(self, run: str, count: int) -> None:
        """Wait until `count` users of a run are running."""
        eventually(
            lambda: (found := self.status_of(run)) and found["users"]["running"] == count,
            f"{count} users of {run}",
        )

    def wait_for_end(self, run: str) -> Any:
        """Wait until a run is over; return it as listed."""

        def over() -> Any:
            found = self.get(f"/runs/{run}")
            return found if found["state"] in ("over", "failed") else None

        return eventually(over, f"{run} is over")

    def tree(self) -> set[int]:
        """Return the daemon and its descendants."""
        return below(self.pid)

    def kill(self, signum: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        os.kill(self.pid, signum)

    def end(self) -> int:
        """Wait for it to end; return its exit status."""
        return self._process.wait(DEADLINE_S)

    def clean_up(self) -> None:
        """End it and any process that it left."""
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
    """Run ``amoc serve`` in `directory` with `arguments`; no process of it outlives the block."""
    daemon = Daemon(directory, arguments, env)
    try:
        daemon.listening()
        yield daemon
    finally:
        daemon.clean_up()
