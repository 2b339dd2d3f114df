"""When a run starts the embedded XMPP server, and when it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amoc.base.errors import ExitCode
from tests.process.support import running

pytestmark = pytest.mark.slow
Write = Callable[..., Path]
USERS = ("--users", "2", "--set", "interarrival=0", "--set", "repeat_num=1")


def test_a_scenario_that_only_imports_the_client_has_no_server(
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


def test_users_that_name_a_server_have_no_embedded_one(scenario: Write, tmp_path: Path) -> None:
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


def test_it_starts_once_for_all_workers_when_users_connect(scenario: Write, tmp_path: Path) -> None:
    file = scenario("""
        from amoc import xmpp

        def start(user_id):
            with xmpp.connect(user_id) as client:
                client.ping()
    """)
    with running(file, *USERS, "--workers", "2", directory=tmp_path) as run:
        assert run.end() == 0, run.output
    assert run.output.count("using the embedded one") == 1


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
