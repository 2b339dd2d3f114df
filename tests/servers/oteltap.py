"""oteltap for tests: a third-party OTLP receiver in Rust that prints what it decodes.

It is in a separate environment, whose Python AMOC_OTELTAP names: its package contains a binary, for
x86-64 only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.daemon import Daemon, free_port, required


class OtelTap(Daemon):
    """A running receiver."""

    def __init__(self, directory: Path) -> None:
        """Start it; what it receives is written to `directory`."""
        python = os.environ.get("AMOC_OTELTAP", "")
        if not python:
            required("oteltap is not installed (AMOC_OTELTAP may name a Python that has it)")
        port = free_port()
        self._said = directory / "oteltap.ndjson"
        command = [python, "-u", "-m", "oteltap", "--port", str(port)]
        super().__init__(command, port, self._said, {})
        self.url = f"http://127.0.0.1:{port}"

    def received(self) -> Iterator[dict[str, Any]]:
        """Yield what it has received so far, as it prints it."""
        for line in self._said.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)
