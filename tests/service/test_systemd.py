"""deploy/amoc.service under systemd itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.process.support import DEADLINE_S, ROOT, eventually
from tests.service.support import STAYERS
from tests.service.systemd import Systemd, booted, missing

pytestmark = [pytest.mark.slow, pytest.mark.once]

UNIT = ROOT / "deploy/amoc.service"
JSON = ("-H", "Content-Type: application/json")


def test_the_unit_is_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "amoc.service"
    text = UNIT.read_text()
    assert "/opt/amoc/bin/amoc serve" in text
    unit.write_text(text.replace("/opt/amoc/bin/amoc", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, [])


def ask(systemd: Systemd, path: str, *options: str) -> Any:
    """What the server answers."""
    return json.loads(
        systemd.run("curl", "-sS", "--fail-with-body", f"http://127.0.0.1:4000{path}", *options)
    )


def started(systemd: Systemd) -> str:
    """A run with two users that run; its name."""
    body = '{"scenario": "stayers", "users": 2, "workers": 1, "settings": {"user_rate": "inf"}}'
    run = str(ask(systemd, "/execution/start", "-X", "PATCH", *JSON, "-d", body)["run"])
    eventually(
        lambda: any(one["users"]["running"] == 2 for one in ask(systemd, "/status")["runs"]),
        "two users run",
    )
    return run


def summary(state: Path, run: str) -> Any:
    return json.loads((state / f"private/amoc/amoc-runs/{run}/summary.json").read_text())


def test_under_systemd_runs_stop_gracefully_when_it_stops_and_when_it_crashes(
    tmp_path: Path,
) -> None:
    if why := missing():
        pytest.skip(why)
    state, scenario = tmp_path / "state", tmp_path / "stayers.py"
    state.mkdir()
    scenario.write_text(STAYERS)
    with booted(state, UNIT) as systemd:
        systemd.wait_until_active()
        assert systemd.property("Environment") == "XDG_CACHE_HOME=/var/cache/amoc"
        systemd.run("test", "-d", "/var/cache/amoc/")
        ask(systemd, "/scenarios/upload?name=stayers", "-T", str(scenario))
        run = started(systemd)
        systemd.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "amoc")
        eventually(lambda: systemd.property("NRestarts") == "1", "it was started again")
        systemd.wait_until_active()
        eventually(
            lambda: ask(systemd, f"/runs/{run}")["verdict"] == "stopped", "the run has stopped"
        )

        second = started(systemd)
        systemd.run("systemctl", "stop", "amoc")
        assert systemd.property("Result") == "success"
        assert systemd.property("ActiveState") == "inactive"
        for one in (run, second):
            assert summary(state, one)["run"]["verdict"] == "stopped"
        assert systemd.property("TasksCurrent") in ("[not set]", "0")
