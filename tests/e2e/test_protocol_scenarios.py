"""The scenarios of `scenarios/protocols/` against real servers, as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.support import ROOT, running
from tests.servers.mosquitto import Mosquitto
from tests.servers.nginx import Nginx
from tests.servers.node import Echo

pytestmark = [pytest.mark.slow, pytest.mark.once]

USERS = 8
HERE = ROOT / "scenarios" / "protocols"


def ran(name: str, tmp_path: Path, settings: dict[str, object], **env: str) -> Any:
    """The summary of a run of some seconds."""
    chosen = {"user_rate": "infinity", "pause": 0.1, **settings}
    given = [f"--set={key}={value}" for key, value in chosen.items()]
    arguments = ("--users", str(USERS), "--duration", "2s", *given)
    with running(HERE / f"{name}.py", *arguments, directory=tmp_path, **env) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    assert summary["users"]["finished"] == USERS
    assert not {name: row for name, row in summary["steps"].items() if row["failures"]}
    return summary


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    with Echo(tmp_path_factory.mktemp("echo")) as server:
        yield server


@pytest.fixture(scope="module")
def front(echo: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx before the WebSocket server, with TLS as well."""
    with Nginx(tmp_path_factory.mktemp("nginx"), echo.port) as server:
        yield server


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket(scheme: str, front: Nginx, tmp_path: Path) -> None:
    port = front.tls_port if scheme == "wss" else front.port
    settings = {"url": f"{scheme}://127.0.0.1:{port}/"}
    summary = ran("websocket_echo", tmp_path, settings, SSL_CERT_FILE=str(front.certificate))
    assert summary["steps"]["connect"]["count"] == USERS
    assert summary["steps"]["message"]["count"] > USERS
    assert summary["checks"]["the answer is ours"]["failed"] == 0


@pytest.mark.parametrize("qos", [0, 2])
def test_mqtt(qos: int, tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        settings = {"broker": f"127.0.0.1:{broker.port}", "qos": qos}
        summary = ran("mqtt_publish", tmp_path, settings)
    assert summary["steps"]["subscribe"]["count"] == USERS
    assert summary["steps"]["message"]["count"] > USERS
    assert summary["checks"]["it is the message"]["failed"] == 0
