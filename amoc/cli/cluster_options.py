"""The options of ``amoc run`` and ``amoc plan`` that choose the nodes of a run."""

from __future__ import annotations

import click

from amoc.base.errors import UsageError, value_error_as
from amoc.cli.param_types import CLUSTERS, PLACEMENTS, whole
from amoc.scenario import cluster
from amoc.users.placement import RULES

CLUSTER = click.option(
    "--cluster",
    "where",
    type=CLUSTERS,
    metavar="CLUSTER",
    default=cluster.ONE_NODE,
    help="Nodes to run on: local:3 starts three on this host, each with its own workers;"
    " ssh://h1,h2,user@h3 starts one on each of these hosts; ray:HEAD:6379 uses --nodes hosts of"
    " the Ray cluster that this host belongs to, ray://HEAD:10001 of any Ray cluster; join waits"
    " for --nodes nodes, each started with amoc node.  [default: local:1]",
)
NODES = click.option(
    "--nodes",
    type=whole(1, cluster.MAX_NODES),
    help="Number of nodes to wait for with --cluster join, or of hosts to use with ray:; for other"
    " clusters, use only the first N.",
)
PLACEMENT = click.option(
    "--placement",
    type=PLACEMENTS,
    metavar=f"[{'|'.join(RULES)}|…]",
    help="How to distribute users over the nodes: in turn, in blocks of consecutive ids, in"
    " proportion to CPU cores, or by an installed strategy.  [default: round-robin]",
)
ON_NODES = click.option(
    "--on-nodes",
    metavar="NODE,…",
    multiple=True,
    callback=lambda _context, _parameter, texts: tuple(
        name for text in texts for name in text.split(",") if name
    ),
    help="Run users on these nodes only, by name or host: node0,node1.  [default: all]",
)
ON_NODE_LOSS = click.option(
    "--on-node-loss",
    type=click.Choice(("restart", "continue", "fail")),
    default="restart",
    help="What to do when a node is lost: restart its users on the other nodes, continue without"
    " them, or fail the run.  [default: restart]",
)


def cluster_of(where: str, nodes: int | None) -> str:
    """Return ``--cluster`` and ``--nodes`` as one text.

    Raises:
        UsageError: They contradict each other.
    """
    with value_error_as(UsageError):
        return cluster.with_nodes(where, nodes)
