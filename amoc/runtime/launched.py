"""The beginning of a run: its name, the directory of its sockets, and its node's process.

The node is told at once what to load, so it does that while the controller is still loading what it
needs itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import zmq

from amoc.ipc import bus, pipe
from amoc.ipc.messages.lifecycle import Bootstrap
from amoc.ipc.messages.links import BOOTSTRAP, FROM_NODE, TO_NODE, FromNode, ToNode
from amoc.runtime.child import Started
from amoc.scenario.run_plan import RunPlan

NODE = "node0"


@dataclass(frozen=True)
class Launched:
    """A run that has begun.

    Attributes:
        run_id: Its name.
        directory: Where its sockets are.
        context: Where they were made.
        parent: The controller's end of the line to the node.
        node: The node's process.
    """

    run_id: str
    started_at: datetime
    directory: str
    context: zmq.Context[zmq.Socket[bytes]]
    parent: bus.Parent[ToNode, FromNode]
    node: Started

    def close(self) -> None:
        """Close the sockets, when all was said, and remove their directory."""
        self.parent.close()
        self.context.destroy(linger=bus.LINGER_MS)
        shutil.rmtree(self.directory, ignore_errors=True)


def launch(plan: RunPlan, start_node: Callable[[str], Started]) -> Launched:
    """Begin the run of `plan`; `start_node` starts the node's process, for a directory.

    Raises:
        ResourceError: There can be no sockets in the directory.
    """
    started_at = datetime.now(UTC)
    # When it began, and a part of its seed to tell twins apart.
    run_id = f"{started_at:%Y%m%dT%H%M%S}-{plan.seed % 0x10000:04x}"
    directory = bus.new_directory()
    # Before there is a directory: from now on, whenever we are killed, the node removes it. And
    # before there is a ZeroMQ context, whose threads would not be in a fork.
    node = start_node(directory)
    context = zmq.Context()
    try:
        Path(directory).mkdir(0o700)
        parent = bus.Parent(context, directory, TO_NODE, FROM_NODE)
    except BaseException:
        context.destroy(linger=0)
        shutil.rmtree(directory, ignore_errors=True)
        raise
    parent.expect(NODE)
    bootstrap = Bootstrap(
        node=0,
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
    )
    with suppress(BrokenPipeError):  # it has ended already; who waits for it will see that
        pipe.write(node.input, BOOTSTRAP, bootstrap)
    return Launched(run_id, started_at, directory, context, parent, node)
