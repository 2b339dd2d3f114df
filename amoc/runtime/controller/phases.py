"""What a node goes through, as the controller waits for it: load, init(), users, terminate().

Each phase is a function: it tells the node what to do and waits for its answer, or raises what went
wrong. None of them knows the other parts of the controller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from amoc.base.errors import ExitCode
from amoc.base.text import counted
from amoc.ipc.messages.lifecycle import Hello, Init, Loaded, Ready, Terminate, Terminated
from amoc.ipc.messages.users import Stopped, StopUsers
from amoc.runtime.controller.node_link import NodeLink, failed
from amoc.runtime.launcher import node_name
from amoc.scenario import events
from amoc.scenario.plugins import Plugin
from amoc.scenario.run_plan import RunPlan

JOIN_S = 60.0
"""A host that is busy may take long to start a few processes; one that died is told at once."""
WORKERS_UP_S = 60.0
EACH_WORKER_UP_S = 0.5
STOP_MARGIN_S = 20.0
"""On top of --stop-timeout: the node itself kills what hangs, well before this."""

_log = logging.getLogger(__name__)


def load(node: NodeLink, plan: RunPlan, plugins: Sequence[Plugin]) -> Loaded:
    """Wait until the node has loaded the scenario.

    Args:
        node: The line to it.
        plan: What to run.
        plugins: What is imported besides the scenario.

    Raises:
        AmocError: It does not come up in time, or the scenario cannot be loaded.
    """
    node.wait_for(Hello, JOIN_S, "the node", "join")
    _log.info("node %s has joined", node_name(0))
    if events.NODE_UP.heard:
        events.NODE_UP(node=node_name(0))
    imported = ", ".join([*(f"plugin {one}" for one in plugins), plan.scenario])
    return node.wait_for(
        Loaded,
        plan.init_timeout_s,
        f"importing {imported}",
        "finish",
        "(--init-timeout)",
        ExitCode.INIT_TIMEOUT,
    )


def init(node: NodeLink, plan: RunPlan, logs_directory: str) -> Ready:
    """Have the node initialise the scenario.

    Raises:
        AmocError: It does not return in time, or fails.
    """
    node.send(Init(logs_directory))
    return node.wait_for(
        Ready,
        plan.init_timeout_s,
        f"init() of {plan.scenario}",
        "return",
        "(--init-timeout)",
        ExitCode.INIT_TIMEOUT,
    )


def wait_workers(node: NodeLink, workers: int, up: Callable[[], int]) -> None:
    """Wait until all `workers` are up, as `up` counts them.

    Raises:
        AmocError: They are not, in time.
    """
    deadline_s = WORKERS_UP_S + EACH_WORKER_UP_S * workers
    node.until(lambda: up() == workers, deadline_s, "the workers", "come up")


def stop_users(node: NodeLink, plan: RunPlan) -> Stopped:
    """Have all users leave; how that went.

    Raises:
        AmocError: The node does not say in time.
    """
    node.send(StopUsers(plan.stop_timeout_s))
    deadline_s = plan.stop_timeout_s + STOP_MARGIN_S
    return node.wait_for(Stopped, deadline_s, "the node", "stop its users")


def terminate(node: NodeLink, plan: RunPlan, stopped: Stopped) -> None:
    """Have the node end its workers and tidy up, after its users have `stopped`.

    Raises:
        AmocError: terminate() fails or does not return in time; or not all users have left.
    """
    node.send(Terminate())
    deadline_s = plan.init_timeout_s + STOP_MARGIN_S
    last = node.wait_for(Terminated, deadline_s, f"terminate() of {plan.scenario}", "return")
    if last.error:
        raise failed(ExitCode.TERMINATE_FAILED, last.error)
    if stopped.stuck or stopped.lost:
        raise failed(ExitCode.STUCK, _who_stayed(stopped))


def _who_stayed(stopped: Stopped) -> str:
    parts = []
    if stopped.stuck:
        ids = ", ".join(map(str, stopped.stuck))
        parts.append(f"users did not stop even when they were killed: {ids}")
    if stopped.lost:
        were = "was" if stopped.lost == 1 else "were"
        parts.append(f"{counted(stopped.lost, 'user')} {were} lost with their worker")
    return "; ".join(parts)
