"""Placement: every id has exactly one place, and all processes compute the same one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.messages.placement import Layout, Move
from amoc.users import placement
from amoc.users.placement import Placement, within

WORKERS = st.lists(st.integers(1, 6), min_size=1, max_size=5)
FIRST = st.integers(1, 10**9)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    workers = draw(WORKERS)
    which = draw(st.sampled_from(["round-robin", "blocks", "weighted", "by worker"]))
    if which == "blocks":
        first = draw(st.integers(1, 1000))
        return placement.blocks(workers, range(first, first + draw(st.integers(0, 300))))
    if which == "weighted":
        weights = draw(st.lists(st.integers(1, 16), min_size=len(workers), max_size=len(workers)))
        return placement.weighted(workers, weights)
    return {"round-robin": placement.round_robin, "by worker": placement.by_worker}[which](workers)


@st.composite
def places(draw: st.DrawFn) -> Placement:
    """A layout, and nodes that are lost and users that are put elsewhere after that.

    These are some, on nodes that were chosen, or all that come, where a node has joined.
    """
    place = Placement(draw(layouts()))
    left = list(range(len(place.layout.workers)))
    for _ in range(draw(st.integers(0, 3))):
        if len(left) > 1 and draw(st.booleans()):
            lost = left.pop(draw(st.integers(0, len(left) - 1)))
            place.move(Move(1, 10**12, list(place.numbers(lost)), workers_of(place, left)))
        else:
            first = draw(st.integers(1, 300))
            chosen = draw(st.lists(st.sampled_from(left), min_size=1))
            last = draw(st.sampled_from([first + 20, 10**12]))
            place.move(Move(first, last, [], workers_of(place, chosen)))
    return place


def workers_of(place: Placement, nodes: Sequence[int]) -> list[int]:
    return [worker for node in nodes for worker in place.numbers(node)]


@given(places(), st.integers(1, 400) | FIRST, st.integers(0, 200))
def test_every_id_belongs_to_exactly_one_worker(place, first, count):
    last = first + count - 1
    dealt = []
    for worker in range(place.workers):
        for ids in place.ids_of(first, last, worker):
            assert {place.worker_of(user_id) for user_id in ids} == {worker}
            dealt += ids
    assert sorted(dealt) == list(range(first, last + 1))
    for node in range(len(place.layout.workers)):
        mine = place.numbers(node)
        together = [one for ids in place.ids_of(first, last, *mine) for one in ids]
        each = [one for worker in mine for ids in place.ids_of(first, last, worker) for one in ids]
        assert sorted(together) == sorted(each)


@given(WORKERS, FIRST, st.integers(1, 500))
def test_round_robin_alternates_nodes_first_then_their_workers(workers, first, count):
    place = Placement(placement.round_robin(workers))
    ids = range(first, first + count)
    for user_id in ids:
        assert place.worker_of(user_id) in place.numbers((user_id - 1) % len(workers))
    for node in range(len(workers)):
        shares = Counter(dict.fromkeys(place.numbers(node), 0))
        shares.update(one for one in map(place.worker_of, ids) if one in place.numbers(node))
        assert max(shares.values()) - min(shares.values()) <= 1


def test_two_nodes_of_two_workers():
    place = Placement(placement.round_robin([2, 2]))
    assert [[list(ids) for ids in place.ids_of(1, 8, worker)] for worker in range(4)] == [
        [[1, 5]],
        [[3, 7]],
        [[2, 6]],
        [[4, 8]],
    ]


@given(WORKERS, st.integers(1, 10**6), st.integers(1, 500))
def test_blocks_give_each_node_consecutive_ids_and_an_even_share(workers, first, count):
    place = Placement(placement.blocks(workers, range(first, first + count)))
    nodes = [
        next(node for node in range(len(workers)) if place.worker_of(one) in place.numbers(node))
        for one in range(first, first + count)
    ]
    assert nodes == sorted(nodes)
    assert max(Counter(nodes).values()) == -(-count // len(workers))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 32)), min_size=1, max_size=6), FIRST)
def test_weights_are_met_in_each_period(nodes, first):
    workers, weights = zip(*nodes, strict=True)
    place, whole = Placement(placement.weighted(workers, weights)), sum(weights)
    found = Counter(
        next(node for node in range(len(workers)) if place.worker_of(one) in place.numbers(node))
        for one in range(first, first + whole)
    )
    assert [found[node] for node in range(len(nodes))] == list(weights)


@given(WORKERS, st.integers(1, 5000))
def test_by_worker_each_worker_has_one_progression(workers, last):
    place = Placement(placement.by_worker(workers))
    shares = [place.ids_of(1, last, worker) for worker in range(place.workers)]
    assert all(len(ids) <= 1 for ids in shares)
    counts = [sum(map(len, ids)) for ids in shares]
    assert max(counts) - min(counts) <= 1


@given(st.integers(2, 8), st.integers(1, 8), st.data())
def test_only_a_lost_nodes_users_move_and_are_spread_evenly(nodes, each, data):
    place = Placement(placement.round_robin([each] * nodes))
    ids = range(1, 1 + 200 * nodes * each)
    before = {one: place.worker_of(one) for one in ids}
    lost = data.draw(st.integers(0, nodes - 1))
    left = workers_of(place, [one for one in range(nodes) if one != lost])
    place.move(Move(1, ids[-1], list(place.numbers(lost)), left))
    moved = Counter[int](dict.fromkeys(left, 0))
    for one in ids:
        if before[one] in place.numbers(lost):
            moved[place.worker_of(one)] += 1
        else:
            assert place.worker_of(one) == before[one]
    mean = 200 * each / len(left)
    assert all(0.7 * mean - 3 <= count <= 1.3 * mean + 3 for count in moved.values())


@given(st.sets(st.integers(1, 300)))
def test_progressions_hold_the_same_ids(ids):
    assert [one for some in placement.progressions(sorted(ids)) for one in some] == sorted(ids)


@given(ids=st.integers(1, 40), size=st.integers(0, 30), step=st.integers(1, 4), data=st.data())
def test_within_selects_the_ids_between_two_bounds(ids, size, step, data):
    some = range(ids, ids + size * step, step)
    first, last = data.draw(st.integers(1, 200)), data.draw(st.integers(0, 200))
    assert list(within(some, first, last)) == [x for x in some if first <= x <= last]


@given(
    st.lists(st.integers(1, 40), max_size=10).map(lambda one: list(accumulate(one))),
    st.integers(1, 200),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_parts_are_even_consecutive_and_divide_only_the_plan(ends, planned, nodes, each):
    free = list(zip(ends[::2], [one - 1 for one in ends[1::2]], strict=False))
    free = [(first, last) for first, last in free if first <= last]
    workers = [range(node * each, (node + 1) * each) for node in range(nodes)]
    turns = [worker for one in zip(*workers, strict=True) for worker in one]
    place = Placement(placement.round_robin([each] * nodes))
    before = {one: place.worker_of(one) for one in range(1, 402)}
    undealt = [one for first, last in free for one in range(first, last + 1)]
    moves = placement.in_parts(free, range(1, planned + 1), workers, turns)
    for move in moves:
        place.move(move)
    assert {one for one in before if place.worker_of(one) != before[one]} <= set(undealt)
    on = [place.worker_of(one) // each for one in undealt if one <= planned]
    assert on == sorted(on)
    assert max(Counter(on).values(), default=0) <= -(-len(on) // nodes)
    for first, last in free:
        later = [place.worker_of(one) for one in range(max(first, planned + 1), last + 1)]
        assert later == [turns[at % len(turns)] for at in range(len(later))]
    assert len(moves) <= 2 * len(free) + nodes


@given(st.sampled_from(placement.RULES), st.integers(1, 3), st.sets(st.integers(0, 3), min_size=1))
def test_all_selected_nodes_and_only_these_get_users(rule, each, chosen):
    ids = range(1, 41)
    made = placement.layout_of(rule, [each] * 4, [2, 4, 6, 8], ids, nodes=sorted(chosen))
    place = Placement(made)
    on = Counter(place.worker_of(one) // each for one in ids)
    assert set(on) == chosen
    if rule != "weighted":
        assert max(on.values()) - min(on.values()) <= len(chosen)
    assert sorted(
        one for worker in range(4 * each) for some in place.ids_of(1, 40, worker) for one in some
    ) == list(ids)
