"""Settings: declared where they are used, resolved once, readable everywhere.

A module declares `rate = setting(600, "Messages per minute")` at its top level; the variable's
name is the setting's name. The sources of values are, in order of precedence: the command line, the
environment (``AMOC_RATE``), the config file, the scenario's `override` of the default, and the
declared default. `amoc.scenario.resolving` resolves all settings at once; `apply` puts the result
in force in this process and in those forked from it.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar, cast

from amoc.base import guard, redaction
from amoc.base.errors import Error, ScenarioError, SettingError
from amoc.scenario.conversion import Converter, TypeForm
from amoc.scenario.setting_faults import faults

T = TypeVar("T")


class _Missing:
    def __repr__(self) -> str:
        return "(none)"


MISSING: Any = _Missing()  # Any: stands for a default of any type
DEFAULT = "default"


class Value(NamedTuple):
    """A resolved setting."""

    value: Any  # Any: of its setting's type
    source: str
    """Its source, as shown to the operator: ``--set``, ``AMOC_RATE``, ``default``."""


@dataclass(eq=False, repr=False)
class Setting(Generic[T]):
    """One declared setting.

    Attributes:
        name: The variable it is assigned to; known once its module has been imported.
        module: The name of the module that declares it.
        override: The scenario's replacement for the default, if any.
        early: Whether its value is needed before the scenario is imported.
    """

    default: T
    description: str
    verify: Sequence[T] | Callable[[T], object] | None
    update: str | Callable[[T, T], object]
    parse: Callable[[str], object] | None
    type: TypeForm
    module: str
    name: str = ""
    override: Value | None = None
    early: bool = False

    def __post_init__(self) -> None:
        self._converter = Converter(self.type)

    def get(self) -> T:
        """Return the value in force.

        Raises:
            ScenarioError: It is read while the scenario is still being imported.
            SettingError: It has no value.
        """
        values = _state.values
        if values is not None:  # a fast path, since users read settings all the time
            found = values.get(self.name)
            if found is not None:
                return found.value  # type: ignore[no-any-return]
        return get(self.name, _declared=self)  # type: ignore[no-any-return]

    def convert(self, raw: object) -> T:
        """Convert `raw`, a value from one of the sources, to the setting's type and check it.

        Raises:
            ValueError: It is invalid; the message is a clause that follows the setting's name.
        """
        parse = self.parse if isinstance(raw, str) else None
        return cast("T", guard.call(self._refuse, self._checked, raw, parse))

    def checked(self, value: object) -> T:
        """Convert and check `value`, such as a default, without `parse`; raises like `convert`."""
        return cast("T", guard.call(self._refuse, self._checked, value))

    def preset(self) -> Value:
        """Return the default, unchecked, with its source."""
        return self.override or Value(self.default, DEFAULT)

    def _refuse(self, error: BaseException) -> NoReturn:
        """Raise ValueError for an exception of the scenario's own code, such as a check."""
        if isinstance(error, Error):
            raise ValueError(error.reason)
        if isinstance(error, ValueError):
            raise error
        raise ValueError(f"fails its check with {error!r}") from error

    def _checked(self, raw: object, parse: Callable[[str], object] | None = None) -> T:
        if parse is not None:
            raw = parse(cast("str", raw))
        if isinstance(raw, Error):
            raise raw
        value: T = self._converter.convert(raw)
        if self.verify is None:
            return value
        if not callable(self.verify):
            if value not in self.verify:
                raise ValueError(f"must be one of {', '.join(map(repr, self.verify))}")
            return value
        # A check accepts (True, None), rejects (False, Error(reason), ValueError), or replaces.
        verdict = self.verify(value)
        if verdict is False:
            code = getattr(self.verify, "__code__", None)
            where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
            raise ValueError(f"must pass its check{where}")
        if isinstance(verdict, Error):
            raise ValueError(verdict.reason)
        return value if verdict is None or verdict is True else cast("T", verdict)

    def __repr__(self) -> str:
        return f"<setting {self.name or '?'} of {self.module}>"


AnySetting: TypeAlias = Setting[Any]  # Any: its functions take values of its own type
"""A setting of any type."""


def setting(
    default: T = MISSING,
    description: str = "",
    *,
    verify: Sequence[T] | Callable[[T], object] | None = None,
    update: str | Callable[[T, T], object] = "read-only",
    parse: Callable[[str], object] | None = None,
    type: TypeForm = None,
) -> Setting[T]:
    """Declare a setting at a module's top level.

    Args:
        default: The value if no source gives one; without a default the setting is required.
        description: Its meaning, for the operator. Required.
        verify: The allowed values, or a function of the converted value. The function accepts by
            returning True or None, rejects by returning False or `Error(reason)` or raising
            ValueError(reason), and replaces the value by returning another one.
        update: Whether it may change during a run: ``"read-only"``, ``"free"``, or a function of
            the old and the new value, which is called in every worker.
        parse: Converts the text from a source before its type is checked; rejects like `verify`.
        type: Any type that pydantic supports; the type of the default if omitted.

    Raises:
        ScenarioError: The declaration is invalid. While a scenario is being imported, errors are
            collected instead, and `declared` raises all of them.
    """
    caller = sys._getframe(1)
    where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    module = caller.f_globals["__name__"]
    has_type = type is not None or not (default is MISSING or default is None)
    for problem in faults(description, verify, update, parse, has_type):
        _fault(module, f"{problem} ({where})")
    if type is None:
        type = default.__class__
    declared = Setting(default, description, verify, update, parse, type, module)
    _state.declared.append(declared)
    return declared


