"""Locust's own classes on amoc's engine: ``amoc run locustfile.py --real-locust``.

Its users, task sets and clients are what they are, and so is what a request costs. amoc starts and
stops them, and records what the event `request` tells of each; waiting between tasks is amoc's, so
that a user that is asked to leave does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from gevent import getcurrent, queue

from amoc.base.errors import ScenarioError
from amoc.locust import environment, recording
from amoc.locust.classes import Classes
from amoc.locust.locustfile import scenario_of
from amoc.locust.stats import RequestStats
from amoc.metrics import read
from amoc.users import api
from amoc.users.user import User as Crow


class StandIn:
    """Locust itself, imported so that it fits in here.

    Raises:
        ScenarioError: It is not installed.
    """

    def __init__(self) -> None:
        os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"  # all is patched, but for forks and signals
        try:
            self._locust = importlib.import_module("locust")
            pool = importlib.import_module("urllib3.connectionpool").ConnectionPool
        except ImportError as error:
            raise ScenarioError(
                f"--real-locust needs Locust, which cannot be imported here ({error}); without it"
                " amoc runs locustfiles on classes of its own"
            ) from None
        pool.QueueCls = queue.LifoQueue  # as Locust has it where it patches by itself

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Within the block imports find Locust, as everywhere."""
        yield

    def scenario(self, module: ModuleType) -> ModuleType:
        """What amoc runs of a locustfile that was imported; raises as `scenario_of`."""
        locust = self._locust
        task_sets = importlib.import_module("locust.user.task")
        runners = importlib.import_module("locust.runners")
        task_sets.TaskSet._sleep = _sleep
        made = importlib.import_module("locust.env").Environment(events=locust.events)
        made.stats = RequestStats(read)
        locust.events.request.add_listener(_record)
        locust.events.user_error.add_listener(_count)

        def pause(user: Any) -> None:
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


def _both(ours: type, theirs: type) -> Any:
    """A class of runners that is amoc's, and for isinstance() Locust's as well."""
    return type(ours.__name__, (ours, theirs), {"greenlet": None})  # which it looks at in the end


def _record(*, exception: Any = None, response: Any = None, **told: Any) -> None:
    """Record a request; a bad status is counted by its number, as with amoc's own client."""
    if type(exception).__name__ in ("HTTPError", "LocustBadStatusCode"):
        exception.failed_status = getattr(response, "status_code", None)
    elif type(exception).__name__ == "CatchResponseError":
        exception = str(exception)
    recording.record(exception=exception, **told)


def _sleep(_: object, seconds: float) -> None:
    """What task sets wait with."""
    api.sleep(max(0.0, seconds))


def _count(exception: BaseException, **_: Any) -> None:
    """A task has raised: it counts as a crash, and the user goes on with the next one."""
    crow = getcurrent()
    if isinstance(crow, Crow):
        crow.pool.crashed(crow, exception)


def _close(user: Any) -> None:
    close = getattr(getattr(user, "client", None), "close", None)
    if callable(close):
        close()
