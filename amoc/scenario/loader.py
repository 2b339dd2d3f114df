"""Loading of scenarios: import, checks, and calls of init() and terminate().

A scenario is a Python file or an importable module with a `start(user_id, state)` or
`start(user_id)`; `init()` and `terminate(state)` or `terminate()` are optional. Helper modules in
the directory of a file can be imported. Any error of the scenario becomes a single message that
names its line. A file for another load generator becomes such a module, too
(`amoc.scenario.foreign`).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import site
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn, cast

from amoc.base import guard
from amoc.base.errors import AmocError, Error, InitError, ScenarioError
from amoc.base.signatures import takes
from amoc.base.tracebacks import describe
from amoc.scenario import foreign, settings, user_kinds
from amoc.scenario.scenario_files import is_path, name_of
from amoc.scenario.user_kinds import NamedStart, StartOfKind, UserKinds

FORMS = "define start(user_id, state) or start(user_id)"
MAX_ITEMS = 1_000
"""A state with more items than that is taken for data, and not looked into."""
_FUNCTIONS = {
    "init": ((0,), "define init()"),
    "start": ((2, 1), FORMS),
    "terminate": ((1, 0), "define terminate(state) or terminate()"),
}
"""How many arguments a scenario's functions may take, and how to define them."""


@dataclass(frozen=True)
class Scenario:
    """A loaded scenario.

    Attributes:
        name: The file's name without its suffix, or the module's name.
        source: The path or module name given by the operator.
        directory: The directory of its file and helper modules; empty for a built-in module.
        doc: The module's docstring.
    """

    name: str
    source: str
    directory: str
    doc: str
    module: ModuleType

    def start_with(self, state: object) -> Callable[[int], object]:
        """Return start() as a function of the user's id alone."""
        start: Callable[..., object] = self.module.start
        if isinstance(start, UserKinds):
            return StartOfKind(start, state)
        if isinstance(start, NamedStart):
            return start
        if takes(start, 2):
            return lambda user_id: start(user_id, state)
        return start

    def init(self) -> object:
        """Run the scenario's ``init`` and return its result, the state passed to every user.

        Raises:
            InitError: It raised, or returned `amoc.Error`.
        """
        init = getattr(self.module, "init", None)
        if init is None:
            return None

        def refuse(error: BaseException) -> None:
            if isinstance(error, Error):
                raise InitError(f"init() of {self.source} refused to start: {error.reason}")
            raise InitError(
                f"init() of {self.source} raised {describe(error, self.directory)}"
            ) from error

        state: object = guard.call(refuse, init)
        if isinstance(state, Error):
            refuse(state)
        return state

    def visible(self, state: object) -> dict[str, object]:
        """Return what users see, by name: the state, its items, and the module's variables."""
        found = {"state": state}
        if type(state) is dict and len(state) <= MAX_ITEMS:
            found.update((f"state[{key!r}]", one) for key, one in state.items() if type(key) is str)
        # The state is often a variable of the module, too, whose name says more.
        return found | {
            name: one for name, one in vars(self.module).items() if not name.startswith("__")
        }

    def terminate(self, state: object) -> None:
        """Run the scenario's ``terminate``, if there is one.

        Raises:
            ScenarioError: It raised.
        """
        terminate = getattr(self.module, "terminate", None)
        if terminate is None:
            return

        def fail(error: BaseException) -> None:
            if isinstance(error, Error):
                raise ScenarioError(f"terminate() of {self.source} failed: {error.reason}")
            raise ScenarioError(
                f"terminate() of {self.source} raised {describe(error, self.directory)}"
            ) from error

        guard.call(fail, terminate, *((state,) if takes(terminate, 1) else ()))


def load(source: str, libraries: str = "", sources: Sequence[settings.Source] = ()) -> Scenario:
    """Import the scenario called `source`: a path to a Python file, or a module's name.

    Args:
        source: The path or name given by the operator.
        libraries: A directory with its dependencies, searched after amoc's own libraries.
        sources: Raw settings in order of precedence, some of which affect its import.

    Raises:
        ScenarioError: There is no such file or module, it does not import, or start() is missing or
            takes the wrong arguments.
    """
    if not source:
        raise ScenarioError("the scenario's name must not be empty")
    if libraries:
        site.addsitedir(libraries)
    settings.importing(True)
    try:
        module = _import(source, sources)
    finally:
        settings.importing(False)
    file = getattr(module, "__file__", None)
    scenario = Scenario(
        name=name_of(source),
        source=source,
        directory=str(Path(file).resolve().parent) if file else "",
        doc=(module.__doc__ or "").strip(),
        module=module,
    )
    if (kinds := user_kinds.declared_in(module)) is not None:
        if hasattr(module, "start"):
            raise ScenarioError(f"scenario {source} has both start() and amoc.users; leave one out")
        vars(module)["start"] = kinds
    _check(scenario)
    return scenario


def _import(source: str, sources: Sequence[settings.Source]) -> ModuleType:
    if not is_path(source):
        sys.path.insert(0, "")
        return _guarded(source, lambda: importlib.import_module(source))
    path = Path(source).resolve()
    if path.is_dir():
        raise ScenarioError(f"scenario {source} must be a Python file, got a directory")
    if not path.is_file():
        raise ScenarioError(f"scenario {source} does not exist")
    sys.path.insert(0, str(path.parent))
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"scenario_{name}"  # a file random.py must not replace the module random
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"scenario {source} must be a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader

    stand_in = foreign.stand_in_for(path, sources)

    def execute() -> ModuleType:
        if stand_in is None:
            loader.exec_module(module)
            return module
        with stand_in.imported():
            loader.exec_module(module)
        return stand_in.scenario(module)

    return _guarded(source, execute)


def _guarded(source: str, action: Callable[[], ModuleType]) -> ModuleType:
    def refuse(error: BaseException) -> NoReturn:
        if isinstance(error, AmocError):
            raise error
        if isinstance(error, ModuleNotFoundError) and f"{source}.".startswith(f"{error.name}."):
            raise ScenarioError(
                f"scenario {source} is neither a file (*.py) nor an importable module"
            ) from None
        directory = str(Path(source).resolve().parent) if is_path(source) else ""
        raise ScenarioError(
            f"scenario {source} cannot be imported: {describe(error, directory)}"
        ) from error

    return cast("ModuleType", guard.call(refuse, action))


def _check(scenario: Scenario) -> None:
    if not callable(getattr(scenario.module, "start", None)):
        raise ScenarioError(f"scenario {scenario.source} has no start(); {FORMS}")
    for name, (counts, forms) in _FUNCTIONS.items():
        function = getattr(scenario.module, name, None)
        if function is None:
            continue
        if not callable(function):
            raise ScenarioError(f"{name} of {scenario.source} must be a function, got {function!r}")
        if inspect.isgeneratorfunction(function):
            raise ScenarioError(
                f"{name}() of {scenario.source} must be a plain function, got a generator:"
                " it has a yield"
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ScenarioError(
                f"{name}() of {scenario.source} must be a plain function, got an async one;"
                " users are greenlets, so blocking calls are fine"
            )
        if not any(takes(function, count) for count in counts):
            raise ScenarioError(
                f"{name}() of {scenario.source} takes {inspect.signature(function)}; {forms}"
            )
