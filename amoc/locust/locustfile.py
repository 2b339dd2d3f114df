"""A locustfile as a scenario: init(), a start() that runs one of its users, and terminate().

Listeners are called where Locust calls them. With several workers, those of `init`, `test_start`,
`test_stop`, `quitting` and `quit` are called once for the whole run, before there are workers and
after them (with a `MasterRunner`), and once in each worker (with a `WorkerRunner`). With one worker
they are called only there (with a `LocalRunner`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import gevent
from gevent import getcurrent

from amoc import metrics
from amoc.base import context
from amoc.base.errors import Error, ScenarioError, value_error_as
from amoc.ipc.peer_link import PeerLink
from amoc.locust import environment as run
from amoc.locust import options
from amoc.locust.classes import Classes
from amoc.locust.distribution import Distribution
from amoc.locust.hooks import all_listeners, listeners_of, only
from amoc.locust.process import Here, Shared, in_no_user
from amoc.locust.shape import LoadTestShape
from amoc.locust.stats import RequestStats
from amoc.locust.tasks import keep_tagged
from amoc.metrics import reserved
from amoc.metrics.area import Metric
from amoc.metrics.board import Board
from amoc.scenario import builtin_settings, settings
from amoc.scenario.facts import RunFacts
from amoc.scenario.user_kinds import NamedStart
from amoc.users.user import User as Crow

if TYPE_CHECKING:
    from amoc.locust.users import User

MAX_CHOSEN = 50
"""Maximum number of user classes that a load shape can select from; `Shared` has 64 bits."""


class Locustfile:
    """A locustfile.

    Attributes:
        environment: The run, as the locustfile sees it.
        known: The base classes.
    """

    def __init__(
        self, known: Classes, user_classes: list[type[User]], shape: type[LoadTestShape] | None
    ) -> None:
        """Run users of these classes.

        Args:
            known: The base classes.
            user_classes: Classes of users.
            shape: The class of its load shape, if it has one.
        """
        self.environment = known.environment
        self.known = known
        self._events = known.events
        self._classes = sorted(user_classes, key=lambda one: one.__name__)
        self._distribution = Distribution(
            [one.weight for one in self._classes], [one.fixed_count for one in self._classes]
        )
        self._shape = shape() if shape is not None else None
        self._facts = context.find(RunFacts) or RunFacts()
        self._is_alone = context.find(RunFacts) is None  # amoc check: everything in one process
        if (board := context.find(Board)) is not None:
            self.environment.stats = RequestStats(lambda: _on(board))
        self._shared = Shared.mapped()
        self._parser = options.parse(known.events)
        self._here: Here | None = None
        self._own_listeners: dict[str, list[Callable[..., object]]] = {}
        self._greenlets: Sequence[gevent.Greenlet[..., object]] = ()
        self._chosen: dict[int, tuple[list[type[User]], Distribution]] = {}

    def init(self) -> None:
        """Prepare the run. With several workers, this process acts as Locust's master."""
        environment, facts = self.environment, self._facts
        if self._shape is not None and (len(facts.users) != 1 or facts.is_part):
            shape, hint = type(self._shape).__name__, "do not give --users or other scenarios"
            raise Error(f"load shape {shape} sets the number of users; {hint}")
        environment.parsed_options = given = options.parsed(self._parser, facts)
        environment.host = given.host
        environment.tags, environment.exclude_tags = given.tags, given.exclude_tags
        environment.user_classes = self._classes
        environment.shape_class = self._shape
        for one in self._classes:
            one.host = given.host or one.host
            self._check_host(one)
            keep_tagged(one, set(given.tags or ()), set(given.exclude_tags or ()))
            if not one.tasks:
                raise Error(f"class {one.__name__} has no tasks, or none that the tags allow")
        if self._is_distributed:
            environment.runner = self.known.master(environment)
            self._own_listeners = all_listeners(self._events)
            with spawned() as found:
                self.begin(len(facts.users))
            # There is no event loop here, before the fork, so a worker runs them.
            self._greenlets = [one for one in found if not one.ready()]

    def _check_host(self, kind: type[User]) -> None:
        """Refuse HTTP users without a host, unless a listener may still set it."""
        asks = {one.__name__ for one in kind.__mro__} & {"HttpUser", "FastHttpUser"}
        events = self._events
        may_come = any(map(listeners_of, (events.init, events.test_start)))
        if asks and not kind.host and not may_come:
            raise Error(f"host must be given: --host URL, or host = … in class {kind.__name__}")

    @property
    def is_part(self) -> bool:
        """Whether the run has other scenarios as well."""
        return self._facts.is_part

    @property
    def _is_distributed(self) -> bool:
        return not self._is_alone and builtin_settings.workers.get() > 1

    def start(self, user_id: int, number: int) -> None:
        """Run user `user_id` to its end.

        Args:
            user_id: Id of the user.
            number: Number of the user among the locustfile's users, from 1.
        """
        here = self._process()
        if not here.wait_begun():
            return
        is_first = self._shape is not None and user_id == self._facts.users.start
        while not is_first or here.wait_wanted():
            kind = self.class_of(number)
            kind.host = self.environment.host or kind.host
            user = kind(self.environment)
            self._count(kind)
            here.begins(user_id, user)
            try:
                user.run()
            finally:
                here.left(user_id)
                self.known.close(user)
            if not (is_first and here.has_idled()):
                return

    def terminate(self) -> None:
        """End the run. With several workers, this process acts as Locust's master."""
        here = self._here
        if here is not None and here.pid == os.getpid():
            here.end()  # amoc check: users ran in this process
        elif self._is_distributed:
            self.end()
        if code := self._shared.exit_code:
            raise Error(f"a listener of events.quitting has set process_exit_code to {code}")

    def class_of(self, number: int) -> type[User]:
        """Return the class of a user that starts now, by its number in the locustfile."""
        chosen = self._shared.classes
        if not chosen:
            return self._classes[self._distribution.class_of(number)]
        if chosen not in self._chosen:
            among = [one for index, one in enumerate(self._classes) if chosen >> index & 1]
            weights = [one.weight for one in among]
            self._chosen[chosen] = among, Distribution(weights, [0] * len(among))
        among, distribution = self._chosen[chosen]
        return among[distribution.class_of(number)]

    def _count(self, kind: type[User]) -> None:
        """Count a user by class, if there are several classes."""
        if len(self._classes) > 1:
            for what in ("users", "iterations"):
                name = f"{reserved.KIND}{kind.__name__}.{what}"
                metrics.built_in(metrics.Counter, name).inc()

    def choose(self, classes: Sequence[type[User]]) -> None:
        """Start users of these classes from now on; of all classes if there are none.

        Raises:
            ScenarioError: The locustfile does not have such a class, or has too many classes.
        """
        unknown = [one for one in classes if one not in self._classes]
        if unknown or len(self._classes) > MAX_CHOSEN:
            raise ScenarioError(
                f"tick() of a load shape must return classes of its locustfile, at most"
                f" {MAX_CHOSEN}, got {unknown or len(self._classes)}"
            )
        self._shared.classes = sum(1 << self._classes.index(one) for one in set(classes))

    def begin_greenlets(self) -> None:
        """Start the greenlets that listeners have spawned for the whole run before the fork."""
        for one in self._greenlets:
            function = one._run  # type: ignore[attr-defined] # not in gevent's types
            gevent.spawn(function, *one.args, **one.kwargs)

    def _process(self) -> Here:
        """Return the state of this process, which its first user creates."""
        here = self._here
        if here is None or here.pid != os.getpid():
            here = self._here = Here(self, self._facts, self._shape, self._shared)
            link = context.find(PeerLink)
            environment = self.environment
            if self._is_distributed and link is not None:
                only(self._events, self._own_listeners)  # without those that the master has added
                runner = environment.runner = self.known.worker(environment)
                runner.worker_index = link.worker.worker
            else:
                environment.runner = self.known.local(environment)
            environment.stats.begin()
            if link is not None:
                link.farewells.append(here.end)
            in_no_user(here.begin)
        return here

    def begin(self, users: int) -> run.Runner:
        """Call the listeners of the run's start in a process that expects `users` users.

        Returns the runner.
        """
        environment, runner = self.environment, self.environment.runner
        assert runner is not None
        runner.target_user_count = users
        if self._shape is not None:
            self._shape.runner = runner
        self._events.init.fire(environment=environment, runner=runner, web_ui=None)
        runner.state = run.STATE_SPAWNING
        self._events.test_start.fire(environment=environment)
        return runner

    def all_here(self, users: int) -> None:
        """Call the listeners for the event that all of a worker's users have started."""
        runner = self.environment.runner
        if runner is not None and runner.state == run.STATE_SPAWNING:
            runner.state = run.STATE_RUNNING
        self._events.spawning_complete.fire(user_count=users)

    def end(self) -> None:
        """Call the listeners of the run's end. In one process they determine the exit code."""
        environment, events = self.environment, self._events
        if environment.runner is not None:
            environment.runner.state = run.STATE_STOPPED
        events.test_stopping.fire(environment=environment)
        events.test_stop.fire(environment=environment)
        events.quitting.fire(environment=environment, reverse=True)
        code = environment.process_exit_code or 0
        events.quit.fire(exit_code=code)
        if not isinstance(environment.runner, run.WorkerRunner):
            self._shared.exit_code = int(code)


