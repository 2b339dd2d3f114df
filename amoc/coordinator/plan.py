"""A coordinator's plan: which adds form a group, and the actions for it. Pure.

A plan is one item or a list of items; an item is a size and one or more actions:

    (2, introduce)                 every two adds form a group
    ((3, 7), [fill, announce])     so do three to seven, a new random number for each group
    ("all", count)                 all adds since the last timeout, reset or stop

Rule: each item counts separately, and every add is in exactly one group of every item. With
``[(2, a), (3, b)]`` the sixth add completes a group of two and a group of three. A group is
completed by an add (``coordinate``), or ends with however few members it has, at a ``timeout``, a
``reset`` or a ``stop``; then items with numbers come first, followed by "all" items.

Time is an argument, and the data of an add is not looked at, so the same code forms groups in the
controller, in a test and in ``amoc check --run``.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar

from amoc.base.errors import ScenarioError

E = TypeVar("E")

COORDINATE, TIMEOUT, RESET, STOP = KINDS = ("coordinate", "timeout", "reset", "stop")

MAX_USERS = 10_000_000
"""The largest size of a group."""

_FORMS = "(event), (event, users) or (event, user_a, user_b)"


class Event(NamedTuple):
    """Why actions run; the first argument of every action."""

    kind: str
    """``coordinate``, ``timeout``, ``reset`` or ``stop``."""
    count: int  # type: ignore[assignment]  # a public name; tuple.count is not used
    """How many users are in the group."""


class Shape(NamedTuple):
    """What the controller needs to know about an item."""

    least: int
    """The smallest group; 0 means all adds."""
    most: int
    """The largest group; 0 means all adds."""
    users: bool
    """Whether an action takes users, or only the event."""


class Action(NamedTuple):
    """A function of the scenario, and how it is called."""

    function: Callable[..., object]
    form: int
    """How many arguments it takes, 1 to 3."""


class Item(NamedTuple):
    """One item of a plan.

    Attributes:
        shape: Size of its groups.
        actions: Functions to call for each group, in order.
    """

    shape: Shape
    actions: tuple[Action, ...]


def parse(name: str, plan: object) -> list[Item]:
    """Return the items of `plan`.

    Raises:
        ScenarioError: The plan is invalid; the message names the item.
    """
    items = [plan] if isinstance(plan, tuple) else plan
    if not isinstance(items, list) or not items:
        raise ScenarioError(
            f"the plan of coordinator {name} must be (size, actions) or a list of these pairs, got"
            f" {_short(plan)}"
        )
    return [_item(f"item {number} of coordinator {name}", one) for number, one in enumerate(items)]


def _item(where: str, item: object) -> Item:
    if not (isinstance(item, tuple) and len(item) == 2):
        raise ScenarioError(f"{where} must be (size, actions), got {_short(item)}")
    size, given = item
    least, most = _sizes(where, size)
    functions = list(given) if isinstance(given, list | tuple) else [given]
    if not functions:
        raise ScenarioError(f"{where} must have an action, got none")
    actions = tuple(_action(where, one) for one in functions)
    for one in actions:
        if one.form == 3 and not most:
            raise ScenarioError(
                f'{where} is for "all" users, so its actions must take (event) or (event, users),'
                f" but {_name(one.function)} takes (event, user_a, user_b)"
            )
    return Item(Shape(least, most, any(one.form > 1 for one in actions)), actions)


def _sizes(where: str, size: object) -> tuple[int, int]:
    """Return the smallest and the largest group; 0, 0 for all adds."""
    if size == "all":
        return 0, 0
    least, most = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    if not (type(least) is type(most) is int and 1 <= least <= most <= MAX_USERS):
        raise ScenarioError(
            f'{where} must be for n users, (min, max) users or "all", from 1 to {MAX_USERS:,},'
            f" got {_short(size)}"
        )
    return least, most


def _action(where: str, function: object) -> Action:
    if not callable(function):
        raise ScenarioError(f"an action of {where} must be a function, got {_short(function)}")
    form = form_of(function)
    if form is None:
        raise ScenarioError(
            f"an action of {where} must take {_FORMS}, but {_name(function)} does not"
        )
    return Action(function, form)


def form_of(function: Callable[..., object]) -> int | None:
    """Return how many arguments an action gets: those it requires, or else all it can take."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    positional = [
        one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters):
        return None
    needed = sum(one.default is one.empty for one in positional) or len(positional)
    return needed if 1 <= needed <= 3 else None


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or _short(function)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def arguments(form: int, event: Event, users: Sequence[object]) -> Iterator[tuple[object, ...]]:
    """Yield the arguments of each call of an action of `form` for a group.

    The form with two users is called for each distinct unordered pair. A single user is paired with
    None; in an empty group None is paired with None.
    """
    if form == 1:
        yield (event,)
    elif form == 2:
        yield event, users
    elif len(users) < 2:
        yield event, (users[0] if users else None), None
    else:
        for one, other in combinations(users, 2):
            yield event, one, other


