"""Tasks and task sets: what a user of a locustfile does, one task after another, by weight."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, overload, runtime_checkable

from greenlet import GreenletExit

from amoc.locust.exceptions import (
    InterruptTaskSet,
    LocustError,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from amoc.locust.wait_time import WaitTime

if TYPE_CHECKING:
    from amoc.locust.users import User

Task = Callable[..., object]
"""A function of the user or of the task set, or a task set class."""
_T = TypeVar("_T", bound=Task)
_WEIGHT, _TAGS = "locust_task_weight", "locust_tag_set"
"""Attributes of tasks, with Locust's names, as other code may read them."""
_log = logging.getLogger(__name__)


@runtime_checkable
class Holder(Protocol):
    """A class with tasks: of users or a task set, amoc's or Locust's."""

    tasks: Sequence[Task]


@overload
def task(weight: _T) -> _T: ...
@overload
def task(weight: int = 1) -> Callable[[_T], _T]: ...
def task(weight: Task | int = 1) -> object:
    """Mark a method or a nested class as a task. Weight 2 makes it twice as likely."""

    def mark(function: _T, count: int = 1) -> _T:
        if function.__name__ == "run":
            raise LocustError("a task must not be called run: the class's own run() calls tasks")
        setattr(function, _WEIGHT, count)
        return function

    return mark(weight) if callable(weight) else lambda function: mark(function, weight)


def tag(*tags: str) -> Callable[[_T], _T]:
    """Tag a task, or all tasks of a task set, for ``--tags`` and ``--exclude-tags``.

    Raises:
        ValueError: There is no tag.
    """
    if not tags or callable(tags[0]):
        raise ValueError('tag must be given names, as in @tag("slow")')

    def mark(tagged: _T) -> _T:
        holder: object = tagged
        if isinstance(holder, Holder):
            for one in holder.tasks:
                mark(one)
        else:
            setattr(tagged, _TAGS, {*getattr(tagged, _TAGS, ()), *tags})
        return tagged

    return mark


def tasks_of(bases: Iterable[type], namespace: Mapping[str, object]) -> list[Task]:
    """Return a class's tasks, repeated by weight: inherited, listed, and marked ones.

    Raises:
        LocustError: The attribute `tasks` is invalid.
    """
    found: list[Task] = [one for base in bases for one in getattr(base, "tasks", ())]
    for name, value in namespace.items():
        if name == "tasks":
            found += _listed(value or ())
        elif callable(value):
            found += [value] * getattr(value, _WEIGHT, 0)
    return found


def _listed(tasks: object) -> list[Task]:
    if isinstance(tasks, Mapping):
        tasks = list(tasks.items())
    if not isinstance(tasks, Iterable):
        raise LocustError(f"tasks must be a list, or a dict of tasks and weights, got {tasks!r}")
    pairs = (one if isinstance(one, tuple) else (one, 1) for one in tasks)
    return [one for one, weight in pairs for _ in range(weight)]


def keep_tagged(holder: Holder, wanted: set[str], unwanted: set[str]) -> None:
    """Remove the tasks that tags exclude, also from nested task sets.

    Args:
        holder: The class of a user or of a task set.
        wanted: A task must have one of these tags, unless there are none.
        unwanted: A task must have none of these tags.
    """

    def stays(one: object) -> bool:
        if isinstance(one, Holder):
            keep_tagged(one, wanted, unwanted)
            return bool(one.tasks)
        tags: set[str] = getattr(one, _TAGS, set())
        return not tags & unwanted and (not wanted or bool(tags & wanted))

    keep = {one: stays(one) for one in dict.fromkeys(holder.tasks)}
    holder.tasks = [one for one in holder.tasks if keep[one]]


class TaskSetMeta(type):
    """Collects the tasks of a task set when its class is created."""

    def __new__(  # noqa: D102 - documented by the class
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, object]
    ) -> TaskSetMeta:
        return super().__new__(mcs, name, bases, {**namespace, "tasks": tasks_of(bases, namespace)})


