"""The loss of a node in a run of several nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

from amoc.base.errors import AmocError
from amoc.base.operator_log import OperatorLog
from amoc.base.text import counted
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.run_files import RunFiles
from amoc.runtime.controller.run_results import RunResults
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.services import Services
from amoc.runtime.controller.status import Status
from amoc.runtime.orphans import Orphans
from amoc.scenario import events
from amoc.scenario.run_plan import RunPlan


class NodeLoss:
    """Lets the run go on without a node, if the plan allows it.

    Attributes:
        at_end: Messages about nodes that were lost while users were stopping.
    """

    def __init__(
        self,
        plan: RunPlan,
        status: Status,
        files: RunFiles,
        results: RunResults,
        operator: OperatorLog,
        orphans: Orphans,
        directory: str,
    ) -> None:
        """Create it from the controller's parts.

        Args:
            plan: What is run.
            status: The run's status.
            files: Record losses in the journal.
            results: Keep the counts of lost nodes.
            operator: Told of losses.
            orphans: Processes that lost nodes leave running on this host.
            directory: Parent of the directories of nodes on this host.
        """
        self._plan = plan
        self._status = status
        self._files = files
        self._results = results
        self._operator = operator
        self._orphans = orphans
        self._directory = directory
        self.at_end: list[str] = []

    def go_on_without(self, services: Services | None, node: Node, error: AmocError) -> bool:
        """Go on without `node`, whose process has ended; return whether the run goes on."""
        state = self._status.state
        if services is None or state not in (State.RUNNING, State.PAUSED, State.STOPPING):
            return False
        if self._plan.on_node_loss == "fail":
            return False
        for one in self._orphans.end():  # its processes must not run alongside their replacements
            self._operator.warning(f"{one} was started by a user and cannot be killed")
        shutil.rmtree(Path(self._directory) / node.name, ignore_errors=True)
        restart = self._plan.on_node_loss == "restart" and state is not State.STOPPING
        again, lost = services.node_lost(node, restart)
        self._results.node_lost(node.name, str(error), lost)
        fates = [f"{counted(again, 'user')} will restart on the other nodes"] if restart else []
        if lost or not restart:
            fates.append(f"{counted(lost, 'user')} lost with it")
        text = f"{error}: {', '.join(fates)}; its metrics are kept up to its last sample"
        if state is State.STOPPING:
            self.at_end.append(text)
        self._operator.error(text)
        fields = {"name": node.name, "reason": str(error), "restarted": again, "lost": lost}
        self._files.write("node", **fields, state="lost")
        events.NODE_DOWN(node=node.name, reason=str(error))
        return True
