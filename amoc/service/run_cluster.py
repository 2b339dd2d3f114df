"""The nodes of the server's runs, which only its operator chooses, when it starts. Pure.

Clients may use fewer of these nodes, or nodes on the server's own host. So no token lets a client
start programs on other hosts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from amoc.scenario import cluster
from amoc.service.requests import LOCAL_NODES


@dataclass(frozen=True)
class RunCluster:
    """The nodes of runs that do not name any.

    Attributes:
        text: As for ``--cluster``; empty for one node on this host.
        reach: Options of ``amoc run`` for reaching them.
    """

    text: str = ""
    reach: tuple[str, ...] = ()

    def plan_options(self, wanted: str | None) -> list[str]:
        """Return the options for ``amoc plan``; `wanted` is None if the run uses these nodes."""
        return [f"--cluster={self.text}"] if self.text and wanted is None else []

    def run_options(self, wanted: str | None) -> list[str]:
        """Return the options for ``amoc run``; `wanted` is as above."""
        options = self.plan_options(wanted)
        return [*options, *self.reach] if options else []

    def replay_options(self, theirs: str) -> list[str] | None:
        """Return the options to repeat a run on the nodes `theirs`; None if that is not allowed."""
        if re.fullmatch(LOCAL_NODES, theirs):
            return []
        try:
            found, mine = cluster.parse(theirs), cluster.parse(self.text)
        except ValueError:
            return None
        covered = found.engine == mine.engine and set(found.hosts) <= set(mine.hosts)
        return [*self.reach] if covered and found.nodes <= mine.nodes else None


THIS_HOST = RunCluster()
