"""Which hosts of a Ray cluster get a node, and the message when there are too few."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amoc.runtime.remote.ray.hosts import RayHost, bundles, state, usable


def described(address: str, cpus: float | None, alive: bool = True) -> dict[str, Any]:
    """A host, as Ray describes it."""
    resources = {"memory": 1e9} | ({} if cpus is None else {"CPU": cpus})
    return {
        "NodeID": f"id of {address}",
        "NodeManagerAddress": address,
        "Alive": alive,
        "Resources": resources,
    }


def test_hosts_without_cpus_and_lost_hosts_get_no_node():
    nodes = [
        *(described("head", None), described("small", 2.0), described("gone", 8.0, alive=False)),
        *(described("large", 16.0), described("none", 0.0)),
    ]
    assert [host.address for host in usable(nodes)] == ["large", "small"]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=9), st.integers(1, 12))
def test_each_bundle_fills_a_host_and_missing_hosts_are_requested(cpus, wanted):
    hosts = usable([described(f"h{number}", one) for number, one in enumerate(cpus)])
    asked = [one["CPU"] for one in bundles(hosts, wanted)]
    there = min(wanted, len(cpus))
    assert len(asked) == wanted
    assert asked[:there] == sorted(cpus, reverse=True)[:there]
    assert asked[there:] == [1.0] * (wanted - there)


def test_the_state_of_the_cluster_names_its_hosts():
    two = [RayHost("a", "10.0.0.1", 2.0), RayHost("b", "10.0.0.2", 2.0)]
    assert state([], 2) == "Ray has 0 hosts with CPUs, but --nodes says 2"
    assert state(two[:1], 2) == "Ray has 1 host with CPUs (10.0.0.1), but --nodes says 2"
    assert state(two, 2) == (
        "Ray has 2 hosts with CPUs (10.0.0.1, 10.0.0.2), but not all CPUs of 2 of them are free"
    )
