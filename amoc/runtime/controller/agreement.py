"""Comparison of what the nodes of a run have loaded, which must be the same. Pure.

Also the layout and limits that follow from it for all nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amoc.base.errors import PeerError, SettingError
from amoc.ipc.messages.lifecycle import Loaded, Ready
from amoc.ipc.messages.placement import Layout
from amoc.scenario import fd_budget
from amoc.scenario.run_plan import RunPlan
from amoc.users import placement_strategies
from amoc.users.placement import RULES, Placement, by_worker, layout_of
from amoc.users.placement_strategies import NodeFacts

PER_NODE = frozenset({"workers"})
"""Settings that may differ between hosts."""


def agreed(loaded: Mapping[str, Loaded]) -> Loaded:
    """Return what all nodes have loaded: the first node's values, with the workers of all.

    Args:
        loaded: What each node has loaded, by its name; at least one.

    Raises:
        PeerError: Versions of amoc or the scenario differ.
        SettingError: Settings differ.
    """
    (first_name, first), *others = loaded.items()
    for name, one in others:
        if one.version != first.version:
            raise PeerError(
                f"amoc must be the same version on all nodes, got {first.version} on {first_name}"
                f" and {one.version} on {name}"
            )
        if (one.name, one.digest) != (first.name, first.digest):
            raise PeerError(
                f"scenario {first.name} must be the same on all nodes, but it differs between"
                f" {first_name} and {name}"
            )
        if conflict := _conflict(first_name, first, name, one):
            raise SettingError(conflict)
        if list(one.thresholds) != list(first.thresholds):
            raise PeerError(
                f"thresholds of {first.name} must be the same on all nodes, but they differ between"
                f" {first_name} and {name}"
            )
    return first._replace(
        workers=sum(one.workers for one in loaded.values()),
        cores=sum(one.cores for one in loaded.values()),
        fds_per_user=max(one.fds_per_user for one in loaded.values()),
        fd_limit=min(one.fd_limit for one in loaded.values()),
    )


def _conflict(first_name: str, first: Loaded, name: str, other: Loaded) -> str:
    """Return one line about a setting that differs; empty if none does."""
    here = {setting: (value, source) for setting, value, source, *_ in first.settings}
    there = {setting: (value, source) for setting, value, source, *_ in other.settings}
    for setting in sorted((here.keys() | there.keys()) - PER_NODE):
        mine, theirs = here.get(setting), there.get(setting)
        if mine is None or theirs is None:
            which = name if mine is None else first_name
            return f"setting {setting} must be declared on all nodes, but only {which} declares it"
        if mine[0] != theirs[0]:
            return (
                f"setting {setting} must be the same on all nodes, got {mine[0]} on {first_name}"
                f" ({mine[1]}) and {theirs[0]} on {name} ({theirs[1]})"
            )
        if _secret(first, setting) != _secret(other, setting):
            return (
                f"setting {setting} must be the same on all nodes, but its value, which is secret,"
                f" differs between {first_name} ({mine[1]}) and {name} ({theirs[1]})"
            )
    return ""


def _secret(loaded: Loaded, setting: str) -> bytes:
    """Return the fingerprint of a secret value; empty for any other value."""
    return next((known for name, known in loaded.secrets if name == setting), b"")


def layout_for(plan: RunPlan, nodes: Sequence[NodeFacts], only: Sequence[int] = ()) -> Layout:
    """Return the placement of users on these nodes, or on those with the indexes `only`.

    Raises:
        UsageError: An installed placement strategy fails.
    """
    workers = [one.workers for one in nodes]
    if plan.placement not in RULES and plan.arrivals is None:
        mine = only or range(len(nodes))
        seats = placement_strategies.seats(
            plan.placement, [nodes[one] for one in mine], plan.planned_ids
        )
        return Layout(workers, [mine[seat] for seat in seats])
    return layout_of(
        plan.placement,
        workers,
        [one.cores for one in nodes],
        plan.planned_ids,
        by_slots=plan.arrivals is not None,
        nodes=only,
    )


def with_seats(layout: Layout, seats: int, *, by_slots: bool = False) -> Layout:
    """Return the layout with `seats` nodes; those yet to come get no users at first.

    Each of these has as many workers as the largest present node and, if users are started by
    slots, its own ids.
    """
    begun = len(layout.workers)
    workers = [*layout.workers, *[max(layout.workers)] * (seats - begun)]
    if by_slots and seats > begun:
        return by_worker(workers)._replace(begun=begun)
    return layout._replace(workers=workers)


def check_fds(plan: RunPlan, placement: Placement, loaded: Sequence[Loaded]) -> None:
    """Check that each node has enough file descriptors for its share of the most users of `plan`.

    Raises:
        ResourceError: A node has not.
    """
    first = plan.ids.start
    last = first + plan.most_users - 1
    for node, one in enumerate(loaded):
        workers = placement.numbers(node)
        if plan.arrivals is not None:
            users = sum(placement.share(plan.most_users, worker) for worker in workers)
        else:
            users = sum(
                len(ids) for worker in workers for ids in placement.planned_ids(first, last, worker)
            )
        fd_budget.check_fds(users, one.workers, one.fds_per_user, one.fd_limit)


def together(ready: Mapping[str, Ready]) -> Ready:
    """Merge what init() has declared on all nodes; calls of each node are kept."""
    metrics: dict[str, int] = {}
    for one in ready.values():
        metrics = dict(one.metrics) | metrics
    events = dict.fromkeys(name for one in ready.values() for name in one.events)
    return Ready(
        [call for one in ready.values() for call in one.calls],
        [*metrics.items()],
        [*events],
        [*dict.fromkeys(note for one in ready.values() for note in one.notes)],
    )