def _fault(module: str, problem: str) -> None:
    """Raise an error in a declaration, or collect it while a scenario is being imported."""
    if not _state.importing:
        raise ScenarioError(problem)
    _state.faults.append((module, problem))


def override(name: str, default: object) -> None:
    """Replace the default of a setting of a helper module, of `amoc.xmpp` or of amoc itself.

    Call it at a scenario's top level; the operator sees it as the scenario's default. If several
    modules override a setting, the last call wins, which is the importing module's.

    Args:
        name: The setting's name.
        default: The value if no source gives one; checked like any other.

    Raises:
        ScenarioError: It is called after the import.
    """
    caller = sys._getframe(1)
    where = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
    if not _state.importing and _state.values is not None:
        raise ScenarioError(
            f"override() must be called at the top level of a module, got {name!r} ({where})"
        )
    source = f"override() in {where}"
    _state.overrides.append((caller.f_globals["__name__"], name, Value(default, source)))


class Source(NamedTuple):
    """Raw values from one source."""

    label: str
    """Its name in messages; ``{name}`` stands for the setting's name in capitals."""
    values: Mapping[str, object]
    strict: bool
    """Whether an undeclared name is an error; false for the environment."""


@dataclass
class _State:
    """The settings of this process; forked processes inherit them."""

    declared: list[AnySetting] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    """Errors in declarations during the import of a scenario, as (module, error)."""
    overrides: list[tuple[str, str, Value]] = field(default_factory=list)
    """Module, name, default."""
    values: dict[str, Value] | None = None
    initial: dict[str, Value] = field(default_factory=dict)
    importing: bool = False


_state = _State()


@contextmanager
def separate(*declared: AnySetting) -> Iterator[None]:
    """Hide all settings but `declared` and those declared within the block, for tests."""
    global _state
    before, _state = _state, _State(list(declared))
    try:
        yield
    finally:
        _state = before


def declared(modules: Mapping[str, types.ModuleType] | None = None) -> list[AnySetting]:
    """Name and return all settings of the imported modules, in the order of declaration.

    Raises:
        ScenarioError: A declaration is invalid, a setting is not assigned to a variable, two share
            a name, or an override names an unknown setting; one line for each error.
    """
    modules = sys.modules if modules is None else modules
    problems = [problem for module, problem in _state.faults if module in modules]
    found: dict[str, AnySetting] = {}
    for one in _state.declared:
        module = modules.get(one.module)
        if module is None:
            continue
        names = [name for name, value in vars(module).items() if value is one]
        if not names:
            problems.append(
                f"a setting must be assigned to a variable of its module {one.module}, got"
                f" {one.description!r} without one"
            )
            continue
        one.name, one.override = names[0], None
        twin = found.setdefault(one.name, one)
        if twin is not one:
            problems.append(
                f"setting {one.name} is declared twice: in {twin.module} and in {one.module}"
            )
    for module_name, name, preset in _state.overrides:
        if module_name not in modules:
            continue
        known = found.get(name)
        if known is None:
            names_ = ", ".join(sorted(found)) or "none"
            problems.append(f"{preset.source}: {name!r} is not a setting; known: {names_}")
        elif known.early:
            problems.append(
                f"{preset.source}: {name} is needed before the scenario is imported; it can be set"
                " by the operator only"
            )
        else:
            known.override = preset
    if problems:
        raise ScenarioError("\n".join(problems))
    return list(found.values())


def as_text(name: str, resolved: Value) -> str:
    """Return a value as text, with secrets hidden unless they are defaults from the scenario."""
    if redaction.is_secret(name):
        return str(resolved.value) if resolved.source == DEFAULT else redaction.HIDDEN
    return redaction.as_text(resolved.value)


def fingerprint(resolved: Value, run_id: str) -> bytes:
    """Return a hash that identifies a value within a run without disclosing it."""
    value = resolved.value
    text = repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
    return hashlib.blake2b(text.encode(), digest_size=16, person=run_id.encode()[-16:]).digest()


def apply(values: Mapping[str, Value]) -> None:
    """Put the initial `values` in force, in this process and in those forked from it."""
    _state.initial = _state.values = dict(values)


def change(values: Mapping[str, Value]) -> None:
    """Put some `values` in force during a run, in this process."""
    _state.values = {**in_force(), **values}


def initial() -> dict[str, Value]:
    """Return all initial values by name."""
    return dict(_state.initial)


def in_force() -> dict[str, Value]:
    """Return all values in force by name."""
    return dict(_state.values or {})


def importing(begun: bool) -> None:
    """Set whether the scenario is being imported, during which no value is known."""
    _state.importing = begun


def is_importing() -> bool:
    """Return whether the scenario is being imported."""
    return _state.importing


def get(  # Any: the name says what type it has
    name: str, default: Any = MISSING, *, _declared: AnySetting | None = None
) -> Any:
    """Return the value of setting `name`, or `default` if it has none.

    Raises:
        ScenarioError: It is read while the scenario is still being imported.
        SettingError: It has no value and no default was given.
    """
    values = _state.values
    if values is not None:
        found = values.get(name)
        if found is not None:
            return found.value
    elif _state.importing:
        raise ScenarioError(
            f"setting {name or (_declared and _declared.description)!r} is read while the"
            " scenario is imported; values are known from init() on"
        )
    elif _declared is not None and _declared.default is not MISSING:
        return _declared.checked(_declared.preset().value)  # outside a run, such as in a test
    if default is not MISSING:
        return default
    raise SettingError(
        f"{name} has no value; declare it with amoc.setting, or use --allow-undeclared with"
        f" --set {name}=…, AMOC_{name.upper()} or the config file"
    )
