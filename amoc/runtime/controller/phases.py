"""The phases of nodes as the controller waits for them: load, init(), users, terminate().

Each phase is a function: it sends an order to the nodes and waits for all replies, or raises what
went wrong. None of them knows the controller's other parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from amoc.base.errors import ExitCode
from amoc.base.text import counted
from amoc.ipc.messages.lifecycle import Hello, Init, Loaded, Ready, Terminate, Terminated
from amoc.ipc.messages.placement import Layout
from amoc.ipc.messages.users import Stopped, StopUsers
from amoc.runtime.controller.nodes import Nodes, failed
from amoc.scenario import events
from amoc.scenario.plugins import Plugin
from amoc.scenario.run_plan import RunPlan

WORKERS_UP_S = 60.0
EACH_WORKER_UP_S = 0.5
STOP_MARGIN_S = 20.0
"""Added to --stop-timeout; the node itself kills users that hang well before this."""

_log = logging.getLogger(__name__)


def load(nodes: Nodes, plan: RunPlan, plugins: Sequence[Plugin]) -> dict[str, Loaded]:
    """Wait until all nodes have loaded the scenario.

    Args:
        nodes: The connections to the nodes.
        plan: What to run.
        plugins: Plugins that are imported besides the scenario.

    Returns:
        What each node has loaded, by its name.

    Raises:
        AmocError: A node does not join in time, or the scenario cannot be loaded.
    """
    join_s = max(node.launched.hello_s for node in nodes.all)
    for name in nodes.wait_for(Hello, join_s, _whom(nodes), "join"):
        _log.info("node %s has joined", name)
        events.NODE_UP(node=name)
    imported = ", ".join([*(f"plugin {one}" for one in plugins), plan.scenario])
    what = f"importing {imported}"
    return nodes.wait_for(Loaded, plan.init_timeout_s, what, "finish", of_init=True)


def init(
    nodes: Nodes,
    plan: RunPlan,
    logs_directory: str,
    layout: Layout,
    meanwhile: Callable[[], object],
) -> dict[str, Ready]:
    """Have each node initialise the scenario; return what that has declared, by node name.

    Args:
        nodes: The connections to the nodes.
        plan: What to run.
        logs_directory: Where their processes write their logs.
        layout: The workers of each node.
        meanwhile: Called once the nodes have started.

    Raises:
        AmocError: init() fails, or does not return in time.
    """
    nodes.send_all(Init(logs_directory, layout))
    meanwhile()
    what = f"init() of {plan.scenario}"
    return nodes.wait_for(Ready, plan.init_timeout_s, what, "return", of_init=True)


def wait_workers(nodes: Nodes, workers: int, up: Callable[[], int]) -> None:
    """Wait until all `workers` are up, as counted by `up`.

    Raises:
        AmocError: They are not in time.
    """
    deadline_s = WORKERS_UP_S + EACH_WORKER_UP_S * workers
    nodes.until(lambda: up() == workers, deadline_s, "the workers", "start")


def stop_users(nodes: Nodes, plan: RunPlan) -> Stopped:
    """Have all users leave; return how that went.

    Raises:
        AmocError: A node does not reply in time.
    """
    nodes.send_all(StopUsers(plan.stop_timeout_s))
    deadline_s = plan.stop_timeout_s + STOP_MARGIN_S
    stopped = nodes.wait_for(Stopped, deadline_s, _whom(nodes), "stop its users").values()
    return Stopped(
        killed=sum(one.killed for one in stopped),
        stuck=[user_id for one in stopped for user_id in one.stuck],
        lost=sum(one.lost for one in stopped),
    )


def terminate(nodes: Nodes, plan: RunPlan, stopped: Stopped) -> None:
    """Have each node end its workers and clean up, after its users have `stopped`.

    Raises:
        AmocError: terminate() fails or does not return in time, or not all users have left.
    """
    nodes.send_all(Terminate())
    deadline_s = plan.init_timeout_s + STOP_MARGIN_S
    what = f"terminate() of {plan.scenario}"
    errors = [one.error for one in nodes.wait_for(Terminated, deadline_s, what, "return").values()]
    for error in filter(None, errors):
        raise failed(ExitCode.TERMINATE_FAILED, error)
    if stopped.stuck or stopped.lost:
        raise failed(ExitCode.STUCK, _who_stayed(stopped))


def _whom(nodes: Nodes) -> str:
    return "the node" if len(nodes.all) == 1 else "at least one node"


def _who_stayed(stopped: Stopped) -> str:
    parts = []
    if stopped.stuck:
        ids = ", ".join(map(str, stopped.stuck))
        parts.append(f"users did not stop even when they were killed: {ids}")
    if stopped.lost:
        were = "was" if stopped.lost == 1 else "were"
        parts.append(f"{counted(stopped.lost, 'user')} {were} lost with their worker")
    return "; ".join(parts)
