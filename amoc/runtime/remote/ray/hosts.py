"""Which hosts of a Ray cluster get a keeper, and the resources that each must provide. Pure.

One host gets one keeper, which reserves all of its CPUs: nothing else that Ray starts should run
alongside a load generator. Ray spreads bundles of resources over hosts. The requested bundles are
as large as the largest hosts, so each bundle fits one of these, and fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypedDict

from amoc.base.text import counted

MIN_CPUS = 1.0
"""Requested in place of a host that does not exist yet: an autoscaler adds one."""


class RayHost(NamedTuple):
    """A host, as Ray describes it."""

    node_id: str
    address: str
    cpus: float


class RayNode(TypedDict):
    """What is used of an item of ``ray.nodes()``."""

    NodeID: str
    NodeManagerAddress: str
    Alive: bool
    Resources: Mapping[str, float]


def usable(nodes: Iterable[RayNode]) -> list[RayHost]:
    """Return the hosts that are alive and have CPUs, largest first.

    Args:
        nodes: The result of ``ray.nodes()``. A head that was started with ``--num-cpus=0`` has no
            CPUs to offer.
    """
    found = [
        RayHost(one["NodeID"], one["NodeManagerAddress"], one["Resources"]["CPU"])
        for one in nodes
        if one["Alive"] and one["Resources"].get("CPU", 0) > 0
    ]
    return sorted(found, key=lambda host: (-host.cpus, host.address))


def bundles(hosts: Sequence[RayHost], wanted: int) -> list[dict[str, float]]:
    """Return the bundles to request from Ray, one for each of `wanted` hosts."""
    cpus = [host.cpus for host in hosts[:wanted]]
    return [{"CPU": one} for one in [*cpus, *[MIN_CPUS] * (wanted - len(cpus))]]


def state(hosts: Sequence[RayHost], wanted: int) -> str:
    """Return what Ray has, for whoever waits for it."""
    there = f"Ray has {counted(len(hosts), 'host')} with CPUs"
    there += f" ({', '.join(host.address for host in hosts)})" if hosts else ""
    if len(hosts) < wanted:
        return f"{there}, but --nodes says {wanted}"
    return f"{there}, but not all CPUs of {wanted} of them are free"
