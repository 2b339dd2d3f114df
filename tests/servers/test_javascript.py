"""strophe.js and @xmpp/client, which browsers use, against the embedded server.

They are looked for in the directory that AMOC_NODE_MODULES names, then where npm keeps packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent import subprocess as cooperative

from amoc import xmpp
from amoc.xmppd import Server
from tests.servers.daemon import DEADLINE_S, required

HERE = Path(__file__).parent / "javascript"
COUNT = 20
USERS = (901, 902)  # of the programs

pytestmark = pytest.mark.once


def modules(package: str) -> Path:
    """Where `package` of npm is; skips the calling test without it, or fails where it must be."""
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


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.mark.parametrize(
    ("program", "package"), [("strophe.cjs", "strophe.js"), ("xmpp-client.mjs", "@xmpp/client")]
)
def test_clients_of_browsers_log_in_and_write_to_each_other(
    server: Server, program: str, package: str
) -> None:
    place = modules(package)
    for number in USERS:
        # strophe.js refuses SCRAM with the few iterations that unregistered users have.
        xmpp.register(number, server=server.address, attempts=1)
    done = cooperative.run(
        ["node", str(HERE / program), f"ws://{server.address}/xmpp-websocket", str(COUNT)],
        stdout=cooperative.PIPE,
        stderr=cooperative.STDOUT,
        timeout=DEADLINE_S,
        env={**os.environ, "NODE_PATH": str(place)},
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    for user in (0, 1):
        assert f"{user} heard {COUNT}\n" in said
    statistics = server.statistics()
    assert statistics.messages_routed == 2 * COUNT
    assert statistics.stream_errors == {}
    assert statistics.internal_errors == 0
