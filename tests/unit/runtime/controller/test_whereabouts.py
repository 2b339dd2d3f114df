"""Users that restart when a node is lost: those dealt to it that have not left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amoc.ipc.messages.placement import Move
from amoc.metrics.board import RESTARTABLE, Board, UserState
from amoc.runtime.controller.whereabouts import Whereabouts
from amoc.runtime.node.workers import WorkerTable
from amoc.users.placement import Placement, round_robin

HIGHEST = 60
GOES_ON = {UserState.STARTING, *RESTARTABLE}
DEALT = st.dictionaries(st.integers(1, HIGHEST), st.sampled_from(list(UserState)), max_size=40)


class Node:
    """A node's table of workers, which reports users that have left."""

    def __init__(self, number: int) -> None:
        self.board = Board(2, HIGHEST)
        self.table = WorkerTable(self.board)
        self.table.take_numbers(Placement(round_robin([2, 2, 2])), number)


@given(DEALT, st.sets(st.integers(1, HIGHEST)), st.integers(0, 2))
def test_users_to_restart_from_a_lost_node_are_known(states, told_early, lost):
    place = Placement(round_robin([2, 2, 2]))
    where, nodes = Whereabouts(place, HIGHEST), [Node(number) for number in range(3)]
    homes = {one: nodes[place.worker_of(one) // 2] for one in states}
    for user_id in states:
        where.dealt([user_id])
        homes[user_id].table.dealt([user_id])
        homes[user_id].board.users[user_id] = UserState.RUNNING
    for early in (True, False):
        for user_id, state in states.items():
            if not early or user_id in told_early:
                homes[user_id].board.users[user_id] = state
        for node in nodes:
            where.gone(node.table.take_gone())
    workers = place.numbers(lost)
    expected = [
        user_id
        for user_id, state in sorted(states.items())
        if place.worker_of(user_id) in workers and state in GOES_ON
    ]
    assert where.on(workers) == expected
    assert [node.table.take_gone() for node in nodes] == [[], [], []], "each is told once"


def test_users_of_a_node_that_gives_up_are_not_reported_as_gone():
    node = Node(0)
    node.table.dealt([1, 4])
    node.board.users[1], node.board.users[4] = UserState.RUNNING, UserState.STARTING
    node.table.give_up()
    assert node.table.take_gone() == []


def test_a_single_node_does_not_report_users_that_have_left():
    board = Board(1, 10)
    table = WorkerTable(board)
    table.dealt([1])
    board.users[1] = UserState.FINISHED
    assert table.take_gone() == []


def test_undealt_id_ranges_are_known_except_those_put_on_chosen_nodes():
    where = Whereabouts(Placement(round_robin([1, 1, 1])), 1000)
    where.dealt([5, *range(10, 101), 130])
    where.gone([(20, 5)])
    where.put(range(300, 401))
    where.withdrawn([100])
    assert where.never_dealt(range(5, 1001)) == [(131, 299), (401, 1000)]
    assert where.never_dealt(range(200, 901)) == [(200, 299), (401, 900)]


def test_moved_users_are_on_their_new_node():
    place = Placement(round_robin([1, 1, 1]))
    where = Whereabouts(place, HIGHEST)
    where.dealt(range(1, 10))
    place.move(Move(1, HIGHEST, [1], [0, 2]))
    assert where.on([1]) == []
    assert sorted(where.on([0]) + where.on([2])) == list(range(1, 10))
