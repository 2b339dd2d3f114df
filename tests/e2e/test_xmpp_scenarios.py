"""The scenarios of `scenarios/xmpp/` on the embedded server and on prosody, as processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.process.support import ROOT, running
from tests.servers.prosody import Prosody

pytestmark = [pytest.mark.slow, pytest.mark.once]

USERS = 12
SCENARIOS: dict[str, tuple[dict[str, object], list[str]]] = {
    "bursts": ({"together": 6, "pause": 0.2}, ["bursts", "messages_received"]),
    "mam_lookup": ({"interval": 0.2}, ["archive_page.result", "archived_messages"]),
    "muc": ({"interval": 0.3, "room_size": 6}, ["room_join.result", "messages_received"]),
    "muc_light": ({"interval": 0.3}, ["light_room_create.result", "messages_received"]),
    "presence": ({"interval": 0.2, "changes": 3}, ["befriend.result", "roster", "state_seen"]),
    "pubsub_pep": ({"interval": 0.3}, ["publish.result", "event"]),
    "pubsub_pep where=service": (
        {"interval": 0.3, "where": "service"},
        ["publish.result", "subscribe.result", "event"],
    ),
    "reconnect": (
        {"interval": 0.2, "lasts": 1, "xmpp_reconnect_pause": 0.2},
        ["sessions_resumed", "outage", "messages_received"],
    ),
    "registration": ({"stay": 0.1, "repeat_interval": 200}, ["registration", "unregister"]),
    "transports": ({"interval": 0.1, "repeat_interval": 200}, ["session", "request.result"]),
}
"""Each with settings that make it quick, and what it must have counted or timed."""


def is_well(name: str, directory: Path, *options: str) -> None:
    """Run a scenario for some seconds; every user must be content."""
    settings, wanted = SCENARIOS[name]
    given = [f"--set={key}={value}" for key, value in {"interarrival": 20, **settings}.items()]
    file = ROOT / "scenarios" / "xmpp" / f"{name.partition(' ')[0]}.py"
    arguments = ("--users", str(USERS), "--duration", "6s", *given, *options)
    with running(file, *arguments, directory=directory) as run:
        assert run.end() == 0, run.output
        summary: dict[str, Any] = run.summary()
    assert summary["crashes"] == []
    assert summary["run"]["verdict"] == "ok"
    assert summary["users"]["finished"] == USERS
    for metric in wanted:
        timer = summary["timers"].get(metric, {}).get("count", 0)
        assert summary["counters"].get(metric, 0) or timer, metric


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_runs_on_the_embedded_server(name: str, tmp_path: Path) -> None:
    is_well(name, tmp_path)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "muc_light"])
def test_it_runs_on_prosody(name: str, tmp_path: Path, prosody_services: Prosody) -> None:
    servers = f"xmpp_servers={prosody_services.address}"
    is_well(name, tmp_path, "--set", servers, "--set", "xmpp_tls=off")
