"""Runs of a server use its operator's nodes, some of them, or its own host."""

from __future__ import annotations

import pytest

from amoc.service.run_cluster import THIS_HOST, RunCluster

HOSTS = RunCluster("ssh://h1,h2,h3", ("--remote-amoc=/opt/amoc",))


def test_a_run_without_nodes_uses_the_servers_nodes():
    assert HOSTS.run_options(None) == ["--cluster=ssh://h1,h2,h3", "--remote-amoc=/opt/amoc"]
    assert HOSTS.plan_options(None) == ["--cluster=ssh://h1,h2,h3"]
    assert HOSTS.run_options("local:2") == HOSTS.plan_options("local:2") == []
    assert THIS_HOST.run_options(None) == []


@pytest.mark.parametrize(
    ("cluster", "theirs", "options"),
    [
        (HOSTS, "local:4", []),
        (HOSTS, "ssh://h3,h1", ["--remote-amoc=/opt/amoc"]),
        (HOSTS, "ssh://h1,h4", None),
        (HOSTS, "ssh://root@h1", None),
        (HOSTS, "join:2", None),
        (RunCluster("join:4", ("--secret-file=/s",)), "join:3", ["--secret-file=/s"]),
        (RunCluster("join:4", ("--secret-file=/s",)), "join:5", None),
        (THIS_HOST, "local:1", []),
        (THIS_HOST, "ssh://h1", None),
        (THIS_HOST, "what else", None),
    ],
)
def test_a_replay_uses_the_servers_nodes(cluster, theirs, options):
    assert cluster.replay_options(theirs) == options
