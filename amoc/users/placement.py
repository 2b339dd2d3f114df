"""Who runs where: a user's id alone decides its node and its slot. Pure.

Ids go round the nodes (user 1 to node 0, user 2 to node 1, …), and on each node round its slots. So
everybody can tell a user's place without asking, and a slot's users are an arithmetic progression.
"""

from __future__ import annotations


def slot_of(user_id: int, nodes: int, slots: int) -> int:
    """The slot of a user on its node."""
    return (user_id - 1) // nodes % slots


def ids_of(first: int, last: int, node: int, nodes: int, slot: int, slots: int) -> range:
    """Those of the ids `first` to `last` that belong to `slot` of `node`."""
    step = nodes * slots
    start = slot * nodes + node + 1
    if start < first:
        start += (first - start + step - 1) // step * step
    return range(start, last + 1, step)
