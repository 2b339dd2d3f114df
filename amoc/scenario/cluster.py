"""Where the nodes of a run are, as ``--cluster`` says it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from amoc.base.text import counted

LOCAL, JOIN, SSH = "local", "join", "ssh"
MAX_LOCAL = 64
MAX_NODES = 1_000
_RULE = (
    f"must be local:N with N from 1 to {MAX_LOCAL}, join, or hosts such as ssh://h1,h2,user@h3:2222"
)
_COUNTED = re.compile(rf"({LOCAL}|{JOIN}):(\d{{1,4}})")
_HOST = r"(?:[\w.-]+@)?(?:\[[0-9a-fA-F:]+\]|\w[\w.-]*)(?::\d{1,5})?"
_HOSTS = re.compile(rf"{SSH}://({_HOST}(?:,{_HOST})*)")


class Cluster(NamedTuple):
    """Which engine starts nodes, and how many."""

    engine: str
    nodes: int
    """0 where that is not said yet."""
    hosts: tuple[str, ...] = ()
    """Those of ssh: ``user@host:port``, with IPv6 in brackets; only the host is needed."""


def parse(text: str) -> Cluster:
    """The cluster that `text` means: ``local:3``, ``join:3``, ``join``, ``ssh://h1,h2``.

    Raises:
        ValueError: It means none; the message has the rule and the text.
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
    raise ValueError(f"{_RULE}, got {text!r}")


def with_nodes(text: str, nodes: int | None) -> str:
    """The cluster `text` with ``--nodes``, which ``join`` needs and others may repeat.

    Raises:
        ValueError: They do not go together; the message says why.
    """
    found = parse(text)
    if found.nodes and nodes not in (None, found.nodes):
        raise ValueError(
            f"--cluster {text} has {counted(found.nodes, 'node')}, but --nodes says {nodes}"
        )
    if not found.nodes and nodes is None:
        raise ValueError("--cluster join needs --nodes N, the number of nodes to wait for")
    return text if found.nodes else f"{JOIN}:{nodes}"
