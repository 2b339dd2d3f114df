"""Cluster options fit together or are rejected by name before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from amoc.base.errors import UsageError
from amoc.cli import cluster, run_options, serve
from amoc.runtime.local_launcher import LocalLauncher
from amoc.runtime.remote.launcher import RemoteLauncher

JOIN = ["--cluster", "join", "--nodes", "2", "--secret-file", "s"]


def launcher(*arguments: str):
    """The launcher for the nodes of such a run."""
    made = []

    @click.command()
    @run_options.options
    @cluster.options
    def run(reach, **given):
        made.append(cluster.launcher(run_options.plan(**given), reach))

    CliRunner().invoke(run, ["chat", *arguments], catch_exceptions=False, standalone_mode=False)
    return made[0]


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("a secret that is long enough")
    return str(path)


def test_a_run_without_cluster_options_uses_this_host():
    assert isinstance(launcher(), LocalLauncher)
    assert isinstance(launcher("--cluster", "local:2"), LocalLauncher)


def test_hosts_may_join_or_be_started_remotely(secret):
    join = ("--cluster", "join", "--nodes", "2", "--secret-file", secret)
    assert isinstance(launcher(*join), RemoteLauncher)
    assert launcher(*join).seats == 2
    assert launcher(*join, "--bind", "[::1]:4200", "--max-nodes", "5").seats == 5
    assert isinstance(
        launcher("--cluster", "ssh://h1,h2", "--advertise", "10.0.0.1"), RemoteLauncher
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--cluster", "join", "--nodes", "2"], "--cluster join requires --secret-file FILE"),
        (["--cluster", "join"], "--cluster join needs --nodes N"),
        (["--secret-file", "s"], "--secret-file requires --cluster join"),
        (["--cluster", "ssh://h1", "--secret-file", "s"], "--secret-file requires"),
        (["--cluster", "local:2", "--bind", "*"], "--bind requires --cluster join, ssh:// or ray:"),
        (["--advertise", "h"], "--advertise requires --cluster ssh:// or ray:"),
        (["--remote-amoc", "amoc"], "--remote-amoc requires --cluster ssh:// or ray:"),
        (["--join-timeout", "1m"], "--join-timeout requires --cluster join, ssh:// or ray:"),
        (["--max-nodes", "3"], "--max-nodes requires --cluster join"),
        ([*JOIN, "--max-nodes", "1"], "--max-nodes must be at least --nodes 2, got 1"),
        (["--cluster", "ssh://h1", "--advertise", "h:4100"], "must be a host without a port"),
        (["--cluster", "ssh://h1", "--advertise", "h';id'"], "--advertise must be an address"),
        (["--cluster", "ray:h:6379"], "--cluster ray:h:6379 needs --nodes N"),
        (["--cluster", "ray:h:6379", "--nodes", "2"], r"an extra: pip install 'amoc\[ray\]'"),
        (["--cluster", "ray:h:6379", "--nodes", "2", "--secret-file", "s"], "requires --cluster"),
        (["--cluster", "ssh://h1", "--nodes", "2"], "has 1 node, but --nodes says 2"),
        (["--cluster", "ssh://h1", "--bind", "a b"], "--bind must be an address such as"),
        (
            ["--cluster", "join", "--nodes", "1", "--secret-file", "/nowhere"],
            "--secret-file /nowhere cannot be read",
        ),
    ],
)
def test_incompatible_cluster_options_are_rejected(monkeypatch, arguments, why):
    monkeypatch.setitem(sys.modules, "ray", None)  # not installed
    with pytest.raises(UsageError, match=why):
        launcher(*arguments)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--cluster", "join"], "--cluster join needs --nodes N"),
        (["--cluster", "join", "--nodes", "2"], "--cluster join requires --secret-file FILE"),
        (["--secret-file", "s"], "--secret-file requires --cluster join"),
        (["--cluster", "ray:h:1", "--nodes", "2", "--parallel", "2"], "--cluster ray takes one"),
        (
            ["--cluster", "ssh://h1", "--bind", "*:4100", "--parallel", "2"],
            "--bind with a port takes one run at a time, so --parallel must be 1, got 2",
        ),
    ],
)
def test_a_server_rejects_the_cluster_options_its_runs_would_reject(arguments, why):
    with pytest.raises(UsageError, match=why):
        CliRunner().invoke(serve.serve, arguments, catch_exceptions=False, standalone_mode=False)
