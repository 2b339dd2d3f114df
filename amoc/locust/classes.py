"""The base classes of locustfiles: amoc's, or with ``--real-locust`` Locust's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from amoc.locust.environment import Environment, LocalRunner, MasterRunner, WorkerRunner
from amoc.locust.hooks import Events

if TYPE_CHECKING:
    from amoc.locust.shape import LoadTestShape
    from amoc.locust.users import User

_C = TypeVar("_C", bound="User | LoadTestShape")


@dataclass(frozen=True)
class Classes:
    """A set of classes that belong together, and functions for their users.

    Attributes:
        user: Base class of users.
        shape: Base class of load shapes.
        events: The events that listeners are added to.
        environment: The run, as users see it.
        local, worker, master: Classes of runners: in the only worker, in one of several workers,
            and in the process that starts before and ends after these.
        pause: Makes a user end after its current task.
        close: Releases the resources of a user.
    """

    user: type[User]
    shape: type[LoadTestShape]
    events: Events
    environment: Environment
    pause: Callable[[User], object]
    close: Callable[[User], object]
    local: type[LocalRunner] = LocalRunner
    worker: type[WorkerRunner] = WorkerRunner
    master: type[MasterRunner] = MasterRunner

    def users_in(self, names: Mapping[str, object]) -> list[type[User]]:
        """Return the user classes among the values of a module."""
        return [
            one for one in self._concrete(self.user, names) if one.weight > 0 or one.fixed_count > 0
        ]

    def shapes_in(self, names: Mapping[str, object]) -> list[type[LoadTestShape]]:
        """Return the load shapes among the values of a module."""
        return self._concrete(self.shape, names)

    @staticmethod
    def _concrete(base: type[_C], names: Mapping[str, object]) -> list[type[_C]]:
        found = [one for one in names.values() if isinstance(one, type) and issubclass(one, base)]
        return [one for one in dict.fromkeys(found) if not one.abstract]
