"""strophe.js and @xmpp/client, which browsers use, against the embedded server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent import subprocess as cooperative

from amoc import xmpp
from amoc.xmppd import Server
from tests.servers.daemon import DEADLINE_S
from tests.servers.node import modules

HERE = Path(__file__).parent / "javascript"
COUNT = 20
USERS = (901, 902)  # of the programs

pytestmark = pytest.mark.once


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