class Start(NamedStart):
    """The start() of a locustfile."""

    def __init__(self, file: Locustfile) -> None:
        self._file = file

    def __call__(self, user_id: int, rank: int = 0) -> None:
        """Run a user to its end. It does not start again."""
        file, user = self._file, getcurrent()
        if not (file.is_part and isinstance(user, Crow)):
            file.start(user_id, rank or user_id)
            return
        try:
            file.start(user_id, rank)
        except Exception as error:
            user.pool.crashed(user, error)
        user.stop()  # users of the other scenarios may start again

    def name_of(self, user_id: int, rank: int = 0) -> str:
        """Return the name of a user's class."""
        return self._file.class_of(rank or user_id).__name__


@contextmanager
def spawned() -> Iterator[list[gevent.Greenlet[..., object]]]:
    """Collect the greenlets that are spawned within the block."""
    found: list[gevent.Greenlet[..., object]] = []
    note = found.append
    gevent.Greenlet.add_spawn_callback(note)
    try:
        yield found
    finally:
        gevent.Greenlet.remove_spawn_callback(note)


def _on(board: Board) -> list[Metric]:
    """Return the metrics of all workers."""
    return [one for index in board.numbers for one in board.area(index).read()]


def scenario_of(module: ModuleType, known: Classes) -> ModuleType:
    """Return a scenario for an imported locustfile: a module with init(), start() and terminate().

    Args:
        module: The locustfile.
        known: The base classes.

    Raises:
        ScenarioError: It has no user class, or more than one load shape.
    """
    classes, shapes = known.users_in(vars(module)), known.shapes_in(vars(module))
    if not classes:
        raise ScenarioError(
            f"locustfile {module.__file__} has no user class with tasks, such as"
            " class Visitor(HttpUser)"
        )
    if len(shapes) > 1:
        names = ", ".join(one.__name__ for one in shapes)
        raise ScenarioError(f"a locustfile must have at most one load shape, got {names}")
    with value_error_as(ScenarioError, f"locustfile {module.__file__}: "):
        file = Locustfile(known, classes, shapes[0] if shapes else None)
    if not file.is_part:
        settings.override("repeat_num", 1)  # start() runs a user until it ends
    if shapes:
        settings.override("interarrival", 0)  # the shape determines when users start
    known.environment.locustfile = module.__name__
    made = ModuleType(module.__name__, module.__doc__)
    made.__file__ = module.__file__
    made.__dict__.update(init=file.init, start=Start(file), terminate=file.terminate)
    return made
