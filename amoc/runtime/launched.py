"""The launch of a run: its id, the directory of its sockets, and its nodes.

The nodes are told at once what to load, so that they load it in parallel with the controller's own
modules.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import zmq

from amoc.base.process import raise_fd_limit
from amoc.ipc import bus
from amoc.ipc.messages.lifecycle import Bootstrap
from amoc.ipc.messages.links import FROM_NODE, TO_NODE, FromNode, ToNode
from amoc.runtime.launcher import LaunchedNode, Launcher, node_name
from amoc.scenario.fd_budget import check_limit
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.settings import Source


class Launched(NamedTuple):
    """A run that has been launched.

    Attributes:
        run_id: Its id.
        directory: Directory of its sockets.
        context: ZeroMQ context of its sockets.
        parent: The controller's end of the bus to the nodes.
        nodes: The nodes, by number.
        launcher: Has started them, and accepts nodes that join later.
    """

    run_id: str
    started_at: datetime
    directory: str
    context: zmq.Context[zmq.Socket[bytes]]
    parent: bus.Parent[ToNode, FromNode]
    nodes: Sequence[LaunchedNode]
    launcher: Launcher

    def begin(self, plan: RunPlan, node: LaunchedNode, workers: int = 0) -> None:
        """Have a node take part in the run of `plan`, with this number of `workers` if given."""
        self.parent.expect(node_name(node.number), node.public_key)
        bootstrap = _bootstrap(plan, self.run_id, self.directory, node.number)
        if workers:
            reserved = Source("--max-nodes", {"workers": workers}, strict=True)
            bootstrap = bootstrap._replace(sources=(reserved, *plan.sources))
        node.begin(bootstrap)

    def close(self) -> None:
        """Close the sockets after the last message, and remove their directory."""
        self.parent.close()
        self.launcher.close()
        self.context.destroy(linger=bus.LINGER_MS)
        shutil.rmtree(self.directory, ignore_errors=True)


def launch(plan: RunPlan, launcher: Launcher) -> Launched:
    """Launch the run of `plan` on the nodes that `launcher` starts.

    Raises:
        ResourceError: They cannot be started, or the sockets cannot be created.
    """
    check_limit(raise_fd_limit())
    started_at = datetime.now(UTC)
    # The start time, and a part of the seed to tell apart runs of the same second.
    run_id = f"{started_at:%Y%m%dT%H%M%S}-{plan.seed % 0x10000:04x}"
    directory = bus.new_directory()
    # Before the directory exists: from now on a node removes it if this process is killed. And
    # before there is a ZeroMQ context, whose threads would be missing in a fork.
    nodes = launcher.start(directory)
    context, place = launcher.listen(directory)
    try:
        Path(directory).mkdir(0o700)
        parent = bus.Parent(context, place, TO_NODE, FROM_NODE)
    except BaseException:
        launcher.close()
        context.destroy(linger=0)
        shutil.rmtree(directory, ignore_errors=True)
        raise
    launcher.bound_at(parent.endpoints)
    launched = Launched(run_id, started_at, directory, context, parent, nodes, launcher)
    for node in nodes:
        launched.begin(plan, node)
    return launched


def _bootstrap(plan: RunPlan, run_id: str, directory: str, number: int) -> Bootstrap:
    """Return what a node needs to start."""
    return Bootstrap(
        node=number,
        run_id=run_id,
        endpoint=directory,
        scenario=plan.scenario,
        sources=plan.sources,
        highest_id=plan.ids[-1],
        seed=plan.seed,
        init_timeout_s=plan.init_timeout_s,
        stop_timeout_s=plan.stop_timeout_s,
        log_level=plan.log_level,
        users=(plan.users.start, plan.users.stop),
        duration_s=plan.duration_s,
        libraries=plan.libraries,
        max_users=plan.arrivals.max_users if plan.arrivals is not None else 0,
        first_arrival=plan.loads.first_arrival if plan.loads is not None else 1,
    )
