"""mosquitto, an MQTT broker, for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.servers.daemon import Daemon, free_port, required


class Mosquitto(Daemon):
    """A running broker that accepts any client."""

    def __init__(self, directory: Path) -> None:
        """Start it in `directory`."""
        if not shutil.which("mosquitto"):
            required("mosquitto is not installed (apt install mosquitto)")
        port = free_port()
        config = directory / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        super().__init__(["mosquitto", "-c", str(config)], port, directory / "mosquitto.log", {})