class Group(NamedTuple, Generic[E]):
    """Adds that one item of the plan puts together."""

    item: int
    """The item's number in the plan, from 0."""
    kind: str
    entries: Sequence[E]
    """In the order of their adds."""


@dataclass
class _Batch(Generic[E]):
    """The incomplete group of one item."""

    item: int
    shape: Shape
    random: random.Random
    wanted: int = 0
    """Size at which it is complete; 0 means that no add completes it."""
    entries: list[E] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw()

    def _draw(self) -> None:
        least, most, _ = self.shape
        self.wanted = least if least == most else self.random.randint(least, most)

    def take(self, kind: str) -> Group[E]:
        """End the group with its present members, and start the next."""
        group = Group(self.item, kind, self.entries)
        self.entries = []
        self._draw()
        return group


class Batches(Generic[E]):
    """Forms groups of adds by a plan.

    Attributes:
        due_ns: When the groups time out unless there is another add; None means never.
    """

    def __init__(self, shapes: Sequence[Shape], seed: str, timeout_ns: int | None) -> None:
        """Group by `shapes`, with random sizes from `seed`.

        Args:
            shapes: Those of the plan's items, in order.
            seed: Each item has its own generator, seeded with this and the item's number.
            timeout_ns: How long after the last add the groups end; None means never.
        """
        self._timeout_ns = timeout_ns
        self._in_plan: list[_Batch[E]] = [
            _Batch(number, shape, random.Random(f"{seed}/{number}"))
            for number, shape in enumerate(shapes)
        ]
        # A stable sort: items with numbers first, otherwise in the plan's order.
        self._in_order = sorted(self._in_plan, key=lambda batch: not batch.shape.most)
        self.due_ns: int | None = None

    def add(self, entries: Collection[E], at_ns: int) -> list[Group[E]]:
        """Add `entries` to the group of each item; return the completed groups, in order."""
        complete: list[Group[E]] = []
        batches = self._in_order
        for entry in entries:
            for batch in batches:
                batch.entries.append(entry)
                if len(batch.entries) == batch.wanted:
                    complete.append(batch.take(COORDINATE))
        if self._timeout_ns is not None and entries:
            self.due_ns = at_ns + self._timeout_ns
        return complete

    def end(self, kind: str) -> list[Group[E]]:
        """End all groups as they are, even empty ones, for a reset or a stop."""
        self.due_ns = None
        return [batch.take(kind) for batch in self._in_order]

    def expire(self, at_ns: int) -> list[Group[E]]:
        """End all groups if their timeout has passed."""
        if self.due_ns is None or self.due_ns > at_ns:
            return []
        return self.end(TIMEOUT)

    def drop(self, gone: Callable[[E], bool]) -> list[E]:
        """Remove the entries for which `gone` is true; return each once per group it was in."""
        dropped: list[E] = []
        for batch in self._in_order:
            dropped += [entry for entry in batch.entries if gone(entry)]
            batch.entries = [entry for entry in batch.entries if not gone(entry)]
        return dropped

    @property
    def pending(self) -> list[int]:
        """Present size of each item's group, in the plan's order."""
        return [len(batch.entries) for batch in self._in_plan]
