"""The run, as a locustfile sees it: ``environment``, its runner, and the options it was given."""

from __future__ import annotations

from typing import Any

from amoc.locust import recording
from amoc.locust.exceptions import NotCarried
from amoc.locust.hooks import Events
from amoc.locust.stats import RequestStats
from amoc.metrics import read
from amoc.users.run import stop_run

STATE_INIT, STATE_SPAWNING, STATE_RUNNING = "ready", "spawning", "running"
STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED = "cleanup", "stopping", "stopped"
STATE_MISSING = "missing"


class ParsedOptions:
    """The options of the run, by Locust's names, and those that the locustfile has added."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCarried(f"parsed_options.{name}")


class Environment:
    """A run.

    Attributes:
        events: Its events.
        runner: Who drives it; None while the locustfile is imported.
        host: What is under load, if the operator or the locustfile says so.
        stats: Its figures.
        parsed_options: What the operator gave.
        user_classes: The classes of its users.
        process_exit_code: Set by a listener of `quitting`, other than 0, it makes the run fail.
    """

    web_ui = None
    catch_exceptions = True
    reset_stats = False
    stop_timeout = 0.0

    def __init__(self, events: Events) -> None:
        self.events = events
        events.request.listeners.insert(0, recording.record)
        self.runner: Runner | None = None
        self.host: str | None = None
        self.stats = RequestStats(read)
        self.parsed_options = ParsedOptions()
        self.tags: list[str] | None = None
        self.exclude_tags: list[str] | None = None
        self.user_classes: list[Any] = []
        self.shape_class: Any = None
        self.locustfile = ""
        self.process_exit_code: int | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCarried(f"environment.{name}")


class Runner:
    """Who drives the run.

    Attributes:
        environment: The run.
        state: Where it is.
        user_count: How many users there are: those of this worker, or with a load shape all.
        target_user_count: How many there shall be.
    """

    # Of the class, for a class of Locust's that comes behind this one has properties so called.
    state = STATE_INIT
    user_count = target_user_count = 0

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @property
    def stats(self) -> RequestStats:
        """The figures of `environment`."""
        return self.environment.stats

    @property
    def user_classes(self) -> list[Any]:
        """The classes of users."""
        return self.environment.user_classes

    def quit(self) -> None:
        """End the run."""
        self.end("the locustfile has called environment.runner.quit()")

    def stop(self) -> None:
        """End the run, too: users are not started again."""
        self.quit()

    def end(self, reason: str) -> None:
        """End the run for this reason; the first one counts."""
        if self.state not in (STATE_STOPPING, STATE_STOPPED):
            self.state = STATE_STOPPING
            stop_run(reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotCarried(f"environment.runner.{name}")


class LocalRunner(Runner):
    """In the worker of a run that has one."""


class DistributedRunner(Runner):
    """In a run with several workers."""


class MasterRunner(DistributedRunner):
    """Where the listeners of the whole run are called: before there are workers, and after them."""


class WorkerRunner(DistributedRunner):
    """In each worker of several."""

    worker_index = 0
