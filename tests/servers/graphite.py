"""Graphite for tests: Debian's carbon-cache and graphite-web, in a separate directory.

The configuration and data that the packages install are not used.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gevent import socket

from tests.servers.daemon import DEADLINE_S, Daemon, free_port, required

_CARBON = """
[cache]
STORAGE_DIR = {directory}
LOCAL_DATA_DIR = {directory}/whisper
CONF_DIR = {directory}
LOG_DIR = {directory}
PID_DIR = {directory}
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
ENABLE_LOGROTATION = False
CARBON_METRIC_INTERVAL = 0
"""
_SCHEMAS = """
[all]
pattern = .*
retentions = 1s:10m
"""
_AGGREGATION = """
[all]
pattern = .*
xFilesFactor = 0
"""
_WEB = """
SECRET_KEY = "for tests"
CONF_DIR = STORAGE_DIR = LOG_DIR = "{directory}"
WHISPER_DIR = "{directory}/whisper"
INDEX_FILE = "{directory}/index"
CARBONLINK_HOSTS = ["127.0.0.1:{query}:a"]
CARBONLINK_RETRY_DELAY = 0
FIND_CACHE_DURATION = 0
DATABASES = {{
    "default": {{"NAME": "{directory}/graphite.db", "ENGINE": "django.db.backends.sqlite3"}}
}}
"""


def available() -> None:
    """Skip the calling test if Graphite is not installed, or fail it if it is required."""
    for program in ("carbon-cache", "graphite-manage"):
        if not shutil.which(program):
            required(f"{program} is not installed (apt install graphite-carbon graphite-web)")


class Graphite:
    """A running Graphite.

    Attributes:
        carbon: Receives lines on its port.
        web: Answers queries and receives events on its port.
    """

    def __init__(self, directory: Path) -> None:
        """Start it in `directory`."""
        ports = dict(
            zip(("line", "pickle", "query"), {free_port() for _ in range(9)}, strict=False)
        )
        for name, text in (
            ("carbon.conf", _CARBON),
            ("storage-schemas.conf", _SCHEMAS),
            ("storage-aggregation.conf", _AGGREGATION),
            ("graphite_for_tests.py", _WEB),
        ):
            (directory / name).write_text(text.format(directory=directory, **ports))
        (directory / "whisper").mkdir()
        self.carbon = Daemon(
            [
                *("carbon-cache", f"--config={directory}/carbon.conf", "--nodaemon"),
                *(f"--pidfile={directory}/carbon.pid", f"--logdir={directory}", "start"),
            ],
            ports["line"],
            directory / "carbon.log",
            {},
        )
        env = {
            "GRAPHITE_SETTINGS_MODULE": "graphite_for_tests",
            "PYTHONPATH": str(directory),
            "PYTHONWARNINGS": "ignore",
        }
        subprocess.run(
            ["graphite-manage", "migrate", "--run-syncdb", "--noinput"],
            check=True,
            capture_output=True,
            timeout=DEADLINE_S,
            env={"PATH": "/usr/bin:/bin", **env},
        )
        port = free_port()
        self.web = Daemon(
            ["graphite-manage", "runserver", "--noreload", f"127.0.0.1:{port}"],
            port,
            directory / "web.log",
            env,
        )

    def stop(self) -> None:
        """Stop it."""
        self.web.kill()
        self.carbon.kill()

    def rendered(self, target: str, from_s: int, until_s: int) -> dict[str, dict[int, float]]:
        """Return the existing values of the series that match `target`, by time.

        Args:
            target: A Graphite path; may contain wildcards and functions.
            from_s: The first second.
            until_s: The last one.
        """
        # Graphite leaves out the value at `from` itself.
        query = {
            "target": target,
            "format": "json",
            "noCache": "1",
            "from": str(from_s - 1),
            "until": str(until_s),
        }
        status, body = self._get(f"/render?{urlencode(query)}")
        if status == 500 and b"Unable to read header" in body:
            return {}  # carbon is just creating the file
        assert status == 200, body
        return {
            series["target"]: {at: value for value, at in series["datapoints"] if value is not None}
            for series in json.loads(body)
        }

    def events(self, tags: str) -> list[dict[str, Any]]:
        """Return the events with any of `tags`, which are separated by spaces."""
        status, body = self._get(f"/events/get_data?{urlencode({'tags': tags})}")
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)
        return found

    def _get(self, path: str) -> tuple[int, bytes]:
        # A test's exporters run on its hub, so waiting for the response must not block the hub.
        connection = HTTPConnection("127.0.0.1", self.web.port)
        connection.sock = socket.create_connection(("127.0.0.1", self.web.port), DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
