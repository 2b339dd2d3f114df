"""The scenarios of `scenarios/protocols/` and those by `amoc new --kind`, with real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from amoc.recording import from_openapi
from amoc.recording.from_kind import KINDS
from tests.process.support import DEADLINE_S, ROOT, running
from tests.servers.mosquitto import Mosquitto
from tests.servers.nginx import Nginx
from tests.servers.node import Echo
from tests.servers.web import Application, Greeter, GrpcFront

pytestmark = [pytest.mark.slow, pytest.mark.once]

USERS = 8
HERE = ROOT / "scenarios" / "protocols"


def ran(
    name: str, tmp_path: Path, settings: dict[str, object], may_fail: bool = False, **env: str
) -> Any:
    """Run a scenario for a few seconds; return its summary."""
    chosen = {"user_rate": "infinity", "pause": 0.1, **settings}
    given = [f"--set={key}={value}" for key, value in chosen.items()]
    arguments = ("--users", str(USERS), "--duration", "2s", *given)
    with running(HERE / f"{name}.py", *arguments, directory=tmp_path, **env) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    assert summary["users"]["finished"] == USERS
    assert may_fail or not {name for name, row in summary["steps"].items() if row["failures"]}
    return summary


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    with Echo(tmp_path_factory.mktemp("echo")) as server:
        yield server


@pytest.fixture(scope="module")
def front(echo: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx in front of the WebSocket server, also with TLS."""
    with Nginx(tmp_path_factory.mktemp("nginx"), echo.port) as server:
        yield server


def test_websocket_with_tls(front: Nginx, tmp_path: Path) -> None:
    settings = {"url": f"wss://127.0.0.1:{front.tls_port}/"}
    summary = ran("websocket_echo", tmp_path, settings, SSL_CERT_FILE=str(front.certificate))
    assert summary["steps"]["connect"]["count"] == USERS
    assert summary["steps"]["message"]["count"] > USERS
    assert summary["checks"]["the answer is ours"]["failed"] == 0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


def test_mqtt(broker: Mosquitto, tmp_path: Path) -> None:
    settings = {"broker": f"127.0.0.1:{broker.port}", "qos": 2}
    summary = ran("mqtt_publish", tmp_path, settings)
    assert summary["steps"]["subscribe"]["count"] == USERS
    assert summary["steps"]["message"]["count"] > USERS
    assert summary["checks"]["it is the message"]["failed"] == 0


def test_grpc(tmp_path: Path) -> None:
    with Greeter(tmp_path) as server, GrpcFront(tmp_path, server.port) as front:
        summary = ran("grpc_hello", tmp_path, {"target": f"127.0.0.1:{front.port}"}, may_fail=True)
    assert summary["steps"]["count"]["count"] > USERS
    assert summary["steps"]["count"]["failures"] == 0
    # The server does not greet user 1.
    hello = summary["steps"]["hello"]
    assert {one["cause"]: one["message"] for one in hello["causes"]} == {
        "PERMISSION_DENIED": "not you"
    }
    assert 0 < hello["failures"] < hello["count"] / 2
    assert summary["checks"]["it greets us"]["failed"] == 0
    assert not summary["counters"].get("greenlets_left")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with Application(tmp_path_factory.mktemp("site")) as server:
        yield server


def test_generated_scenarios_pass_their_own_tests(
    site: Application, front: Nginx, broker: Mosquitto, tmp_path: Path
) -> None:
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
        "PYTHONPATH": str(ROOT),
        "AMOC_BASE": site.url,
        "AMOC_URL": f"ws://127.0.0.1:{front.port}/",
        "AMOC_BROKER": f"127.0.0.1:{broker.port}",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    for kind in KINDS:
        run("amoc", "new", f"trial_{kind}", "--kind", kind)
    # The plugin is given, since pytest finds it automatically only if amoc is installed.
    plugin = ["-p", "amoc.client.pytest_plugin"] if not has_plugin() else []
    said = run("pytest", "-q", *plugin)
    assert f"{len(KINDS)} passed" in said


def test_a_scenario_generated_from_openapi_calls_every_operation(
    site: Application, tmp_path: Path
) -> None:
    pytest.importorskip("yaml")
    document = ROOT / "tests" / "unit" / "recording" / "shop.yaml"
    written = from_openapi.convert(document.read_bytes(), "shop.yaml", "shop")
    (tmp_path / "shop.py").write_bytes(written.files["shop.py"])
    settings = {"user_rate": "infinity", "pause": 0.02, "base": site.url}
    given = [f"--set={key}={value}" for key, value in settings.items()]
    secrets = {"AMOC_TOKEN": "any", "AMOC_SECRET": "secret"}
    arguments = ("--users=4", "--duration=3s", *given)
    with running(tmp_path / "shop.py", *arguments, directory=tmp_path, **secrets) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["crashes"] == []
    counts = {name: row["count"] for name, row in summary["steps"].items()}
    changes = ("POST /token", "PUT /online/{user_id}", "DELETE /online/{user_id}", "POST /pictures")
    for name in changes:
        assert 0 < counts[name] < counts["GET /peer"]
    # A body of zeros is not a picture.
    failed = {name for name, row in summary["steps"].items() if row["failures"]}
    assert failed - {"Aggregated"} == {"POST /pictures"}


def has_plugin() -> bool:
    return any(one.name == "amoc" for one in entry_points(group="pytest11"))
