"""Greenlets of users: those by user.spawn end with them, others that outlive them are counted."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator

import gevent
import gevent.event
import pytest
from gevent import get_hub

from amoc import step
from amoc.base.loop_guard import Killed
from amoc.base.tracebacks import raise_without_cycle
from amoc.metrics.registry import Registry
from amoc.steps import recorder
from amoc.users import api as user_module
from amoc.users import spawned
from amoc.users.user import NotAUser, StopReason, User
from tests.unit.users.test_user import DEADLINE_S, Crowd, begin, wait_gone, wait_until


class Pool(Crowd):
    """Ends what users have spawned, as a worker's pool does."""

    outlived = 0

    def left(self, user: User) -> None:
        self._count(user, spawned.end_spawned(user, self._count))
        super().left(user)

    def _count(self, _user: User, number: int) -> None:
        self.outlived += number


@pytest.fixture(autouse=True)
def _noted() -> Iterator[None]:
    spawned.note_spawned()
    yield
    spawned.stop_noting_spawned()


def beat(ends: list[BaseException]) -> None:
    try:
        gevent.sleep(3600)
    except BaseException as error:
        ends.append(error)
        raise


def test_a_spawned_greenlet_that_survives_its_kill_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spawned, "FINALLY_S", 0.01)
    over = gevent.event.Event()

    def stubborn() -> None:
        with contextlib.suppress(Killed):
            gevent.sleep(3600)
        over.wait()

    def start(user_id: int) -> None:
        user_module.spawn(stubborn)
        user_module.spawn(beat, [])
        gevent.sleep(0)

    pool = Pool(start)
    begin(pool)
    wait_gone(pool)
    wait_until(lambda: pool.outlived == 1)
    over.set()


def test_spawned_greenlets_and_their_own_end_with_the_user() -> None:
    ends: list[BaseException] = []

    def spawn_two() -> None:
        user_module.spawn(beat, ends)
        beat(ends)

    def start(user_id: int) -> None:
        user_module.spawn(spawn_two)
        gevent.sleep(0)
        gevent.sleep(0)

    pool = Pool(start)
    begin(pool)
    wait_gone(pool)
    wait_until(lambda: len(ends) == 2)
    assert [type(error) for error in ends] == [Killed, Killed]
    assert pool.outlived == 0


def test_a_spawned_greenlet_survives_iterations() -> None:
    ends: list[BaseException] = []
    seen: list[int] = []

    def start(user_id: int) -> None:
        if not seen:
            user_module.spawn(beat, ends)
        seen.append(len(ends))

    pool = Pool(start, repeat_num=3)
    begin(pool)
    wait_gone(pool)
    wait_until(lambda: ends)
    assert seen == [0, 0, 0]


def test_a_greenlet_spawned_with_gevent_is_counted_if_it_outlives_its_user() -> None:
    ends: list[BaseException] = []
    others: list[gevent.Greenlet] = []

    def start(user_id: int) -> None:
        others.append(gevent.spawn(beat, ends))
        others.append(gevent.spawn_later(3600, beat, ends))
        gevent.spawn(int).join()

    pool = Pool(start)
    begin(pool)
    wait_gone(pool)
    assert pool.outlived == 2
    assert not ends
    gevent.killall(others)


def test_only_users_and_their_greenlets_can_use_user_spawn() -> None:
    with pytest.raises(NotAUser):
        user_module.spawn(int)


def test_the_owner_of_a_failed_greenlet_is_known() -> None:
    failed: list[object] = []
    hub = get_hub()
    before = hub.handle_error
    hub.handle_error = lambda what, *_: failed.append(what)
    try:
        pool = Pool(lambda _: (gevent.spawn(int, "x"), user_module.spawn(int, "y").join()))
        user = begin(pool)
        wait_until(lambda: len(failed) == 2)
    finally:
        hub.handle_error = before
    assert [spawned.owner_of(one) for one in failed] == [user, user]
    wait_until(lambda: not user.spawned)


def run_one(start: Callable[[int], object]) -> Pool:
    """Run `start` once in a user, to its end."""
    pool = Pool(start)
    begin(pool)
    wait_gone(pool)
    return pool


def test_parallel_calls_are_waited_for_and_have_values() -> None:
    both, found = gevent.event.Event(), []

    def start(user_id: int) -> None:
        def first() -> str:
            both.wait(DEADLINE_S)
            return "first"

        with user_module.together() as beside:
            one = beside(first)
            other = beside(lambda text, more: both.set() or text + more, "sec", more="ond")
        found.append((one.value, other.value))

    assert run_one(start).outlived == 0
    assert found == [("first", "second")]


def test_the_number_of_parallel_calls_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawned, "MAX_TOGETHER", 2)

    def start(user_id: int) -> None:
        with user_module.together() as beside:
            for _ in range(3):
                beside(int)

    (crash,) = run_one(start).crashes
    assert str(crash) == "user.together() takes at most 2 calls, got 3"


def test_the_first_exception_of_parallel_calls_is_raised_once_all_have_ended() -> None:
    ended = []

    def start(user_id: int) -> None:
        try:
            with user_module.together() as beside:
                beside({}.__getitem__, "first")
                beside(int, "second")
                beside(lambda: (gevent.sleep(0.01), ended.append("third")))
        except KeyError as error:
            ended.append(str(error))

    assert run_one(start).crashes == []
    assert ended == ["third", "'first'"]


def test_exceptions_of_parallel_calls_leave_no_reference_cycle() -> None:
    class Refused(Exception):
        """An exception that supports weak references."""

    refs: list[weakref.ref[Refused]] = []

    def fail(text: str) -> None:
        error = Refused(text)
        refs.append(weakref.ref(error))
        holder = [error]
        del error
        raise_without_cycle(holder)

    def start(user_id: int) -> None:
        with contextlib.suppress(Refused), user_module.together() as beside:
            beside(fail, "first")
            beside(fail, "second")

    gc.collect()
    gc.disable()
    try:
        run_one(start)
        assert [one() for one in refs] == [None, None]
    finally:
        gc.enable()


def test_parallel_calls_are_killed_if_the_block_raises_or_the_user_stops() -> None:
    ends: list[BaseException] = []

    def fails(user_id: int) -> None:
        with user_module.together() as beside:
            beside(beat, ends)
            gevent.sleep(0)
            raise ValueError("no")

    (crash,) = run_one(fails).crashes
    assert str(crash) == "no"
    wait_until(lambda: len(ends) == 1)

    def waits(user_id: int) -> None:
        with user_module.together() as beside:
            beside(beat, ends)

    pool = Pool(waits)
    user = begin(pool)
    wait_until(lambda: user.waiting_for is not None)
    user.ask_to_stop(StopReason.RUN_ENDS)
    wait_gone(pool)
    wait_until(lambda: len(ends) == 2)
    assert all(isinstance(one, Killed) for one in ends)


def test_steps_in_parallel_calls_are_nested_in_the_surrounding_step() -> None:
    def start(user_id: int) -> None:
        with step("page"), user_module.together() as beside:
            beside(recorder.record, "look", 1_000)
            beside(recorder.record, "fail", 0, cause="refused")

    with Registry().activated():
        run_one(start)
        whole, page = recorder.of("look").whole, recorder.of("page")
        assert (page.count.value, page.failures.value) == (1, 0)
        assert (whole.count.value, whole.failures.value) == (2, 1), "the page is no request"
