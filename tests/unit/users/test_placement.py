"""Placement: every id has exactly one place, and everybody works out the same one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.users.placement import ids_of, within, worker_of

nodes_and_workers = st.tuples(st.integers(1, 5), st.integers(1, 9))


@given(nodes_and_workers, st.integers(1, 10**9), st.integers(0, 200))
def test_every_id_of_a_range_belongs_to_exactly_one_worker(shape, first, count):
    nodes, workers = shape
    last = first + count - 1
    dealt = [
        user_id
        for node in range(nodes)
        for worker in range(workers)
        for user_id in ids_of(first, last, node, nodes, worker, workers)
    ]
    assert sorted(dealt) == list(range(first, last + 1))


@given(nodes_and_workers, st.integers(1, 10**9), st.integers(1, 200))
def test_a_users_own_sum_agrees_with_the_slots_list(shape, first, count):
    nodes, workers = shape
    for node in range(nodes):
        for worker in range(workers):
            for user_id in ids_of(first, first + count - 1, node, nodes, worker, workers):
                assert worker_of(user_id, nodes, workers) == worker
                assert (user_id - 1) % nodes == node


@given(nodes_and_workers, st.integers(1, 10**6), st.integers(1, 500))
def test_no_slot_has_more_than_one_user_above_another(shape, first, count):
    nodes, workers = shape
    shares = [
        len(ids_of(first, first + count - 1, node, nodes, worker, workers))
        for node in range(nodes)
        for worker in range(workers)
    ]
    assert max(shares) - min(shares) <= 1


def test_users_go_round_the_nodes_first_and_then_round_the_workers():
    assert [list(ids_of(1, 8, node, 2, worker, 2)) for node in (0, 1) for worker in (0, 1)] == [
        [1, 5],
        [3, 7],
        [2, 6],
        [4, 8],
    ]


@given(ids=st.integers(1, 40), size=st.integers(0, 30), step=st.integers(1, 4), data=st.data())
def test_within_is_what_lies_between(ids, size, step, data):
    some = range(ids, ids + size * step, step)
    first, last = data.draw(st.integers(1, 200)), data.draw(st.integers(0, 200))
    assert list(within(some, first, last)) == [x for x in some if first <= x <= last]
