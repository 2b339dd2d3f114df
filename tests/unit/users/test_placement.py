"""Placement: every id has exactly one place, and everybody works out the same one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.users.placement import ids_of, slot_of

nodes_and_slots = st.tuples(st.integers(1, 5), st.integers(1, 9))


@given(nodes_and_slots, st.integers(1, 10**9), st.integers(0, 200))
def test_every_id_of_a_range_belongs_to_exactly_one_slot(shape, first, count):
    nodes, slots = shape
    last = first + count - 1
    dealt = [
        user_id
        for node in range(nodes)
        for slot in range(slots)
        for user_id in ids_of(first, last, node, nodes, slot, slots)
    ]
    assert sorted(dealt) == list(range(first, last + 1))


@given(nodes_and_slots, st.integers(1, 10**9), st.integers(1, 200))
def test_a_users_own_sum_agrees_with_the_slots_list(shape, first, count):
    nodes, slots = shape
    for node in range(nodes):
        for slot in range(slots):
            for user_id in ids_of(first, first + count - 1, node, nodes, slot, slots):
                assert slot_of(user_id, nodes, slots) == slot
                assert (user_id - 1) % nodes == node


@given(nodes_and_slots, st.integers(1, 10**6), st.integers(1, 500))
def test_no_slot_has_more_than_one_user_above_another(shape, first, count):
    nodes, slots = shape
    shares = [
        len(ids_of(first, first + count - 1, node, nodes, slot, slots))
        for node in range(nodes)
        for slot in range(slots)
    ]
    assert max(shares) - min(shares) <= 1


def test_users_go_round_the_nodes_first_and_then_round_the_slots():
    assert [list(ids_of(1, 8, node, 2, slot, 2)) for node in (0, 1) for slot in (0, 1)] == [
        [1, 5],
        [3, 7],
        [2, 6],
        [4, 8],
    ]
