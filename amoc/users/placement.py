"""Who runs where: a user's id alone decides its node and its worker. Pure.

Ids go round the nodes (user 1 to node 0, user 2 to node 1, …), and on each node round its workers.
So everybody can tell a user's place without asking, and a worker's users are an arithmetic
progression.
"""

from __future__ import annotations


def worker_of(user_id: int, nodes: int, workers: int) -> int:
    """The worker of a user on its node."""
    return (user_id - 1) // nodes % workers


def ids_of(first: int, last: int, node: int, nodes: int, worker: int, workers: int) -> range:
    """Those of the ids `first` to `last` that belong to `worker` of `node`."""
    step = nodes * workers
    start = worker * nodes + node + 1
    if start < first:
        start += (first - start + step - 1) // step * step
    return range(start, last + 1, step)


def within(ids: range, first: int, last: int) -> range:
    """Those of `ids` from `first` to `last`."""
    if first > ids.start:
        ids = ids[-(-(first - ids.start) // ids.step) :]
    return ids[: max(0, (last - ids.start) // ids.step + 1)]


def span(ids: range) -> str:
    """Consecutive ids as people are told of them."""
    return f"users {ids[0]} to {ids[-1]}" if len(ids) > 1 else f"user {ids[0]}"
