"""A run over ssh whose users are changed by commands."""

from __future__ import annotations

import sys

from tests.cluster.hosts import ROOT
from tests.cluster.runs import Run, until_ended
from tests.cluster.walk import USERS, Console, walk_through


def test_users_are_added_and_removed_on_hosts_during_a_watched_run(hosts, tmp_path):
    head, *nodes = hosts(3).hosts
    env = {"TMPDIR": str(head.home), "PYTHONPATH": str(ROOT)}
    names = ",".join(host.name for host in nodes)
    remote = ["--remote-amoc", f"{sys.executable} -m amoc"]
    options = ["--cluster", f"ssh://{names}", *remote, "--users", str(USERS)]
    with until_ended(Run(head, nodes, tmp_path, 100_000, options, sys.executable, env)) as run:
        walk_through(run, Console(run, sys.executable, env))
        run.wait_for_nothing_left()
