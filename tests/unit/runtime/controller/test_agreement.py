"""Nodes that have loaded different things are refused in one line; equal ones are merged."""

from __future__ import annotations

import pytest

from amoc.base.errors import AmocError, PeerError, SettingError
from amoc.ipc.messages.lifecycle import Loaded, Ready
from amoc.ipc.messages.placement import Layout, Move
from amoc.runtime.controller.agreement import agreed, together, with_seats
from amoc.users.placement import Placement, by_worker, round_robin

HOST = ("host", "http://a", "--set", "Where", "shop")
WORKERS = ("workers", "4", "default", "How many", "amoc")
HERE = Loaded("shop", "", [HOST, WORKERS], (0.0, None), 4, 1, 1000, ["a < 1"], 4, "1.0", "abc")
THERE = HERE._replace(
    settings=[HOST, ("workers", "2", *WORKERS[2:])],
    workers=2,
    cores=2,
    fds_per_user=2,
    fd_limit=900,
)


def test_nodes_that_may_join_have_workers_but_no_users_in_the_layout():
    layout = with_seats(round_robin([2, 3]), 4)
    assert layout == Layout([2, 3, 3, 3], [0, 1])
    assert {Placement(layout).worker_of(one) for one in range(1, 100)} == set(range(5))
    assert with_seats(layout, 4) == layout


def test_with_slots_nodes_that_may_join_have_ids_and_a_share_after_joining():
    place = Placement(with_seats(by_worker([2, 2]), 3, by_slots=True))
    assert {place.worker_of(one) for one in range(1, 7)} == set(range(6))
    assert [place.share(10, one) for one in range(6)] == [3, 3, 2, 2, 0, 0]
    place.move(Move(0, 0, [], [0, 2, 4, 1, 3, 5]))
    assert [place.share(10, one) for one in range(6)] == [2, 2, 2, 2, 1, 1]
    place.move(Move(1, 99, [0, 1], [2, 3, 4, 5]))
    assert [place.share(10, one) for one in range(6)] == [0, 0, 3, 3, 2, 2]


def test_agreed_values_are_those_of_the_first_node_with_summed_workers():
    both = agreed({"node0": HERE, "node1": THERE})
    assert both == HERE._replace(workers=6, cores=6, fds_per_user=2, fd_limit=900)
    assert agreed({"node0": HERE}) == HERE


@pytest.mark.parametrize(
    ("other", "kind", "text"),
    [
        (
            {"version": "1.1"},
            PeerError,
            "amoc must be the same version on all nodes, got 1.0 on node0 and 1.1 on node1",
        ),
        (
            {"digest": "abd"},
            PeerError,
            ("scenario shop must be the same on all nodes, but it differs between node0 and node1"),
        ),
        (
            {"settings": [("host", "http://b", "AMOC_host", *HOST[3:]), WORKERS]},
            SettingError,
            (
                "setting host must be the same on all nodes, got http://a on node0 (--set) and"
                " http://b on node1 (AMOC_host)"
            ),
        ),
        (
            {"settings": [WORKERS]},
            SettingError,
            "setting host must be declared on all nodes, but only node0 declares it",
        ),
        (
            {"settings": [HOST, WORKERS, ("more", "1", "default", "", "shop")]},
            SettingError,
            "setting more must be declared on all nodes, but only node1 declares it",
        ),
        (
            {"secrets": [("host", b"another")]},
            SettingError,
            (
                "setting host must be the same on all nodes, but its value, which is secret,"
                " differs between node0 (--set) and node1 (--set)"
            ),
        ),
        (
            {"thresholds": []},
            PeerError,
            (
                "thresholds of shop must be the same on all nodes, but they differ between"
                " node0 and node1"
            ),
        ),
    ],
)
def test_differences_are_named_in_one_line(other, kind, text):
    with pytest.raises(AmocError) as caught:
        agreed({"node0": HERE, "node1": HERE._replace(**other)})
    assert (type(caught.value), str(caught.value)) == (kind, text)


def test_declarations_of_all_nodes_are_merged_and_all_calls_kept():
    one = Ready([("feed", [1])], [("sent", 0)], ["run.start"], ["a note"])
    two = one._replace(metrics=[("sent", 0), ("more", 1)], events=["run.start", "run.stop"])
    assert together({"node0": one, "node1": two}) == Ready(
        [("feed", [1]), ("feed", [1])],
        [("sent", 0), ("more", 1)],
        ["run.start", "run.stop"],
        ["a note"],
    )
