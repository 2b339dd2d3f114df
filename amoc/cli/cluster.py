"""``--secret-file``, ``--bind`` and others: how a run reaches its nodes on other hosts."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from amoc.base.errors import UsageError
from amoc.cli.messages import say
from amoc.cli.option_groups import gathered
from amoc.cli.param_types import duration, whole
from amoc.scenario import cluster
from amoc.scenario.run_plan import RunPlan

if TYPE_CHECKING:
    from amoc.runtime.launcher import Launcher
    from amoc.runtime.remote.launcher import Starter


JOIN_TIMEOUT_S = 60.0

LOADED_BEFORE = (
    "amoc.cli.signals",
    "amoc.cli.view.keyboard",
    "amoc.cli.view.live",
    "amoc.cli.view.plain",
    "amoc.cli.view.shown_run",
    "amoc.cli.view.summary",
    "amoc.runtime.controller.controller",
)
"""Modules that a run loads while its local nodes start. Nodes on other hosts join after they have
been loaded: that can take 8 s, and a node that is not heard from for so long counts as lost."""


class Reach(NamedTuple):
    """How nodes on other hosts are reached.

    Attributes:
        secret_file: File with the secret that nodes join with.
        bind: Address to listen on for them.
        advertise: Host of the controller as seen from hosts of ssh and Ray.
        join_timeout_s: Time for all nodes to join.
        remote_amoc: Command that runs amoc on hosts of ssh and Ray; None for the default.
        max_nodes: Maximum number of nodes, including those that join during the run.
    """

    secret_file: str | None = None
    bind: str | None = None
    advertise: str | None = None
    join_timeout_s: float | None = None
    remote_amoc: str | None = None
    max_nodes: int | None = None

    def given(self) -> dict[str, str]:
        """Return the command-line options that were given, with absolute paths."""
        file = self.secret_file
        every = {
            "--secret-file": file if file is None else str(Path(file).absolute()),
            "--bind": self.bind,
            "--advertise": self.advertise,
            "--join-timeout": None if self.join_timeout_s is None else f"{self.join_timeout_s:g}s",
            "--remote-amoc": self.remote_amoc,
            "--max-nodes": None if self.max_nodes is None else str(self.max_nodes),
        }
        return {option: value for option, value in every.items() if value is not None}


_JOIN = (cluster.JOIN,), "join"
_BY_US = (cluster.SSH, cluster.RAY), "ssh:// or ray:"
_ELSEWHERE = (cluster.JOIN, *_BY_US[0]), f"join, {_BY_US[1]}"
_ENGINES = {
    "--secret-file": _JOIN,
    "--advertise": _BY_US,
    "--remote-amoc": _BY_US,
    "--bind": _ELSEWHERE,
    "--join-timeout": _ELSEWHERE,
    "--max-nodes": _JOIN,
}
"""The engines that an option applies to, and their names for messages."""


options = gathered(
    "reach",
    Reach,
    click.option(
        "--secret-file",
        metavar="FILE",
        help="File with the secret that the nodes of --cluster join share with the run.",
    ),
    click.option(
        "--bind",
        metavar="ADDRESS",
        help="Address to listen on for nodes on other hosts, such as 10.0.0.1:4100; the next four"
        " ports are used as well.  [default: *:4100 for join; all interfaces and any free ports for"
        " ssh and Ray]",
    ),
    click.option(
        "--advertise",
        metavar="HOST",
        help="Address or name of this host for nodes of --cluster ssh:// or ray: to connect"
        " to.  [default: the address that ssh connects from, or that Ray knows]",
    ),
    click.option(
        "--join-timeout",
        "join_timeout_s",
        type=duration(),
        help="Time for all nodes on other hosts to join.  [default: 1m]",
    ),
    click.option(
        "--remote-amoc",
        metavar="COMMAND",
        help="Command that runs amoc on hosts of --cluster ssh:// or ray:.  [default: amoc for ssh;"
        " -m amoc of the Python that runs Ray]",
    ),
    click.option(
        "--max-nodes",
        type=whole(1, cluster.MAX_NODES),
        help="With --cluster join: let nodes join during the run, up to N in total, including lost"
        " ones.  [default: --nodes]",
    ),
)
"""Adds the options to a command, which is called with ``reach``, a `Reach`."""


def launcher(plan: RunPlan, reach: Reach) -> Launcher:
    """Return the launcher for the nodes of `plan`.

    Raises:
        AmocError: The options contradict each other, or the scenario cannot be sent.
    """
    wanted = cluster.parse(plan.cluster)
    check(wanted, reach)
    if wanted.engine == cluster.LOCAL:
        from amoc.runtime import host
        from amoc.runtime.local_launcher import LocalLauncher

        return LocalLauncher(host.start, wanted.nodes)
    for needed in LOADED_BEFORE:
        import_module(needed)
    from amoc.install import bundle
    from amoc.runtime.remote import address, secret
    from amoc.runtime.remote.launcher import RemoteLauncher

    port = address.DEFAULT_PORT if wanted.engine == cluster.JOIN else 0
    bind = address.parse(reach.bind or "*", "--bind", port)
    here = address.parse(reach.advertise or "", "--advertise", 0)
    if here.port or here.host == "*":
        raise UsageError(f"--advertise must be a host without a port, got {reach.advertise}")
    starter = _starter(wanted, reach, here.host)
    known = secret.fresh() if reach.secret_file is None else secret.in_file(reach.secret_file)
    return RemoteLauncher(
        wanted.nodes,
        known,
        bind,
        bundle.made_of(plan.scenario, plan.libraries),
        JOIN_TIMEOUT_S if reach.join_timeout_s is None else reach.join_timeout_s,
        starter,
        say,
        reach.max_nodes or 0,
    )


def _starter(wanted: cluster.Cluster, reach: Reach, advertise: str) -> Starter | None:
    """Return what starts nodes on the hosts of `wanted`; None if they join on their own."""
    if wanted.engine == cluster.SSH:
        from amoc.runtime.remote.ssh import SshStarter

        return SshStarter(wanted.hosts, reach.remote_amoc or "amoc", advertise)
    if wanted.engine == cluster.RAY:
        from amoc.runtime.remote.ray.starter import RayStarter

        (head,) = wanted.hosts
        return RayStarter(head, wanted.nodes, reach.remote_amoc or "", advertise, say)
    return None


def check(wanted: cluster.Cluster, reach: Reach) -> None:
    """Check that the options apply to the cluster.

    Raises:
        UsageError: One does not.
    """
    if wanted.engine == cluster.JOIN and reach.secret_file is None:
        raise UsageError(
            "--cluster join requires --secret-file FILE, whose secret only the nodes of the run"
            " may know"
        )
    given = reach.given()
    for option, (engines, which) in _ENGINES.items():
        if option in given and wanted.engine not in engines:
            raise UsageError(f"{option} requires --cluster {which}")
    if reach.max_nodes is not None and reach.max_nodes < wanted.nodes:
        raise UsageError(
            f"--max-nodes must be at least --nodes {wanted.nodes}, got {reach.max_nodes}"
        )
