"""Greenlets spawned by users: those of `user.spawn` end with the user, others are counted.

A greenlet or thread started through gevent itself may serve other users, like the background
greenlet of a library that this user happened to call first. It is left alone, and counted if it
outlives its user.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, Self

import gevent
from gevent import getcurrent
from greenlet import GreenletExit

from amoc.base.errors import ScenarioError
from amoc.base.loop_guard import Killed
from amoc.base.pause import AnyGreenlet
from amoc.base.tracebacks import raise_without_cycle
from amoc.base.waiting import Waiter, wait
from amoc.users.removal import FINALLY_S
from amoc.users.user import User, current

P = ParamSpec("P")

MAX_TOGETHER = 1_000


class UserGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """A greenlet that runs concurrently with its user and is killed when the user ends."""


def spawn(code: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> UserGreenlet:
    """Run ``code(*arguments, **named)`` in a greenlet that ends with the calling user.

    It is killed when the user ends for good, not at the end of an iteration. An exception in it
    counts as a crash of the user.

    Raises:
        NotAUser: The caller is neither a user nor such a greenlet.
    """
    if owner_of(getcurrent()) is None:
        current()
    one = UserGreenlet(code, *arguments, **named)
    one.start()
    return one


class _Part(UserGreenlet):
    """A call in a block of `together`; keeps the exception it raises."""

    raised: BaseException | None = None

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call
        # Its steps are nested in the step that is open here.
        self.open_step = getattr(getcurrent(), "open_step", None)

    def _run(self) -> object:
        try:
            return self._call()
        except GreenletExit:
            raise
        except BaseException as error:
            self.raised = error
            return None


class Together:
    """Concurrent calls, see `together`."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        return self

    def __call__(
        self, code: Callable[P, object], *arguments: P.args, **named: P.kwargs
    ) -> UserGreenlet:
        """Start ``code(*arguments, **named)``; after the block, `value` holds its result.

        Raises:
            ScenarioError: There are too many calls.
            NotAUser: As for `spawn`.
        """
        if len(self._parts) >= MAX_TOGETHER:
            raise ScenarioError(
                f"user.together() takes at most {MAX_TOGETHER:,} calls,"
                f" got {len(self._parts) + 1:,}"
            )
        if owner_of(getcurrent()) is None:
            current()
        one = _Part(partial(code, *arguments, **named))
        self._parts.append(one)
        one.start()
        return one

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            for one in self._parts if kind is None else ():
                if not one.dead:
                    over = Waiter[object]()
                    one.rawlink(over.give)
                    wait(over)
        finally:  # also if the user is asked to stop meanwhile
            left = [one for one in self._parts if not one.dead]
            gevent.killall(left, exception=Killed, block=False)
            errors = [one.raised for one in self._parts if one.raised is not None]
            for one in self._parts:
                one.raised = None
        if kind is None and errors:
            del errors[1:]
            raise_without_cycle(errors)


def together() -> Together:
    """Make calls concurrently, and wait for all of them at the end of the block.

        with user.together() as beside:
            beside(shop.get, "/items")
            beside(shop.get, "/news")

    Steps in these calls belong to the step around the block. When all have ended, the first of
    their exceptions is raised. If the block raises, or the user is asked to stop, they are killed.
    """
    return Together()


def owner_of(one: object) -> User | None:
    """Return the user that is, or has spawned, the greenlet `one`."""
    owner = one if isinstance(one, User) else getattr(one, "spawned_by", None)
    return owner if isinstance(owner, User) else None


def note_spawned() -> None:
    """Start recording which user spawns which greenlet in this process."""
    gevent.Greenlet.add_spawn_callback(_note)


def stop_noting_spawned() -> None:
    """Stop recording; undoes `note_spawned`."""
    gevent.Greenlet.remove_spawn_callback(_note)


def _note(one: AnyGreenlet) -> None:
    owner = owner_of(getcurrent())
    if owner is None or getattr(one, "outlives_users", False):
        return
    one.spawned_by = owner
    if owner.spawned is None:
        owner.spawned = set()
    owner.spawned.add(one)
    one.rawlink(owner.spawned.discard)


class _Watch(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Delayed check that killed greenlets have ended."""

    outlives_users = True


def end_spawned(user: User, outlived: Callable[[User, int], object] = lambda *_: None) -> int:
    """End the own greenlets of `user`, which has ended; return how many others outlive it.

    Args:
        user: The user.
        outlived: Called with the number of own greenlets still alive `FINALLY_S` after the kill.
    """
    alive = [one for one in user.spawned or () if not one.dead]
    own = [one for one in alive if isinstance(one, UserGreenlet)]
    if own:
        gevent.killall(own, exception=Killed, block=False)

        def check_ended() -> None:
            if left := sum(not one.dead for one in own):
                outlived(user, left)

        _Watch(check_ended).start_later(FINALLY_S)
    return len(alive) - len(own)
