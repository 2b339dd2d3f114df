"""The guard: what code of a scenario raises is its own failure, whatever it is."""

from __future__ import annotations

import gevent
import pytest
from gevent import get_hub
from greenlet import GreenletExit, greenlet

from amoc.base import guard
from amoc.base.loop_guard import Killed, guard_loop
from amoc.users.user import UserStopped

KINDS = [SystemExit, KeyboardInterrupt, gevent.Timeout, GreenletExit, ValueError]
kinds = pytest.mark.parametrize("kind", KINDS)


def raises(kind: type[BaseException]) -> None:
    raise kind


def test_the_return_value_is_passed_through() -> None:
    assert guard.call(pytest.fail, max, 1, 2) == 2


@kinds
def test_whatever_code_raises_is_its_failure(kind: type[BaseException]) -> None:
    failures: list[BaseException] = []
    assert guard.call(failures.append, raises, kind) is None
    assert [type(error) for error in failures] == [kind]


def test_what_amoc_ends_a_greenlet_by_goes_on() -> None:
    with pytest.raises(Killed):
        guard.call(pytest.fail, raises, Killed)


def test_to_stop_without_being_asked_is_a_failure() -> None:
    failures: list[BaseException] = []
    guard.call(failures.append, raises, UserStopped)
    assert [type(error) for error in failures] == [UserStopped]


def test_a_failure_may_be_raised_as_another() -> None:
    def refuse(error: BaseException) -> None:
        raise ValueError("refused") from error

    with pytest.raises(ValueError, match="refused") as caught:
        guard.call(refuse, raises, SystemExit)
    assert isinstance(caught.value.__cause__, SystemExit)


@kinds
def test_what_fails_in_the_loop_ends_nothing_else(kind: type[BaseException]) -> None:
    failures: list[BaseException] = []
    hub = get_hub()
    before = hub.handle_error
    unguard = guard_loop(lambda _, error: failures.append(error))
    try:
        hub.loop.run_callback(raises, kind)
        timer = hub.loop.timer(0)
        timer.start(raises, kind)
        gevent.spawn(raises, kind)
        hub.loop.run_callback(greenlet(raises, hub).switch, kind)
        gevent.sleep(0.01)
    finally:
        unguard()
        timer.close()
    assert hub.handle_error == before
    # GreenletExit is how greenlets end: theirs is no failure.
    expected = 2 if kind is GreenletExit else 4
    assert [type(error) for error in failures] == [kind] * expected
