"""Where the nodes of a run are, as ``--cluster`` says it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LOCAL = 64


class Cluster(NamedTuple):
    """Which engine starts nodes, and how many."""

    engine: str
    nodes: int


def parse(text: str) -> Cluster:
    """The cluster that `text` means: ``local:3``.

    Raises:
        ValueError: It means none; the message has the rule and the text.
    """
    found = re.fullmatch(r"local:(\d{1,4})", text)
    if not found or not 1 <= int(found[1]) <= MAX_LOCAL:
        raise ValueError(f"must be local:N, with N from 1 to {MAX_LOCAL}, got {text!r}")
    return Cluster("local", int(found[1]))
