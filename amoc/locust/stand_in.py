"""Stand-in for the package ``locust`` while a locustfile is imported, and its scenario.

A scenario file that imports ``locust`` and has no `start` gets the modules below, whether Locust is
installed or not. If ``requests`` is not installed, it gets stand-ins for its exceptions, too. Names
that amoc does not have are listed in one line, and raise when they are used.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from amoc.locust import (
    client,
    environment,
    exceptions,
    hooks,
    request_errors,
    response,
    shape,
    stats,
    tasks,
    users,
    wait_time,
)
from amoc.locust.classes import Classes
from amoc.locust.exceptions import NotCarried
from amoc.locust.locustfile import scenario_of
from amoc.locust.uses import unsupported_in

VERSION = "2"
"""Major version of Locust whose API this is."""


def run_single_user(*_: object, **__: object) -> None:
    """Do nothing. Locust runs a single user for debugging here; amoc runs all users anyway."""


_TASKS = {
    "task": tasks.task,
    "tag": tasks.tag,
    "TaskSet": tasks.TaskSet,
    "TaskSetMeta": tasks.TaskSetMeta,
}
_USERS = {"User": users.User, "HttpUser": users.HttpUser}
_FAST = {
    "FastHttpUser": users.FastHttpUser,
    "FastHttpSession": client.FastHttpSession,
    "FastResponse": response.Response,
    "ResponseContextManager": response.Response,
    "RestResponseContextManager": response.Response,
}
_WAITS = {
    name: getattr(wait_time, name)
    for name in ("between", "constant", "constant_pacing", "constant_throughput", "poisson")
}
_SEQUENTIAL = {"SequentialTaskSet": tasks.SequentialTaskSet}
_RUNNERS = {
    name: value
    for name, value in vars(environment).items()
    if name.startswith("STATE_") or name.endswith("Runner")
}


def _modules(events: hooks.Events) -> dict[str, dict[str, object]]:
    """Return the names in each module that replaces one of Locust's."""
    raised = {
        name: one
        for name, one in vars(exceptions).items()
        if isinstance(one, type) and issubclass(one, Exception)
    }
    return {
        "locust": {
            **_TASKS,
            **_USERS,
            **_SEQUENTIAL,
            **_WAITS,
            "FastHttpUser": users.FastHttpUser,
            "LoadTestShape": shape.LoadTestShape,
            "events": events,
            "run_single_user": run_single_user,
            "__version__": VERSION,
        },
        "locust.clients": {
            "HttpSession": client.HttpSession,
            "ResponseContextManager": response.Response,
        },
        "locust.contrib": {},
        "locust.contrib.fasthttp": _FAST,
        "locust.debug": {"run_single_user": run_single_user},
        "locust.env": {"Environment": environment.Environment},
        "locust.event": {"EventHook": hooks.EventHook, "Events": hooks.Events},
        "locust.exception": raised,
        "locust.runners": _RUNNERS,
        "locust.shape": {"LoadTestShape": shape.LoadTestShape},
        "locust.stats": {"RequestStats": stats.RequestStats, "StatsEntry": stats.StatsEntry},
        "locust.user": {**_USERS, **_TASKS},
        "locust.user.sequential_taskset": _SEQUENTIAL,
        "locust.user.task": _TASKS,
        "locust.user.users": _USERS,
        "locust.user.wait_time": _WAITS,
    }


class Placeholder:
    """Stands for an imported name that amoc does not have. Any use raises."""

    def __init__(self, what: str) -> None:
        self.__dict__["what"] = what

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise NotCarried(self.__dict__["what"])

    __call__ = __getitem__ = __mro_entries__ = _refuse
    __setattr__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCarried(f"{self.__dict__['what']}.{name}")


class _Module(ModuleType):
    """A module that replaces one of Locust's."""

    def __init__(self, name: str, values: Mapping[str, object], missing: list[str]) -> None:
        super().__init__(name, f"amoc's stand-in for {name}.")
        self.__dict__.update(values)
        self.__path__: list[str] = []  # it may have submodules
        self.__missing = missing

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__"):
            raise AttributeError(name)
        what = f"{self.__name__}.{name}"
        if what not in self.__missing:
            self.__missing.append(what)
        return Placeholder(what)


class StandIn(Loader):
    """Locust's modules, for one locustfile.

    Attributes:
        missing: Imported names that amoc does not have.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._events = hooks.Events()
        self._environment = environment.Environment(self._events)
        self._modules = {
            name: _Module(name, values, self.missing)
            for name, values in _modules(self._events).items()
        }
        for name, module in self._modules.items():
            outer, _, inner = name.rpartition(".")
            if outer:
                setattr(self._modules[outer], inner, module)
        if _is_missing("requests"):
            self._modules.update(_of_requests(self.missing))

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Make imports find these modules instead of Locust's, from the block on."""
        for name in [one for one in sys.modules if one.partition(".")[0] == "locust"]:
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Find modules of Locust that have no replacement."""
        if name.partition(".")[0] not in ("locust", "locust_plugins", "locust_cloud"):
            return None
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Create a module whose names are all missing."""
        return _Module(spec.name, {}, self.missing)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""

    def scenario(self, module: ModuleType) -> ModuleType:
        """Return the scenario of an imported locustfile; raises what `scenario_of` does."""
        made = scenario_of(
            module,
            Classes(
                user=users.User,
                shape=shape.LoadTestShape,
                events=self._events,
                environment=self._environment,
                pause=users.User.stop,
                close=users.User.close,
            ),
        )
        used = unsupported_in(Path(module.__file__ or "").read_text()) if module.__file__ else []
        self._tell(used)
        return made

    def _tell(self, used: Iterable[str]) -> None:
        """Print the unsupported names."""
        unfired = (f"events.{one}" for one in self._events.never_fired_with_listeners())
        names = [*self.missing, *unfired, *used]
        if names:
            with suppress(OSError):
                print(
                    f"locust: not supported by amoc, see docs/locust.md: {', '.join(names)}",
                    file=sys.stderr,
                )


def _is_missing(package: str) -> bool:
    """Return whether a package is not installed. An earlier stand-in does not count."""
    known = sys.modules.get(package)
    if known is not None:
        return isinstance(known, _Module)
    return importlib.util.find_spec(package) is None


def _of_requests(missing: list[str]) -> dict[str, _Module]:
    """Return stand-ins for what locustfiles use of ``requests``, if that is not installed."""

    class HTTPBasicAuth:
        """User and password."""

        def __init__(self, username: str, password: str) -> None:
            self.username = username
            self.password = password

    errors = {name: getattr(request_errors, name) for name in request_errors.NAMES}
    inner = _Module("requests.exceptions", errors, missing)
    auth = _Module("requests.auth", {"HTTPBasicAuth": HTTPBasicAuth}, missing)
    outer = _Module("requests", {**errors, "exceptions": inner, "auth": auth}, missing)
    return {one.__name__: one for one in (outer, inner, auth)}
