"""npm packages, and servers that run on Node.js.

Packages are searched for in the directory AMOC_NODE_MODULES, then in that of npm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.daemon import DEADLINE_S, Daemon, free_port, required

PROGRAMS = Path(__file__).parent / "javascript"


def modules(package: str) -> Path:
    """Return the directory of an npm package; skip or fail the calling test if there is none."""
    places = [Path(os.environ["AMOC_NODE_MODULES"])] if "AMOC_NODE_MODULES" in os.environ else []
    if shutil.which("npm"):
        done = subprocess.run(
            ["npm", "root", "-g"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        places.append(Path(done.stdout.strip()))
    for place in places:
        if shutil.which("node") and (place / package).exists() and (place / "ws").exists():
            return place
    required(f"{package} is not installed (.ci/run shows how; AMOC_NODE_MODULES=node_modules)")
    raise AssertionError


class Echo(Daemon):
    """A WebSocket server (the package ws) that echoes what it receives."""

    def __init__(self, directory: Path) -> None:
        """Start it; its output goes to `directory`."""
        port = free_port()
        env = {"NODE_PATH": str(modules("ws"))}
        command = ["node", str(PROGRAMS / "echo.cjs"), str(port)]
        super().__init__(command, port, directory / "echo.log", env)
