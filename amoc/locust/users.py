"""Users of locustfiles. Each runs in one of amoc's users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from time import perf_counter, time
from typing import Any, ClassVar

import gevent
from gevent import getcurrent
from greenlet import GreenletExit

from amoc.base.errors import ScenarioError
from amoc.locust.client import FastHttpSession, HttpSession
from amoc.locust.environment import Environment
from amoc.locust.exceptions import StopTest, StopUser
from amoc.locust.response import Response
from amoc.locust.tasks import OfUser, Task, TaskSet, tasks_of
from amoc.locust.wait_time import WaitTime, constant
from amoc.users import api
from amoc.users.user import User as Crow
from amoc.users.user import UserStopped


class UserMeta(type):
    """Collects the tasks of a user when its class is created."""

    def __new__(  # noqa: D102 - documented by the class
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, object]
    ) -> UserMeta:
        own = {"tasks": tasks_of(bases, namespace), "abstract": namespace.get("abstract", False)}
        return super().__new__(mcs, name, bases, {**namespace, **own})


class User(metaclass=UserMeta):
    """A user without a built-in client: its tasks record requests with the event `request`.

    Attributes:
        abstract: Whether it is only a base of other classes.
        weight: Relative number of users of this class.
        fixed_count: Absolute number of users of this class; 0 to use `weight`.
        host: The target.
        tasks: Selected at random.
        environment: The run.
    """

    abstract = True
    weight: float = 1
    fixed_count = 0
    host: str | None = None
    wait_time: ClassVar[WaitTime] = constant(0)
    tasks: ClassVar[Sequence[Task]] = ()
    client: object

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._born = perf_counter()
        self._leaves = False
        self._outermost: TaskSet = OfUser(self)

    def on_start(self) -> None:
        """Called when the user starts."""

    def on_stop(self) -> None:
        """Called when the user is stopped, or has stopped itself."""

    def context(self) -> Mapping[str, object]:
        """Return the `context` of this user's `request` events."""
        return {}

    @classmethod
    def fullname(cls) -> str:
        """Return the name of the class, with its module."""
        return f"{cls.__module__}.{cls.__qualname__}"

    def wait(self) -> None:
        """Wait for the `wait_time`."""
        self._outermost.wait()

    def stop(self, force: bool = False) -> bool:
        """End after the current task; with `force` at once. Return whether it was at once.

        Raises:
            StopUser: With `force`.
        """
        self._leaves = True
        if force:
            raise StopUser
        return False

    def run(self) -> None:
        """Run the user to its end."""
        try:
            self.on_start()
            self._outermost.run()
        except (GreenletExit, StopUser):
            self.on_stop()
        except StopTest:
            self.on_stop()
            if self.environment.runner is not None:
                self.environment.runner.end("the locustfile has raised StopTest")

    def wait_for(self, seconds: float) -> None:
        """Wait.

        Raises:
            StopUser: The user ends.
            UserStopped: The user was asked to stop.
        """
        self.check_leaving()
        if seconds > 0:
            api.sleep(seconds)
        else:  # let other users run; `check_leaving` follows before the next task
            gevent.sleep(0)

    def check_leaving(self) -> None:
        """Check whether the user ends before its next task.

        Raises:
            StopUser: It does.
            UserStopped: The user was asked to stop.
        """
        if self._leaves:
            raise StopUser
        crow = getcurrent()
        if isinstance(crow, Crow) and crow.stopping:
            raise UserStopped

    def task_failed(self, where: TaskSet, error: Exception) -> None:
        """Count the exception of a task as a crash. The user continues with its next task."""
        if isinstance(error, ScenarioError):
            raise error
        hook = self.environment.events.user_error
        hook.fire(user_instance=where, exception=error, tb=error.__traceback__)
        crow = getcurrent()
        if not isinstance(crow, Crow) or not self.environment.catch_exceptions:
            raise error
        crow.pool.crashed(crow, error)

    def close(self) -> None:
        """Release the user's resources."""


class _OverHttp(User):
    """The common part of users with an HTTP client."""

    abstract = True
    client: HttpSession

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()

    def _host(self) -> str:
        if not self.host:
            raise ScenarioError(
                f"host must be given: --host URL, or host = … in class {type(self).__name__}"
            )
        return self.host

    @contextmanager
    def rest(
        self, method: str, url: str, headers: dict[str, str] | None = None, **options: Any
    ) -> Iterator[Response]:
        """Make a request to a JSON API. The parsed response is in `response.js`.

        `options` are those of `HttpSession.request`. The request fails if the response is not JSON,
        or if the block raises.
        """
        own = {"Content-Type": "application/json", "Accept": "application/json"}
        given = headers or {}
        lower = {name.lower() for name in given}
        sent = {name: value for name, value in own.items() if name.lower() not in lower} | given
        with self.client.request(
            method, url, catch_response=True, headers=sent, **options
        ) as response:
            response.js = None
            if response.error is not None:
                response.failure(response.error)
            elif response.text:
                try:
                    response.js = response.json()
                except JSONDecodeError as error:
                    response.failure(f"not JSON: {error}")
            try:
                yield response
            except AssertionError as error:
                said = str(error) or "assertion failed"
                if said.endswith(","):  # asks for the response to be added
                    said += f" response was {(response.text or '')[:200]}"
                response.failure(said)
            except Exception as error:
                response.failure(f"{type(error).__name__}: {error}")

    @contextmanager
    def rest_(
        self, method: str, url: str, name: str | None = None, **options: Any
    ) -> Iterator[Response]:
        """Make a request as `rest` does, with the time in the query to bypass caches."""
        mark = f"{url}{'&' if '?' in url else '?'}_="
        with self.rest(
            method, f"{mark}{int(time() * 1000)}", name=name or f"{mark}...", **options
        ) as response:
            yield response


class HttpUser(_OverHttp):
    """A user with a client that behaves like `requests`."""

    abstract = True
    pool_manager: object = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client = HttpSession(self._host(), environment.events.request, self)


class FastHttpUser(_OverHttp):
    """A user with a client that behaves like Locust's faster one."""

    abstract = True
    network_timeout = 60.0
    connection_timeout = 60.0
    max_redirects = 30
    max_retries = 0
    insecure = True
    default_headers: dict[str, str] | None = None
    concurrency = 10
    proxy_host: str | None = None
    proxy_port: int | None = None
    client_pool: object = None
    ssl_context_factory: object = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        proxy = f"http://{self.proxy_host}:{self.proxy_port}" if self.proxy_host else ""
        self.client = FastHttpSession(
            self._host(),
            environment.events.request,
            self,
            insecure=self.insecure,
            timeout=self.network_timeout,
            connect_timeout=self.connection_timeout,
            redirects=self.max_redirects,
            headers=self.default_headers,
            proxy=proxy,
            max_idle=self.concurrency,
        )
