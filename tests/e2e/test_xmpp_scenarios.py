"""The scenarios of `scenarios/xmpp/` on the embedded server, prosody and ejabberd, as processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amoc.results.run_directory import RunDirectory
from amoc.results.store.reader import StoredSeries
from tests.process.support import ROOT, Run, eventually, running
from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import XmppServer
from tests.servers.ejabberd import Ejabberd
from tests.servers.prosody import Prosody

pytestmark = [pytest.mark.slow, pytest.mark.once]

USERS = 12
SCENARIOS: dict[str, tuple[dict[str, object], list[str]]] = {
    # Few messages: a starved ejabberd, which archives each, would not deliver ten of each in 5 s.
    "bursts": ({"together": 6, "messages": 3, "pause": 0.2}, ["bursts", "messages_received"]),
    "mam_lookup": ({"interval": 0.2}, ["archive_page.count", "archived_messages"]),
    "muc": ({"interval": 0.3, "room_size": 6}, ["room_join.count", "messages_received"]),
    "muc_light": ({"interval": 0.3}, ["light_room_create.count", "messages_received"]),
    "presence": ({"interval": 0.2, "changes": 3}, ["befriend.count", "roster", "state_seen"]),
    # ejabberd 23.01 cannot make many nodes at once: it gives up when two of them are in its way.
    "pubsub_pep": ({"interarrival": 100, "interval": 0.3}, ["pubsub_publish.count", "event"]),
    "pubsub_pep where=service": (
        {"interarrival": 100, "interval": 0.3, "where": "service"},
        ["pubsub_publish.count", "pubsub_subscribe.count", "event"],
    ),
    "reconnect": (
        {"interval": 0.2, "lasts": 1, "xmpp_reconnect_pause": 0.2},
        ["sessions_resumed", "outage", "messages_received"],
    ),
    "registration": ({"stay": 0.1, "repeat_interval": 200}, ["registration", "unregister"]),
    "transports": ({"interval": 0.1, "repeat_interval": 200}, ["session", "Aggregated.count"]),
}
"""Each with settings that make it quick, and what it must have counted or timed."""


def has_recorded(run: Run, wanted: list[str]) -> bool:
    """Whether all users have started, and all of `wanted` was counted or timed."""
    found, started = set(), 0
    for point in StoredSeries(RunDirectory(run.directory).series):
        started += point.starts
        found |= {name for name, count in point.counters.items() if count}
        found |= {name for name, timer in point.timers.items() if timer.count}
    return started == USERS and found.issuperset(wanted)


def is_well(name: str, directory: Path, *options: str) -> None:
    """Run a scenario until it has done all that is wanted; every user must be content."""
    settings, wanted = SCENARIOS[name]
    given = [f"--set={key}={value}" for key, value in {"interarrival": 20, **settings}.items()]
    file = ROOT / "scenarios" / "xmpp" / f"{name.partition(' ')[0]}.py"
    arguments = ("--users", str(USERS), "--stop-timeout", "60s", *given, *options)
    with running(file, *arguments, directory=directory) as run:
        eventually(RunDirectory(run.directory).series.exists, f"it runs:\n{run.output}")
        eventually(
            lambda: run.ended or has_recorded(run, wanted),
            f"all of {wanted} is recorded:\n{run.output}",
        )
        if not run.ended:
            run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary: dict[str, Any] = run.summary()
    assert summary["crashes"] == []
    assert summary["run"]["verdict"] == "stopped"
    assert summary["users"]["finished"] == USERS
    for metric in wanted:
        timer = summary["timers"].get(metric, {}).get("count", 0)
        assert summary["counters"].get(metric, 0) or timer, metric


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificates:
    return ServerCertificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[Prosody, Ejabberd])
def secure(
    request: pytest.FixtureRequest,
    certificates: ServerCertificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[XmppServer]:
    """A real server with all services, over TLS."""
    request.param.available()
    directory = tmp_path_factory.mktemp("secure")
    with request.param(directory, USERS, services=True, certificates=certificates) as server:
        yield server


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_runs_on_the_embedded_server(name: str, tmp_path: Path) -> None:
    is_well(name, tmp_path)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "muc_light"])
def test_it_runs_on_real_servers_over_tls(
    name: str, tmp_path: Path, secure: XmppServer, certificates: ServerCertificates
) -> None:
    settings = {
        "xmpp_servers": secure.address,
        "xmpp_tls": "starttls",
        "xmpp_tls_ca": certificates.ca,
    }
    is_well(name, tmp_path, *(f"--set={key}={value}" for key, value in settings.items()))


@pytest.mark.parametrize("transport", ["websocket", "bosh"])
def test_transports_are_chosen_by_a_setting(
    transport: str, tmp_path: Path, prosody_services: Prosody
) -> None:
    address = getattr(prosody_services, transport)
    is_well("transports", tmp_path, "--set", f"xmpp_servers={address}")