class TaskSet(metaclass=TaskSetMeta):
    """A set of tasks. A user that enters runs them until one of them interrupts.

    Attributes:
        tasks: Selected at random; tasks with a weight are repeated.
    """

    tasks: ClassVar[Sequence[Task]] = ()
    wait_time: ClassVar[WaitTime | None] = None

    def __init__(self, parent: TaskSet | User) -> None:
        self._parent = parent
        self._user = parent.user if isinstance(parent, TaskSet) else parent
        self._queue: deque[Task] = deque()
        self._born = perf_counter()

    @property
    def user(self) -> User:
        """The user in this task set."""
        return self._user

    @property
    def parent(self) -> TaskSet | User:
        """The task set, or the user, from which this one was entered."""
        return self._parent

    @property
    def client(self) -> object:
        """The user's client."""
        return self._user.client

    def on_start(self) -> None:
        """Called when a user enters."""

    def on_stop(self) -> None:
        """Called when a user leaves, or is stopped."""

    def interrupt(self, reschedule: bool = True) -> None:
        """Leave this task set. With `reschedule` the enclosing one continues without waiting.

        Raises:
            InterruptTaskSet: Always.
        """
        raise InterruptTaskSet(reschedule)

    def schedule_task(self, task_callable: Task, first: bool = False) -> None:
        """Schedule a task before others are selected; `first`: before those already scheduled."""
        (self._queue.appendleft if first else self._queue.append)(task_callable)

    def get_next_task(self) -> Task:
        """Return the task to run next.

        Raises:
            LocustError: There is none.
        """
        return _picked(self)

    def execute_task(self, task_callable: Task) -> None:
        """Run a task."""
        if isinstance(task_callable, TaskSetMeta):
            task_callable(self).run()
        elif getattr(task_callable, "__self__", None) is self:
            task_callable()
        else:
            task_callable(self)

    def execute_next_task(self) -> None:
        """Run the first scheduled task."""
        self.execute_task(self._queue.popleft())

    def wait(self) -> None:
        """Wait for the `wait_time` of this task set or of the user.

        Raises:
            StopUser: The user ends.
            UserStopped: The user was asked to stop.
        """
        waits = self.wait_time if self.wait_time is not None else self._user.wait_time
        self._user.wait_for(waits())

    def run(self) -> None:
        """Run tasks until one interrupts, or the user ends."""
        try:
            self.on_start()
        except InterruptTaskSet as interrupt:
            raise _handed_back(interrupt) from None
        while True:
            try:
                self._go_on()
            except InterruptTaskSet as interrupt:
                self._left()
                raise _handed_back(interrupt) from None
            except (StopUser, StopTest, GreenletExit):
                self._left()
                raise

    def _go_on(self) -> None:
        """Run the next task, and wait."""
        try:
            if not self._queue:
                self.schedule_task(self.get_next_task())
            self._user.check_leaving()
            self.execute_next_task()
        except RescheduleTaskImmediately:
            return
        except RescheduleTask:
            pass
        except (InterruptTaskSet, StopUser, StopTest):
            raise
        except Exception as error:
            self._user.task_failed(self, error)
        self.wait()

    def _left(self) -> None:
        try:
            self.on_stop()
        except (StopUser, StopTest):
            raise
        except Exception as error:
            self._user.task_failed(self, error)


class OfUser(TaskSet):
    """The outermost task set: a user's own tasks, which are called with the user."""

    def get_next_task(self) -> Task:
        """Return the task to run next.

        Raises:
            LocustError: There is none.
        """
        return _picked(self._user)

    def execute_task(self, task_callable: Task) -> None:
        """Run a task."""
        if isinstance(task_callable, TaskSetMeta):
            task_callable(self._user).run()
        else:
            task_callable(self._user)


class SequentialTaskSet(TaskSet):
    """Tasks that are run in their order in the source, again and again."""

    def __init__(self, parent: TaskSet | User) -> None:
        super().__init__(parent)
        self._in_order = cycle(self.tasks)

    def get_next_task(self) -> Task:
        """Return the next task.

        Raises:
            LocustError: There is none.
        """
        if not self.tasks:
            raise LocustError(f"{type(self).__name__} has no tasks: mark methods with @task")
        return next(self._in_order)


def _picked(holder: TaskSet | User) -> Task:
    """Return a random task of a user or of a task set."""
    if not holder.tasks:
        name = type(holder).__name__
        raise LocustError(f"{name} has no tasks: mark methods with @task, or set tasks")
    return random.choice(holder.tasks)


def _handed_back(interrupt: InterruptTaskSet) -> Exception:
    """Return the exception for the task set that encloses an interrupted one."""
    if interrupt.reschedule:
        return RescheduleTaskImmediately(interrupt.reschedule)
    return RescheduleTask(interrupt.reschedule)
