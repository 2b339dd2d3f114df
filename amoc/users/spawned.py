"""Greenlets that users have spawned: their own end with them, others that outlive them are counted.

`user.spawn` makes a greenlet of the user's own. What is spawned with gevent itself, a thread too,
may serve others, as the background greenlet of a library does that happened to be called by this
user first; so it is left alone, and counted when it outlives its user.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import gevent
from gevent import getcurrent
from greenlet import GreenletExit

from amoc.base.errors import ScenarioError
from amoc.base.loop_guard import Killed
from amoc.base.tracebacks import raise_without_cycle
from amoc.base.waiting import Waiter, wait
from amoc.users.removal import FINALLY_S
from amoc.users.user import User, current

MAX_TOGETHER = 1_000


class UserGreenlet(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Runs beside its user, and is killed when that has ended."""


def spawn(code: Callable[..., Any], *arguments: Any, **named: Any) -> UserGreenlet:
    """Run ``code(*arguments, **named)`` in a greenlet that ends with the calling user.

    It is killed when the user has ended for good, not at the end of an iteration. What it raises
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
    """Runs beside its user within a block of `together`; what it raises is kept."""

    raised: BaseException | None = None

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call
        # Steps within it are steps of the one that is open here.
        self.open_step = getattr(getcurrent(), "open_step", None)

    def _run(self) -> Any:
        try:
            return self._call()
        except GreenletExit:
            raise
        except BaseException as error:
            self.raised = error


class Together:
    """Calls that are made side by side, see `together`."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        return self

    def __call__(self, code: Callable[..., Any], *arguments: Any, **named: Any) -> UserGreenlet:
        """Begin ``code(*arguments, **named)``; after the block its `value` is what it returned.

        Raises:
            ScenarioError: There are too many.
            NotAUser: As `spawn`.
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
        finally:  # also when the user is to stop meanwhile
            left = [one for one in self._parts if not one.dead]
            gevent.killall(left, exception=Killed, block=False)
            errors = [one.raised for one in self._parts if one.raised is not None]
            for one in self._parts:
                one.raised = None
        if kind is None and errors:
            del errors[1:]
            raise_without_cycle(errors)


def together() -> Together:
    """Make calls side by side, and wait for all at the end of the block.

        with user.together() as beside:
            beside(shop.get, "/items")
            beside(shop.get, "/news")

    Steps within them belong to the step around the block. The first of what they raise is raised
    when all have ended; when the block raises, or the user is asked to stop, they are killed.
    """
    return Together()


def owner_of(one: object) -> User | None:
    """The user that is, or has spawned, the greenlet `one`."""
    owner = one if isinstance(one, User) else getattr(one, "spawned_by", None)
    return owner if isinstance(owner, User) else None


def note_spawned() -> None:
    """From now on, note who spawns what in this process."""
    gevent.Greenlet.add_spawn_callback(_note)


def note_no_more() -> None:
    """The opposite of `note_spawned`."""
    gevent.Greenlet.remove_spawn_callback(_note)


def _note(one: Any) -> None:
    owner = owner_of(getcurrent())
    if owner is None or getattr(one, "outlives_users", False):
        return
    one.spawned_by = owner
    if owner.spawned is None:
        owner.spawned = set()
    owner.spawned.add(one)
    one.rawlink(owner.spawned.discard)


class _Watch(gevent.Greenlet):  # type: ignore[type-arg] # generic in the stubs only
    """Looks again whether greenlets that were killed have ended."""

    outlives_users = True


def end_spawned(user: User, outlived: Callable[[User, int], object] = lambda *_: None) -> int:
    """`user` has ended: end its own greenlets; how many others outlive it.

    Args:
        user: The user.
        outlived: Told of its own that have not ended `FINALLY_S` after they were killed.
    """
    alive = [one for one in user.spawned or () if not one.dead]
    own = [one for one in alive if isinstance(one, UserGreenlet)]
    if own:
        gevent.killall(own, exception=Killed, block=False)

        def look_again() -> None:
            if left := sum(not one.dead for one in own):
                outlived(user, left)

        _Watch(look_again).start_later(FINALLY_S)
    return len(alive) - len(own)
