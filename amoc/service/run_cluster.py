"""Where the server's runs have their nodes: its operator says so at its start, and nobody later.

Who may start runs may have fewer of these nodes, or nodes of the server's own host, so no token
starts programs anywhere else. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from amoc.scenario import cluster
from amoc.service.requests import LOCAL_NODES


@dataclass(frozen=True)
class RunCluster:
    """The nodes of runs that name none.

    Attributes:
        text: As ``--cluster`` takes it; empty means one node on this host.
        reach: Options of ``amoc run`` that say how they are reached.
    """

    text: str = ""
    reach: tuple[str, ...] = ()

    def plan_options(self, wanted: str | None) -> list[str]:
        """What ``amoc plan`` has to be told where a run wants those nodes; None: the server's."""
        return [f"--cluster={self.text}"] if self.text and wanted is None else []

    def run_options(self, wanted: str | None) -> list[str]:
        """The same for ``amoc run``."""
        options = self.plan_options(wanted)
        return [*options, *self.reach] if options else []

    def replay_options(self, theirs: str) -> list[str] | None:
        """What repeats a run that was on `theirs`; None where the server may not start that."""
        if re.fullmatch(LOCAL_NODES, theirs):
            return []
        try:
            found, mine = cluster.parse(theirs), cluster.parse(self.text)
        except ValueError:
            return None
        covered = found.engine == mine.engine and set(found.hosts) <= set(mine.hosts)
        return [*self.reach] if covered and found.nodes <= mine.nodes else None


THIS_HOST = RunCluster()
