"""statsd for tests: the daemon from npm, whose sums are read from its management port.

It is searched for in the directory AMOC_STATSD, then in that of npm. Its flush interval is longer
than any test, so its sums are never reset during one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from gevent import socket

from tests.servers.daemon import DEADLINE_S, Daemon, free_port, required

_VALUE = re.compile(r"^\s*'?([^\s']+)'?: (-?[\d.e+-]+),?$", re.MULTILINE)


def available() -> Path:
    """Return the directory of statsd; skip or fail the calling test if it is not installed."""
    places = [Path(os.environ["AMOC_STATSD"])] if "AMOC_STATSD" in os.environ else []
    if shutil.which("npm"):
        done = subprocess.run(
            ["npm", "root", "-g"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        places.append(Path(done.stdout.strip()) / "statsd")
    for place in places:
        if shutil.which("node") and (place / "stats.js").exists():
            return place
    required("statsd is not installed (npm install statsd; AMOC_STATSD=node_modules/statsd)")
    raise AssertionError


class Statsd:
    """A running statsd.

    Attributes:
        port: Its UDP port.
    """

    def __init__(self, place: Path, directory: Path) -> None:
        """Start the statsd of the directory `place` in `directory`."""
        self.port, self._management = free_port(), free_port()
        config = {
            "address": "127.0.0.1",
            "port": self.port,
            "mgmt_address": "127.0.0.1",
            "mgmt_port": self._management,
            "flushInterval": 600_000,
            "backends": [],
        }
        (directory / "statsd.js").write_text(json.dumps(config))
        self._daemon = Daemon(
            ["node", str(place / "stats.js"), str(directory / "statsd.js")],
            self._management,
            directory / "statsd.log",
            {},
        )

    def start(self) -> None:
        """Restart it."""
        self._daemon.start()

    def kill(self) -> None:
        """Kill it; it loses its sums."""
        self._daemon.kill()

    def known(self, what: str) -> dict[str, float]:
        """Return its ``counters`` or ``gauges``."""
        with socket.create_connection(("127.0.0.1", self._management), DEADLINE_S) as asking:
            asking.sendall(f"{what}\n".encode())
            answer = b""
            while not answer.endswith(b"END\n\n"):
                answer += asking.recv(65536)
        return {name: float(value) for name, value in _VALUE.findall(answer.decode())}
