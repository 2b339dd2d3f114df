"""Ramping down: the number of users follows the stages, whatever happens to workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import gevent
import pytest

from amoc.ipc.messages.orders import RemoveIds, UsersRemoved
from amoc.ipc.messages.placement import Move
from amoc.ipc.messages.users import UsersNow
from amoc.ipc.worker_id import WorkerId
from amoc.metrics.board import PRESENT, Board, UserState
from amoc.runtime.controller.orders import LOST, Outcome, Reply
from amoc.runtime.controller.ramp_down import RampDown
from amoc.runtime.controller.start_queue import ALL, StartQueue
from amoc.runtime.controller.status import Status
from amoc.users.placement import Placement, one_node, within
from amoc.users.removal import Removal

IDS = range(1, 41)
WORKERS = 2


class World:
    """A node with two workers that carry out orders immediately, and its board."""

    def __init__(self, ids: range = ALL) -> None:
        self.placement = Placement(one_node(WORKERS))
        self.board = Board(workers=WORKERS, highest_id=40)
        self.starts = StartQueue(self.placement)
        self.status = Status(added=40)
        self.workers = {WorkerId("node0", number, 1) for number in range(WORKERS)}
        self.dies = False
        self.hangs: set[WorkerId] = set()
        self.down = RampDown(self, self.status, self.starts, self.look, ids, self.placement)  # type: ignore[arg-type]

    def put(self, ids: Iterable[int], state: UserState) -> None:
        for user_id in ids:
            self.board.users[user_id] = state

    def look(self, keep: int, ids: range) -> UsersNow:
        mine = within(IDS, ids[0], ids[-1])
        there = len(self.board.users_in(PRESENT, mine))
        return UsersNow(1, 0, {}, [], self.board.highest_in(PRESENT, mine, there - keep), there)

    def ask(
        self, order: Callable[[int, WorkerId], RemoveIds], deadline_s: float, to: Iterable[WorkerId]
    ) -> dict[WorkerId, Reply]:
        (origin,) = to
        if origin in self.hangs:
            gevent.sleep(3600)
        return {origin: self.remove(origin, order(1, origin).ids)}

    def remove(self, origin: WorkerId, ids: Iterable[int]) -> Reply:
        assert all(self.placement.worker_of(one) == origin.worker for one in ids)
        if self.dies:
            return LOST
        fresh = [one for one in ids if self.board.users[one] == UserState.STARTING]
        self.put(ids, UserState.STOPPING)
        self.put(fresh, UserState.NONE)
        return Reply(Outcome.ANSWERED, answer=UsersRemoved(1, *Removal(withdrawn=len(fresh))))

    def present(self) -> list[int]:
        return self.board.users_in(PRESENT, IDS)

    def fall_to(self, line: int) -> None:
        self.down.target = line
        self.down.lower()
        running = gevent.spawn(self.down.run)
        gevent.sleep(0.01)
        running.kill()


@pytest.fixture
def world() -> World:
    made = World()
    made.put(IDS, UserState.RUNNING)
    return made


def test_the_highest_ids_go_first(world):
    world.fall_to(10)
    assert world.present() == list(range(1, 11))


def test_finished_users_are_not_removed_again(world):
    world.put(range(21, 36), UserState.FINISHED)
    world.fall_to(30)
    assert len(world.present()) == 25, "there are fewer than the line anyway"
    world.fall_to(10)
    assert world.present() == list(range(1, 11))
    world.put(range(1, 4), UserState.FINISHED)
    world.fall_to(9)
    assert len(world.present()) == 7


def test_unstarted_users_are_withdrawn_first(world):
    world.put(range(21, 41), UserState.NONE)
    world.starts.add(range(21, 41))
    world.put([20], UserState.STARTING)
    world.fall_to(25)
    assert (world.starts.undealt(), world.status.added) == (5, 25)
    world.fall_to(18)
    assert (world.starts.undealt(), world.status.added) == (0, 19)
    assert world.present() == list(range(1, 19))


def test_only_users_in_the_given_id_range_are_stopped():
    world = World(range(11, 31))
    world.put(range(1, 26), UserState.RUNNING)
    world.starts.add(range(26, 41))
    world.fall_to(8)
    assert world.present() == list(range(1, 19))
    assert world.starts.undealt(range(11, 31)) == 0
    assert world.starts.undealt() == 10, "those of others are still to start"


def test_users_of_a_lost_worker_count_and_its_replacement_removes_them(world):
    world.put(range(2, 41, 2), UserState.RESTARTING)
    (lost,) = (one for one in world.workers if one.worker == 1)
    world.workers.discard(lost)
    world.fall_to(10)
    assert world.present() == [*range(1, 11), *range(12, 41, 2)]
    world.workers.add(WorkerId("node0", 1, 2))
    world.fall_to(10)
    assert world.present() == list(range(1, 11))


def test_a_hanging_worker_does_not_delay_others(world):
    world.hangs = {one for one in world.workers if one.worker == 1}
    for line in (30, 20, 10):
        world.fall_to(line)
    assert [one for one in world.present() if one % 2] == list(range(1, 11, 2))
    assert [one for one in world.present() if not one % 2] == list(range(2, 41, 2))


def test_a_removal_is_repeated_if_the_worker_dies(world):
    world.dies = True
    world.fall_to(10)
    assert len(world.present()) == 40
    world.dies = False
    world.fall_to(40)  # no further users to remove
    assert world.present() == list(range(1, 11))


def test_users_of_a_permanently_lost_worker_are_removed_on_their_new_worker(world):
    (gone,) = (one for one in world.workers if one.worker == 1)
    asked = world.remove

    def lost(origin: WorkerId, ids: Iterable[int]) -> Reply:
        if origin != gone:
            return asked(origin, ids)
        world.workers.discard(gone)
        world.placement.move(Move(1, IDS[-1], [gone.worker], [0]))
        world.down.moved([gone.worker])
        return LOST

    world.remove = lost
    world.fall_to(10)
    assert world.present() == list(range(1, 11))
    assert not world.down.leaving, "nobody is waited for that will not come"
