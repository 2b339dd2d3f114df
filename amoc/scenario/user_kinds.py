"""`amoc.users`: a weighted mix of several kinds of users in one scenario.

    amoc.users({Buyer: 1, Browser: 9})

A kind is a function called like `start`, or a class with a method `start`. Each user of such a
class has its own instance, created before its first iteration and kept until it leaves. The
declaration, at the scenario's top level, replaces the function `start`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Protocol, cast

from gevent import getcurrent

from amoc import metrics
from amoc.base.errors import ScenarioError, value_error_as
from amoc.base.names import check_name
from amoc.base.pause import AnyGreenlet
from amoc.base.signatures import takes
from amoc.metrics import reserved
from amoc.scenario import settings
from amoc.scenario.load_profile import Stages
from amoc.scenario.mix import Mix

Start = Callable[..., object]
Calls = Callable[[int, object], object]
"""Runs an iteration of a kind, given the user's number and the state."""

_DECLARED = "__amoc_users__"
"""The module attribute that holds a scenario's kinds."""


class _Kind:
    """One kind of user."""

    def __init__(self, what: Start | type, calls: Calls) -> None:
        self.name = what.__name__
        self.calls = calls
        self.count = counter_of(self.name)


def counter_of(kind: str) -> Callable[[], None]:
    """Return a function that counts an iteration of a kind of users, which the caller begins."""
    users, iterations = (
        metrics.built_in(metrics.Counter, f"{reserved.KIND}{kind}.{what}")
        for what in ("users", "iterations")
    )

    def count() -> None:
        if is_new(getcurrent()):
            users.inc()
        iterations.inc()

    return count


class UserKinds:
    """The `start` of a scenario with several kinds of users."""

    def __init__(self, kinds: Mapping[Start | type, float]) -> None:
        self._mix = Mix(list(kinds.values()))
        self._kinds = [_Kind(one, _calls_of(one)) for one in kinds]

    def __call__(self, user_id: int, state: object, rank: int = 0) -> object:
        """Run an iteration of a user; see `NamedStart`."""
        kind = self._kinds[self._mix.kind_of(rank or user_id)]
        kind.count()
        return kind.calls(user_id, state)

    def name_of(self, user_id: int) -> str:
        """Return the name of a user's kind."""
        return self._kinds[self._mix.kind_of(user_id)].name


def is_new(user: object) -> bool:
    """Return whether a user begins its first iteration; False for one started by a rate.

    Such a user may be of another kind in each iteration.
    """
    return getattr(user, "iteration", 1) == 1 and not getattr(user, "arrival", 0)


class NamedStart:
    """The start function of users of several kinds, with the names of their kinds.

    Attributes:
        changing_rates: The arrival rates of the kinds, if they share the arrivals in proportions
            that change over time.
    """

    changing_rates: Sequence[Stages] = ()

    def __call__(self, user_id: int, rank: int = 0) -> object:
        """Run an iteration of a user.

        Args:
            user_id: The user.
            rank: Its rank, from 1, among the users that share this mix of kinds; 0 means its
                number.
        """
        raise NotImplementedError

    def name_of(self, user_id: int, rank: int = 0) -> str:
        """Return the name of a user's kind; the arguments are those of a call."""
        raise NotImplementedError


class StartOfKind(NamedStart):
    """`UserKinds` as a function of the user's number alone."""

    def __init__(self, kinds: UserKinds, state: object) -> None:
        self._kinds = kinds
        self._state = state

    def __call__(self, user_id: int, rank: int = 0) -> object:
        """Run an iteration of a user."""
        return self._kinds(user_id, self._state, rank)

    def name_of(self, user_id: int, rank: int = 0) -> str:
        """Return the name of a user's kind."""
        return self._kinds.name_of(rank or user_id)


def users(kinds: Mapping[Start | type, float]) -> None:
    """Declare a scenario's kinds of users, instead of a function `start`.

    Args:
        kinds: The weight of each kind, a number above 0. A kind is a function with the parameters
            of `start`, or a class with such a method `start`.

    Raises:
        ScenarioError: A kind or weight is invalid, or this is called twice or not at a module's
            top level.
    """
    caller = sys._getframe(1)
    if settings.in_force() or caller.f_code.co_name != "<module>":
        raise ScenarioError("amoc.users must be called at a scenario's top level")
    if _DECLARED in caller.f_globals:
        raise ScenarioError("amoc.users must be called once in a scenario, with all kinds")
    if not isinstance(kinds, Mapping):
        raise ScenarioError(
            f"amoc.users takes kinds with their weights, such as {{Buyer: 1, Browser: 9}}, got"
            f" {kinds!r}"
        )
    names = [_check(one) for one in kinds]
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"amoc.users must have one kind named {name}, got two")
    with value_error_as(ScenarioError, "amoc.users: "):
        caller.f_globals[_DECLARED] = UserKinds(kinds)


def declared_in(module: ModuleType) -> UserKinds | None:
    """Return the kinds declared in a module, if any."""
    found = vars(module).get(_DECLARED)
    return found if isinstance(found, UserKinds) else None


def _check(kind: object) -> str:
    """Return the name of a kind.

    Raises:
        ScenarioError: It is not a valid kind.
    """
    name = getattr(kind, "__name__", "")
    if isinstance(kind, type):
        method = getattr(kind, "start", None)
        if not callable(method):
            raise ScenarioError(
                f"amoc.users: class {name} has no start(); define start(self, user_id, state),"
                " start(self, user_id) or start(self)"
            )
        if not takes(kind, 0):
            raise ScenarioError(f"amoc.users: class {name} must take no arguments")
        called, count = method, 1
    elif callable(kind) and name:
        called, count = kind, 0
    else:
        raise ScenarioError(f"amoc.users: a kind must be a function or a class, got {kind!r}")
    if inspect.isgeneratorfunction(called) or inspect.iscoroutinefunction(called):
        raise ScenarioError(
            f"amoc.users: {name} must be a plain function, got a generator or coroutine function"
        )
    if not any(takes(called, count + number) for number in range(3)):
        raise ScenarioError(
            f"amoc.users: {name} takes {inspect.signature(called)}; define it with user_id and"
            " state, with user_id, or without both"
        )
    return check_name("user kind", name)


class _WithStart(Protocol):
    start: Start


def _calls_of(kind: Start | type) -> Calls:
    if not isinstance(kind, type):
        return cast("Calls", _adapted(kind, 0))
    method = _adapted(cast("_WithStart", kind).start, 1)

    def run(user_id: int, state: object) -> object:
        user: AnyGreenlet = getcurrent()
        own = user.__dict__.setdefault("own_kinds", {})  # an arrival may be of any kind
        one = own.get(kind)
        if one is None:
            one = own[kind] = kind()
        return method(one, user_id, state)

    return run


def _adapted(start: Start, first: int) -> Start:
    """Adapt `start` to `first` leading arguments, then the user's number and the state."""
    if takes(start, first + 2):
        return start
    if takes(start, first + 1):
        return lambda *given: start(*given[:-1])
    return lambda *given: start(*given[:-2])
