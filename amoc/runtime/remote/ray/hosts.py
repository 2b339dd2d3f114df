"""Which hosts of a Ray cluster get a keeper, and what each has to give for it. Pure.

One host gets one keeper, which takes all of its CPUs: nothing else that Ray starts is to run beside
a load generator. Ray spreads bundles of resources over hosts, so the bundles that are asked for are
as large as the largest hosts there are: each then fits one of these, and fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from amoc.base.text import counted

MIN_CPUS = 1.0
"""What is asked for in the place of a host that is not there yet: an autoscaler brings one."""


class RayHost(NamedTuple):
    """A host as Ray knows it."""

    node_id: str
    address: str
    cpus: float


def usable(nodes: Iterable[Mapping[str, Any]]) -> list[RayHost]:
    """The hosts that are there and have CPUs to give, the largest first.

    Args:
        nodes: As ``ray.nodes()`` describes them. A head that was started with ``--num-cpus=0`` has
            none to give.
    """
    found = [
        RayHost(str(one["NodeID"]), str(one["NodeManagerAddress"]), float(one["Resources"]["CPU"]))
        for one in nodes
        if one["Alive"] and one["Resources"].get("CPU", 0) > 0
    ]
    return sorted(found, key=lambda host: (-host.cpus, host.address))


def bundles(hosts: Sequence[RayHost], wanted: int) -> list[dict[str, float]]:
    """What to ask Ray for, a bundle for each of `wanted` hosts."""
    cpus = [host.cpus for host in hosts[:wanted]]
    return [{"CPU": one} for one in [*cpus, *[MIN_CPUS] * (wanted - len(cpus))]]


def state(hosts: Sequence[RayHost], wanted: int) -> str:
    """What Ray has, for whoever waits for it."""
    there = f"Ray has {counted(len(hosts), 'host')} with CPUs"
    there += f" ({', '.join(host.address for host in hosts)})" if hosts else ""
    if len(hosts) < wanted:
        return f"{there}, but --nodes says {wanted}"
    return f"{there}, but not all CPUs of {wanted} of them are free"
