"""When a run starts the embedded XMPP server, and when it does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import ROOT, alive, eventually, running

pytestmark = pytest.mark.slow
Write = Callable[..., Path]
USERS = ("--users", "2", "--set", "interarrival=0", "--set", "repeat_num=1")


def test_a_scenario_that_only_imports_the_client_starts_no_server(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            print("done")
    """)
    with running(file, *USERS, directory=tmp_path) as run:
        assert run.end() == 0, run.output
    assert "embedded" not in run.output


def test_naming_a_server_starts_no_embedded_one(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            try:
                xmpp.connect(server="127.0.0.1:1", attempts=1)
            except xmpp.ConnectError:
                print("refused")
    """)
    with running(file, *USERS, directory=tmp_path) as run:
        assert run.end() == ExitCode.THRESHOLD, run.output
    assert run.output.count("refused") >= 2
    assert "embedded" not in run.output


def test_the_server_starts_once_for_all_workers_when_users_connect(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            with xmpp.connect(user_id) as client:
                client.ping()
    """)
    with running(file, *USERS, "--workers", "2", directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    (address,) = re.findall(r"using the embedded one on (\S+)", run.output)
    assert summary["run"]["targets"] == [f"{address} (embedded XMPP server)"]


def test_a_server_that_cannot_be_started_fails_the_run(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            xmpp.connect(user_id)
    """)
    with running(file, *USERS, "--set", "xmpp_domain=a/b", directory=tmp_path) as run:
        assert run.end() == ExitCode.RESOURCE, run.output
    assert "the embedded XMPP server must listen" in run.output
    assert "domain 'a/b' cannot be served" in run.output


def test_a_controller_killed_while_the_server_starts_leaves_nothing(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            xmpp.connect(user_id)
    """)
    with running(file, *USERS, "--set", "xmpp_tls=starttls", directory=tmp_path) as run:
        eventually(lambda: any("xmppd" in title for title in run.tree().values()), "it starts")
        tree = set(run.tree())
        run.kill(run.pid)
        eventually(lambda: not alive(tree), "all processes have ended")
        assert not run.has_sockets


@pytest.mark.parametrize(
    ("mode", "transport"), [("starttls", "tcp"), ("direct", "tcp"), ("direct", "websocket")]
)
def test_the_server_uses_tls_when_set_and_its_certificate_is_trusted(
    scenario: Write, tmp_path: Path, mode: str, transport: str
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            with xmpp.connect(user_id, attempts=1) as client:
                client.ping()
    """)
    wanted = ("--set", f"xmpp_tls={mode}", "--set", f"xmpp_transport={transport}")
    judged = ("--expect", "tls_handshake.count >= 2")
    with running(file, *USERS, *wanted, *judged, "--workers", "2", directory=tmp_path) as run:
        assert run.end() == 0, run.output
    assert "accepted any certificate" not in run.output


def test_accepting_any_certificate_is_reported_at_once_and_in_the_summary(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            xmpp.connect(user_id, attempts=1).close()
    """)
    wanted = ("--set", "xmpp_tls=direct", "--set", "xmpp_tls_verify=false")
    with running(file, *USERS, *wanted, directory=tmp_path) as run:
        assert run.end() == 0, run.output
    assert "xmpp_tls_verify is false: users accept any certificate" in run.output
    assert "2 TLS connections accepted any certificate (xmpp_tls_verify, " in run.output


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("xmpp_tls=yes", "xmpp_tls must be one of 'auto', 'starttls', 'direct', 'off'"),
        ("xmpp_tls_ca=/nowhere.pem", "xmpp_tls_ca must name a PEM file of certificates"),
        ("xmpp_tls_certificate=/nowhere.pem", "xmpp_tls_certificate must name a PEM file"),
        ("xmpp_tls_minimum_version=2", "xmpp_tls_minimum_version must be one of '1.0'"),
        ("xmpp_tls_ciphers=NONSENSE", "xmpp_tls_ciphers must name ciphers as 'openssl ciphers'"),
    ],
)
def test_an_invalid_tls_setting_is_reported_in_one_line_before_the_run(
    scenario: Write, tmp_path: Path, setting: str, text: str
) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            xmpp.connect(user_id).close()
    """)
    with running(file, *USERS, "--set", setting, directory=tmp_path) as run:
        assert run.end() == ExitCode.SETTING, run.output
    assert run.output.count(text) == 1
    assert "Traceback" not in run.output


def test_more_users_than_one_process_can_hold_get_several_server_processes(
    scenario: Write, tmp_path: Path
) -> None:
    file = scenario("""
        from amoc import coordinator, xmpp

        def start(user_id):
            with xmpp.connect(user_id) as client:
                coordinator.barrier("all", 260, timeout=60)
                client.ping()
    """)
    amoc = [sys.executable, "-m", "amoc", "run", str(file), "--run-dir", str(tmp_path / "run")]
    summary = tmp_path / "summary.json"
    options = ["--users=260", "--workers=4", "--set=interarrival=1", f"--json={summary}"]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 300 && exec "$@"', "-", *amoc, *options, "--set=repeat_num=1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(summary.read_text())["steps"]["ping"]["count"] == 260
