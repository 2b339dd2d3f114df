"""The nodes of a run, as given by ``--cluster``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from amoc.base.text import counted

LOCAL, JOIN, SSH, RAY = "local", "join", "ssh", "ray"
ONE_NODE = f"{LOCAL}:1"
"""The default."""
MAX_LOCAL = 64
MAX_NODES = 1_000
MAX_PORT = 65_535
_RULE = (
    f"must be local:N with N from 1 to {MAX_LOCAL}, join, hosts such as ssh://h1,h2,user@h3:2222,"
    " or a Ray cluster such as ray:head:6379 or ray://head:10001"
)
_COUNTED = re.compile(rf"({LOCAL}|{JOIN}):(\d{{1,4}})")
_HOST = r"(?:[\w.-]+@)?(?:\[[0-9a-fA-F:]+\]|\w[\w.-]*)(?::\d{1,5})?"
_RAY = re.compile(
    rf"{RAY}:(?:(//)?)((?:\[[0-9a-fA-F:]+\]|\w[\w.-]*):\d{{1,5}})(?:\?nodes=(\d{{1,4}}))?"
)
_HOSTS = re.compile(rf"{SSH}://({_HOST}(?:,{_HOST})*)")


class Cluster(NamedTuple):
    """The engine that starts nodes, and their number."""

    engine: str
    nodes: int
    """0 if not given yet."""
    hosts: tuple[str, ...] = ()
    """Hosts for ssh: ``user@host:port``, IPv6 in brackets; user and port are optional. Or Ray's
    address: ``host:port`` inside the cluster, ``ray://host:port`` from outside."""


def parse(text: str) -> Cluster:
    """Parse the value of ``--cluster``.

    Args:
        text: ``local:3``, ``join:3``, ``join``, ``ssh://h1,h2``, ``ray:head:6379``, or
            ``ray://head:10001?nodes=3``.

    Raises:
        ValueError: It is invalid; the message has the rule and the text.
    """
    if text == JOIN:
        return Cluster(JOIN, 0)
    if found := _COUNTED.fullmatch(text):
        engine, count = found[1], int(found[2])
        if 1 <= count <= (MAX_LOCAL if engine == LOCAL else MAX_NODES):
            return Cluster(engine, count)
    elif found := _HOSTS.fullmatch(text):
        hosts = tuple(found[1].split(","))
        if len(hosts) <= MAX_NODES:
            return Cluster(SSH, len(hosts), hosts)
    elif found := _RAY.fullmatch(text):
        slashes, address, count = found[1], found[2], int(found[3] or 0)
        known = 1 <= count <= MAX_NODES or found[3] is None
        if known and 1 <= int(address.rpartition(":")[2]) <= MAX_PORT:
            return Cluster(RAY, count, (f"{RAY}://{address}" if slashes else address,))
    raise ValueError(f"{_RULE}, got {text!r}")


def with_nodes(text: str, nodes: int | None) -> str:
    """Return the cluster `text` with the number from ``--nodes``, which ``join`` and Ray require.

    For other engines it selects the first nodes of those named.

    Raises:
        ValueError: The two are in conflict; the message says why.
    """
    found = parse(text)
    if not found.nodes and nodes is None:
        what = "nodes to wait for" if found.engine == JOIN else "hosts to take"
        raise ValueError(f"--cluster {text} needs --nodes N, the number of {what}")
    if nodes is None or nodes == found.nodes:
        return text
    if found.nodes and nodes > found.nodes:
        raise ValueError(
            f"--cluster {text} has {counted(found.nodes, 'node')}, but --nodes says {nodes}"
        )
    if found.engine == SSH:
        return f"{SSH}://{','.join(found.hosts[:nodes])}"
    if found.engine == RAY:
        return f"{text.partition('?')[0]}?nodes={nodes}"
    return f"{found.engine}:{nodes}"
