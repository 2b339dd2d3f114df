"""The main use case end to end: users log in and chat with neighbours, and no message is lost."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import Run, alive, eventually, running
from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import XmppServer
from tests.servers.prosody import Prosody

pytestmark = pytest.mark.slow
SCENARIO = "scenarios/xmpp/one_to_one.py"


def chat(run: Run, users: int, messages: int) -> dict[str, Any]:
    """Stop a run once all users are connected and have sent enough; return its summary."""

    def enough() -> bool:
        seen = re.findall(r"connections (\d+) .*messages_received (\d+)", run.output)
        return bool(seen) and int(seen[-1][0]) >= users and int(seen[-1][1]) >= messages

    eventually(enough, lambda: f"{users} users write {messages} messages:\n{run.output}", 200)
    tree = set(run.tree())
    run.kill(run.pid, signal.SIGINT)
    assert run.end() == 0, run.output
    eventually(lambda: not alive(tree), "nothing is left")
    summary: dict[str, Any] = run.summary()
    return summary


def all_is_well(summary: dict[str, Any], users: int) -> None:
    """Assert that every user started and finished, and every message sent was received."""
    counters, timers = summary["counters"], summary["timers"]
    assert summary["crashes"] == []
    assert summary["users"]["started"] == summary["users"]["finished"] == users
    assert counters["connections"] == timers["connection"]["count"] == users
    assert counters["messages_received"] == counters["messages_sent"]
    assert timers["message_ttd"]["count"] == counters["messages_received"]
    assert 0 < timers["message_ttd"]["p50_s"] <= timers["message_ttd"]["max_s"]


def against(server: XmppServer) -> tuple[str, ...]:
    """Return the options that make a run use `server`."""
    return (
        *("--set", f"xmpp_servers={server.address}"),
        *("--set", f"xmpp_domain={server.domain}"),
    )


def test_200_users_on_a_real_server_receive_every_message(
    xmpp_server: XmppServer, tmp_path: Path
) -> None:
    options = ("--users", "200", "--set", "interarrival=10", "--stop-timeout", "30s")
    with running(SCENARIO, *options, *against(xmpp_server), directory=tmp_path) as run:
        summary = chat(run, 200, 1_000)
        assert "embedded" not in run.output
    all_is_well(summary, 200)


@pytest.mark.once
@pytest.mark.parametrize("mode", ["starttls", "direct"])
def test_users_on_a_real_server_receive_every_message_over_tls(
    tls_server: XmppServer, certificates: ServerCertificates, tmp_path: Path, mode: str
) -> None:
    port = tls_server.direct_tls_port if mode == "direct" else tls_server.port
    options = (
        *("--users", "50", "--set", "interarrival=10", "--stop-timeout", "30s"),
        *("--set", f"xmpp_servers=127.0.0.1:{port}", "--set", f"xmpp_tls={mode}"),
        *("--set", f"xmpp_tls_ca={certificates.ca}"),
    )
    with running(SCENARIO, *options, directory=tmp_path) as run:
        summary = chat(run, 50, 300)
    all_is_well(summary, 50)
    assert summary["timers"]["tls_handshake"]["count"] == 50


@pytest.mark.once
@pytest.mark.parametrize("transport", ["websocket", "bosh"])
def test_a_setting_selects_another_transport(
    xmpp_server: XmppServer, transport: str, tmp_path: Path
) -> None:
    address = getattr(xmpp_server, transport)
    options = ("--users", "50", "--set", "interarrival=10", "--stop-timeout", "30s")
    servers = ("--set", f"xmpp_servers={address}", "--set", f"xmpp_domain={xmpp_server.domain}")
    with running(SCENARIO, *options, *servers, directory=tmp_path) as run:
        summary = chat(run, 50, 300)
    all_is_well(summary, 50)


@pytest.mark.once
def test_a_setting_selects_websocket_for_the_embedded_server(tmp_path: Path) -> None:
    options = ("--users", "50", "--set", "interarrival=10", "--stop-timeout", "30s")
    setting = ("--set", "xmpp_transport=websocket")
    with running(SCENARIO, *options, *setting, directory=tmp_path) as run:
        summary = chat(run, 50, 300)
    all_is_well(summary, 50)


@pytest.mark.once
def test_an_invalid_server_address_is_refused_before_the_run(tmp_path: Path) -> None:
    bad = ("--set", "xmpp_servers=wss://a/b,wsx://c/d")
    with running(SCENARIO, "--users", "1", *bad, directory=tmp_path) as run:
        assert run.end() == ExitCode.SETTING
        assert "xmpp_servers must be host:port or a URL that begins with" in run.output
        assert "got 'wsx://c/d'" in run.output


def test_2000_users_stay_logged_in_on_prosody_and_chat(prosody: Prosody, tmp_path: Path) -> None:
    with running(
        SCENARIO,
        *("--users", "2000", "--set", "interarrival=10", "--set", "interval=8"),
        *("--set", "neighbours=1"),
        *("--set", "xmpp_mechanisms=PLAIN", "--stop-timeout", "60s", *against(prosody)),
        directory=tmp_path,
    ) as run:
        summary = chat(run, 2000, 4_000)
    all_is_well(summary, 2000)


def test_without_a_server_the_embedded_one_is_used_and_reported(tmp_path: Path) -> None:
    with running(
        SCENARIO,
        *("--users", "200", "--set", "interarrival=5", "--stop-timeout", "30s"),
        directory=tmp_path,
    ) as run:
        assert run.wait_for("xmppd")
        summary = chat(run, 200, 1_000)
        said = [line for line in run.output.splitlines() if "no XMPP server configured" in line]
        assert len(said) == 1
    all_is_well(summary, 200)


def test_users_keep_chatting_after_a_worker_was_killed(tmp_path: Path) -> None:
    with running(
        SCENARIO,
        *("--users", "40", "--workers", "2", "--set", "user_rate=inf", "--set", "interval=0.1"),
        *("--stop-timeout", "30s"),
        directory=tmp_path,
    ) as run:
        eventually(lambda: "connections 40 " in run.output, "all are logged in")
        run.kill(run.find("worker 1 ")[0])
        eventually(lambda: "connections 60 " in run.output, "its users log in again")
        run.kill(run.pid, signal.SIGINT)
        assert run.end() == 0, run.output
        summary = run.summary()
    assert summary["users"]["restarted"] == 20
    assert summary["users"]["finished"] == 40


def test_the_run_ends_when_the_embedded_server_dies(tmp_path: Path) -> None:
    with running(SCENARIO, "--users", "10", "--set", "user_rate=inf", directory=tmp_path) as run:
        run.wait_for_output("using the embedded one")  # or it would be an error at its start
        tree = set(run.tree())
        run.kill(run.wait_for("xmppd")[0])
        assert run.end() == 8
        assert "the embedded XMPP server was killed by SIGKILL" in run.output
        eventually(lambda: not alive(tree), "nothing is left")


def test_the_embedded_server_ends_with_a_killed_controller(tmp_path: Path) -> None:
    with running(SCENARIO, "--users", "10", "--set", "user_rate=inf", directory=tmp_path) as run:
        run.wait_for("worker", 2)
        run.wait_for("xmppd")
        tree = set(run.tree())
        run.kill(run.pid)
        eventually(lambda: not alive(tree), f"nothing is left of {tree}")


@pytest.mark.once
def test_an_unreachable_server_crashes_users_but_not_the_run(tmp_path: Path) -> None:
    with running(
        SCENARIO,
        *("--users", "5", "--duration", "2s", "--set", "user_rate=inf"),
        *("--set", "xmpp_servers=127.0.0.1:9", "--set", "xmpp_connect_attempts=1"),
        directory=tmp_path,
    ) as run:
        assert run.end() == ExitCode.THRESHOLD
        summary = run.summary()
    assert summary["run"]["verdict"] == "everything failed"
    assert summary["users"]["crashed"] >= 5
    assert len(summary["crashes"]) == 1
    assert "refused" in summary["crashes"][0]["cause"]
    assert summary["counters"]["connection_failures"] == summary["users"]["crashed"]
