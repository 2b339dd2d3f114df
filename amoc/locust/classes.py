"""The classes that locustfiles are made of: amoc's, or with ``--real-locust`` Locust's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amoc.locust.environment import LocalRunner, MasterRunner, WorkerRunner


@dataclass(frozen=True)
class Classes:
    """Classes that belong together, and what is done with their users.

    Attributes:
        user: The base of users.
        shape: The base of load shapes.
        events: What listeners listen to.
        environment: The run, as users see it.
        local, worker, master: Who drives it: in the only worker, in one of several, and before and
            after them.
        pause: Has a user end when its task is done.
        close: Lets go of what a user holds.
    """

    user: type
    shape: type
    events: Any
    environment: Any
    pause: Callable[[Any], object]
    close: Callable[[Any], object]
    local: type[LocalRunner] = LocalRunner
    worker: type[WorkerRunner] = WorkerRunner
    master: type[MasterRunner] = MasterRunner

    def users_in(self, names: Any) -> list[Any]:
        """The classes of users among the values of a module."""
        return [
            one for one in self._concrete(self.user, names) if one.weight > 0 or one.fixed_count > 0
        ]

    def shapes_in(self, names: Any) -> list[Any]:
        """The load shapes among them."""
        return self._concrete(self.shape, names)

    @staticmethod
    def _concrete(base: type, names: Any) -> list[Any]:
        found: list[Any] = [
            one for one in names.values() if isinstance(one, type) and issubclass(one, base)
        ]
        return [one for one in dict.fromkeys(found) if not one.abstract]
