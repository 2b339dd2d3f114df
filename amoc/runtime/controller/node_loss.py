"""The loss of a node in a run of several nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

from amoc.base.errors import AmocError
from amoc.base.text import counted
from amoc.runtime.controller.node_state import Node
from amoc.runtime.controller.run import Run
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.services import Services
from amoc.runtime.orphans import Orphans
from amoc.scenario import events


class NodeLoss:
    """Lets the run go on without a node, if the plan allows it.

    Attributes:
        at_end: Messages about nodes that were lost while users were stopping.
    """

    def __init__(self, run: Run, orphans: Orphans, directory: str) -> None:
        """Create it.

        Args:
            run: The run.
            orphans: Processes that lost nodes leave running on this host.
            directory: Parent of the directories of nodes on this host.
        """
        self._run = run
        self._orphans = orphans
        self._directory = directory
        self.at_end: list[str] = []

    def go_on_without(self, services: Services | None, node: Node, error: AmocError) -> bool:
        """Go on without `node`, whose process has ended; return whether the run goes on."""
        state = self._run.status.state
        if services is None or state not in (State.RUNNING, State.PAUSED, State.STOPPING):
            return False
        if self._run.plan.on_node_loss == "fail":
            return False
        for one in self._orphans.end():  # its processes must not run alongside their replacements
            self._run.operator.warning(f"{one} was started by a user and cannot be killed")
        shutil.rmtree(Path(self._directory) / node.name, ignore_errors=True)
        restart = self._run.plan.on_node_loss == "restart" and state is not State.STOPPING
        again, lost = services.node_lost(node, restart)
        self._run.results.node_lost(node.name, str(error), lost)
        fates = [f"{counted(again, 'user')} will restart on the other nodes"] if restart else []
        if lost or not restart:
            fates.append(f"{counted(lost, 'user')} lost with it")
        text = f"{error}: {', '.join(fates)}; its metrics are kept up to its last sample"
        if state is State.STOPPING:
            self.at_end.append(text)
        self._run.operator.error(text)
        fields = {"name": node.name, "reason": str(error), "restarted": again, "lost": lost}
        self._run.files.write("node", **fields, state="lost")
        events.NODE_DOWN(node=node.name, reason=str(error))
        return True
