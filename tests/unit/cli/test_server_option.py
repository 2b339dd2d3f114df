"""``--server`` rejects what it cannot do, with a reason, before it sends a request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from amoc.base.errors import UsageError
from amoc.cli.main import cli

REFUSED = {
    "serve": "is itself the server",
    "start": "starts the server",
    "stop-server": "of this host",
    "node": "by its --controller",
    "xmppd": "runs on this host",
    "new": "files of this host",
    "completion": "the shell of this host",
}
"""Commands that only work on this host, each with part of the reason."""
URL = "http://127.0.0.1:1"


def refusal(*arguments: str) -> str:
    """Return the reason why a command is rejected."""
    error = CliRunner().invoke(cli, arguments).exception
    assert isinstance(error, UsageError), (arguments, error)
    assert len(str(error).splitlines()) == 1
    return str(error)


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_a_command_for_this_host_only_is_rejected_with_the_reason(name: str, why: str) -> None:
    said = refusal(name, "--server", URL)
    assert said.startswith("--server cannot be used here: ")
    assert why in said


def test_commands_for_this_host_only_ignore_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMOC_SERVER", URL)
    made = CliRunner().invoke(cli, ["new", "made", "--kind", "http"])
    assert (made.exception, (tmp_path / "made.py").exists()) == (None, True)
    assert CliRunner().invoke(cli, ["completion", "bash"]).exception is None
    assert refusal("stop-server").startswith("no server is running for amoc-runs")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("run", "shop", "--run-dir", "x"), "names the directories"),
        (("plan", "shop", "--run-dir", "x"), "names the directories"),
        (("replay", "last", "--run-dir", "x"), "names the directories"),
        (("run", "shop", "--config", "c.toml"), "amoc.toml in its own"),
        (
            ("run", "shop", "--secret-file", "s"),
            "nodes of runs on a server are configured by its operator",
        ),
        (("check", "shop", "--run"), "in this process"),
        (("check", "shop", "--lock"), "of this host"),
        (("check", "shop", "--set", "a=1"), "amoc plan shows"),
        (("check", "shop", "--install-timeout", "1m"), "longer to install"),
    ],
)
def test_an_option_for_this_host_only_is_rejected_with_the_reason(
    arguments: Sequence[str], why: str
) -> None:
    said = refusal(*arguments, "--server", URL)
    assert "cannot be used with --server: " in said
    assert why in said


@pytest.mark.parametrize("command", ["run", "replay"])
def test_queue_requires_a_server(command: str) -> None:
    assert refusal(command, "shop.py", "--queue").startswith("--queue requires --server; ")
