"""Pure. What a locustfile raises to say where its user goes on, and mistakes that it is told."""

from __future__ import annotations

from amoc.base.errors import ScenarioError


class LocustError(Exception):
    """The locustfile uses Locust's classes in a way that cannot work."""


class ResponseError(Exception):
    """Raised in a ``with`` block around a response, it lets the request count as failed."""


class CatchResponseError(Exception):
    """Why a response was marked as a failure."""


class MissingWaitTimeError(LocustError):
    """A user has no `wait_time`."""


class InterruptTaskSet(Exception):
    """Ends a task set.

    Attributes:
        reschedule: Whether the set around it goes on at once, without waiting.
    """

    def __init__(self, reschedule: bool = True) -> None:
        super().__init__(reschedule)
        self.reschedule = reschedule


class StopTest(Exception):
    """Ends the run."""


class StopUser(Exception):
    """Ends the user for good."""


class RescheduleTask(Exception):
    """Ends a task; the next one comes after the user has waited."""


class RescheduleTaskImmediately(Exception):
    """Ends a task; the next one comes at once."""


class RPCError(Exception):
    """Locust's own connections failed; never raised here, where there are none of them."""


class NotCarried(ScenarioError, AttributeError):
    """Something of Locust's that amoc does not have was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is a feature of Locust that amoc does not support; see docs/locust.md"
        )


PASSED_ON = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
"""What a listener may raise to say where its user goes on."""
