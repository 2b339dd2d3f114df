"""The run as a locustfile sees it: ``environment``, its runner, and parsed options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amoc.locust import recording
from amoc.locust.exceptions import Carried
from amoc.locust.hooks import Events
from amoc.locust.stats import RequestStats
from amoc.metrics import read
from amoc.users.run import stop_run

if TYPE_CHECKING:
    from amoc.locust.shape import LoadTestShape
    from amoc.locust.users import User

STATE_INIT, STATE_SPAWNING, STATE_RUNNING = "ready", "spawning", "running"
STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED = "cleanup", "stopping", "stopped"
STATE_MISSING = "missing"


class ParsedOptions(Carried):
    """Options of the run by Locust's names, and arguments that the locustfile has added."""

    _called = "parsed_options"

    host: str | None
    tags: list[str] | None
    exclude_tags: list[str] | None

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)


class Environment(Carried):
    """A run.

    Attributes:
        events: Its events.
        runner: Its runner; None while the locustfile is imported.
        host: The target, if the operator or the locustfile sets it.
        stats: Its statistics.
        parsed_options: The operator's options.
        user_classes: The classes of its users.
        process_exit_code: If a listener of `quitting` sets it to another value than 0, the run
            fails.
    """

    _called = "environment"
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
        self.user_classes: list[type[User]] = []
        self.shape_class: LoadTestShape | None = None
        self.locustfile = ""
        self.process_exit_code: int | None = None


class Runner(Carried):
    """The runner of a run.

    Attributes:
        environment: The run.
        state: Its state.
        user_count: Number of users, of this worker or, with a load shape, of all.
        target_user_count: Number of users to reach.
    """

    _called = "environment.runner"
    # On the class: with real Locust another base follows that has properties of these names.
    state = STATE_INIT
    user_count = target_user_count = 0

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @property
    def stats(self) -> RequestStats:
        """The statistics of `environment`."""
        return self.environment.stats

    @property
    def user_classes(self) -> list[type[User]]:
        """The classes of users."""
        return self.environment.user_classes

    def quit(self) -> None:
        """End the run."""
        self.end("the locustfile has called environment.runner.quit()")

    def stop(self) -> None:
        """End the run. Unlike in Locust, users cannot be started again."""
        self.quit()

    def end(self, reason: str) -> None:
        """End the run for `reason`. Only the first call has an effect."""
        if self.state not in (STATE_STOPPING, STATE_STOPPED):
            self.state = STATE_STOPPING
            stop_run(reason)


class LocalRunner(Runner):
    """The runner in the worker of a run with a single one."""


class DistributedRunner(Runner):
    """The runner in a run with several workers."""


class MasterRunner(DistributedRunner):
    """The runner for listeners of the whole run, which are called before and after the workers."""


class WorkerRunner(DistributedRunner):
    """The runner in each of several workers."""

    worker_index = 0
