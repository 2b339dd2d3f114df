"""The embedded server for tests: one process on loopback, as `amoc xmppd` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.servers.daemon import XmppServer, free_port

ROOT = Path(__file__).parents[2]


class Embedded(XmppServer):
    """A running embedded server; every ``user_N`` has an account."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "amoc", "xmppd", "--port", str(port)]
        super().__init__(command, port, directory / "xmppd.log", {"PYTHONPATH": str(ROOT)})
