"""Pure. Exceptions with which a locustfile controls its users, and errors in locustfiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from amoc.base.errors import ScenarioError


class LocustError(Exception):
    """The locustfile uses Locust's classes in an invalid way."""


class ResponseError(Exception):
    """Raised in the ``with`` block of a response to mark its request as failed."""


class CatchResponseError(Exception):
    """A response was marked as failed."""


class MissingWaitTimeError(LocustError):
    """A user has no `wait_time`."""


class InterruptTaskSet(Exception):
    """Ends a task set.

    Attributes:
        reschedule: Whether the enclosing task set continues without waiting.
    """

    def __init__(self, reschedule: bool = True) -> None:
        super().__init__(reschedule)
        self.reschedule = reschedule


class StopTest(Exception):
    """Ends the run."""


class StopUser(Exception):
    """Ends the user for good."""


class RescheduleTask(Exception):
    """Ends a task. The next one follows after the wait time."""


class RescheduleTaskImmediately(Exception):
    """Ends a task. The next one follows at once."""


class RPCError(Exception):
    """Locust's own connections failed. Never raised here, as amoc does not use them."""


class NotCarried(ScenarioError, AttributeError):
    """A locustfile uses a feature of Locust that amoc does not support."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is a feature of Locust that amoc does not support; see docs/locust.md"
        )


class Carried:
    """Base of classes that stand for some of Locust's: a use of what amoc lacks names it."""

    _called: ClassVar[str]
    """How a locustfile refers to an object of the class."""

    if not TYPE_CHECKING:  # type checkers are to find names that amoc lacks, too

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):
                raise AttributeError(name)
            raise NotCarried(f"{self._called}.{name}")


PASSED_ON = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
"""Exceptions of listeners that control the user, so they are not logged as errors."""
