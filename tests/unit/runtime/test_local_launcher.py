"""Nodes on this host: started by number, given their task, watched, and none left behind."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from amoc.base.errors import ResourceError
from amoc.ipc import pipe
from amoc.ipc.messages.lifecycle import Bootstrap
from amoc.ipc.messages.links import BOOTSTRAP
from amoc.runtime.child import Started, start_module
from amoc.runtime.local_launcher import LocalLauncher
from tests.process.support import alive, eventually

BEGIN = Bootstrap(1, "run", "/nowhere", "trial.py", (), 1, 0, 1.0, 1.0, "info")


def start(_: str) -> Started:
    """What a node does first: it reads its bootstrap; then it says what it is."""
    return start_module(__name__, [])


def main() -> None:
    """Be such a node."""
    try:
        node = pipe.read_one(0, BOOTSTRAP).node
        print(f"node {node} has begun", flush=True)
        if node == 1:
            os.read(0, 1)
    except Exception as error:
        sys.exit(str(error))
    sys.exit(3)


def test_each_node_receives_its_own_bootstrap_and_the_launcher_knows_how_it_ended() -> None:
    nodes = LocalLauncher(start, 2).start("/nowhere")
    said: list[list[str]] = [[], []]
    for node, lines in zip(nodes, said, strict=True):
        node.begin(BEGIN._replace(node=node.number))
        node.watch(lines.append)
    assert [node.number for node in nodes] == [0, 1]
    assert nodes[1].ended() is None
    nodes[1].kill()
    nodes[1].end(60.0)
    assert nodes[1].ended() == "was killed by SIGKILL"
    nodes[0].end(60.0)
    assert nodes[0].ended() == "exited with 3"
    assert said[0] == ["node 0 has begun"]


def test_if_not_all_nodes_can_be_started_none_is_left() -> None:
    started: list[Started] = []

    def start_one(directory: str) -> Started:
        if started:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(start(directory))
        return started[0]

    with pytest.raises(ResourceError, match=r"node 1 cannot be started: .*unavailable"):
        LocalLauncher(start_one, 2).start("/nowhere")
    pid = started[0].pid
    eventually(lambda: not alive({pid}), "the first one leaves")
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
