"""Locust's own classes on amoc's engine: ``amoc run locustfile.py --real-locust``.

Users, task sets and clients are Locust's, and so is the cost of a request. amoc starts and stops
users, and records each `request` event. Waiting between tasks is amoc's, so that users can be
stopped while they wait.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from gevent import getcurrent, queue

from amoc.base.errors import ScenarioError
from amoc.locust import environment, recording
from amoc.locust.classes import Classes
from amoc.locust.locustfile import scenario_of
from amoc.locust.stats import RequestStats
from amoc.metrics import read
from amoc.users import api
from amoc.users.user import User as Crow

_R = TypeVar("_R", bound=environment.Runner)


class StandIn:
    """Locust itself, imported in a way that is compatible with amoc.

    Raises:
        ScenarioError: It is not installed.
    """

    def __init__(self) -> None:
        os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # amoc has patched all but forks and signals
        try:
            self._locust = importlib.import_module("locust")
            pool = importlib.import_module("urllib3.connectionpool").ConnectionPool
        except ImportError as error:
            raise ScenarioError(
                f"--real-locust requires Locust, which cannot be imported ({error}); without it"
                " amoc runs locustfiles with classes of its own"
            ) from None
        pool.QueueCls = queue.LifoQueue  # as in Locust after its own monkey-patching

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Do nothing: imports in the block find Locust anyway."""
        yield

    def scenario(self, module: ModuleType) -> ModuleType:
        """Return the scenario of an imported locustfile; raises what `scenario_of` does."""
        locust = self._locust
        task_sets = importlib.import_module("locust.user.task")
        runners = importlib.import_module("locust.runners")
        task_sets.TaskSet._sleep = _sleep
        made = importlib.import_module("locust.env").Environment(events=locust.events)
        made.stats = RequestStats(read)
        locust.events.request.add_listener(_record)
        locust.events.user_error.add_listener(_count)

        def pause(user: Any) -> None:  # a user of Locust's
            user._state = task_sets.LOCUST_STATE_STOPPING

        return scenario_of(
            module,
            Classes(
                user=locust.User,
                shape=locust.LoadTestShape,
                events=locust.events,
                environment=made,
                pause=pause,
                close=_close,
                local=_both(environment.LocalRunner, runners.LocalRunner),
                worker=_both(environment.WorkerRunner, runners.WorkerRunner),
                master=_both(environment.MasterRunner, runners.MasterRunner),
            ),
        )


def _both(ours: type[_R], theirs: type) -> type[_R]:
    """Return a class of runners that is amoc's, and for isinstance() also Locust's."""
    both: type[_R] = type(ours.__name__, (ours, theirs), {"greenlet": None})  # read by Locust
    return both


def _record(*, exception: Any = None, response: object = None, **told: Any) -> None:
    """Record a request. Bad statuses are counted by number, as with amoc's own client."""
    # The exceptions are those of Locust and of its clients; locustfiles give the details.
    if type(exception).__name__ in ("HTTPError", "LocustBadStatusCode"):
        exception.failed_status = getattr(response, "status_code", None)
    elif type(exception).__name__ == "CatchResponseError":
        exception = str(exception)
    recording.record(exception=exception, **told)


def _sleep(_: object, seconds: float) -> None:
    """Wait between tasks, in place of Locust's function."""
    api.sleep(max(0.0, seconds))


def _count(exception: BaseException, **_: object) -> None:
    """Count the exception of a task as a crash. The user continues with its next task."""
    crow = getcurrent()
    if isinstance(crow, Crow):
        crow.pool.crashed(crow, exception)


def _close(user: object) -> None:
    close = getattr(getattr(user, "client", None), "close", None)
    if callable(close):
        close()
