"""Settings: declared where they are used, resolved once, readable everywhere.

A module declares `rate = setting(600, "Messages a minute")` at its top level; the variable's
name is the setting's name. Values come from, strongest first: the command line, the environment
(``AMOC_RATE``), the config file, the declared default. `resolve` decides all of them at once from
what it is given and collects every problem before it gives up; `apply` makes the result known to
this process, and what is forked from it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from amoc.base import guard, redaction
from amoc.base.errors import Error, ScenarioError, SettingError
from amoc.base.redaction import shown

T = TypeVar("T")


class _Missing:
    def __repr__(self) -> str:
        return "(none)"


MISSING: Any = _Missing()
DEFAULT = "default"


class Setting(Generic[T]):
    """One declared setting.

    Attributes:
        name: The variable it is assigned to; known once its module has been imported.
        module: The name of the module that declares it.
    """

    def __init__(
        self,
        default: T,
        description: str,
        *,
        verify: Sequence[T] | Callable[[T], object] | None,
        update: str | Callable[[T, T], object],
        type: Any,
        module: str,
    ) -> None:
        self.default = default
        self.description = description
        self.verify = verify
        self.update = update
        self.type = type
        self.module = module
        self.name = ""
        self._adapter: TypeAdapter[T] | None = None

    def get(self) -> T:
        """The value in force.

        Raises:
            ScenarioError: It is read while the scenario is still being imported.
            SettingError: It has no value.
        """
        return get(self.name, _declared=self)  # type: ignore[no-any-return]

    def convert(self, raw: object) -> T:
        """`raw` as a checked value of the setting's type.

        Raises:
            ValueError: What is wrong, as a clause that follows the setting's name.
        """
        return cast("T", guard.call(self._refuse, self._checked, raw))

    def _refuse(self, error: BaseException) -> NoReturn:
        """Say what the scenario's own code, a check say, has raised."""
        if isinstance(error, Error):
            raise ValueError(error.reason)
        if isinstance(error, ValueError):
            raise error
        raise ValueError(f"fails its check with {error!r}") from error

    def _checked(self, raw: object) -> T:
        value = self._typed(raw)
        if self.verify is None:
            return value
        if not callable(self.verify):
            if value not in self.verify:
                raise ValueError(f"must be one of {', '.join(map(repr, self.verify))}")
            return value
        # A check accepts (True, None), rejects (False, Error(reason), ValueError) or replaces.
        verdict = self.verify(value)
        if verdict is False:
            code = getattr(self.verify, "__code__", None)
            where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
            raise ValueError(f"must pass its check{where}")
        if isinstance(verdict, Error):
            raise ValueError(verdict.reason)
        return value if verdict is None or verdict is True else cast("T", verdict)

    def _typed(self, raw: object) -> T:
        if self._adapter is None:
            self._adapter = TypeAdapter(self.type)
        try:
            return self._adapter.validate_python(raw)
        except ValidationError as error:
            if isinstance(raw, str) and raw[:1] in "[{":
                try:
                    return self._adapter.validate_json(raw)
                except ValidationError:
                    pass
            raise ValueError(_clause(error)) from None

    def __repr__(self) -> str:
        return f"<setting {self.name or '?'} of {self.module}>"


def _clause(error: ValidationError) -> str:
    """Pydantic's first complaint as a clause: ``must be a valid integer``."""
    text = error.errors(include_url=False)[0]["msg"]
    text = text.removeprefix("Value error, ").removesuffix(".")
    return text.replace("Input should be", "must be").split(", unable to ")[0]


def setting(
    default: T = MISSING,
    description: str = "",
    *,
    verify: Sequence[T] | Callable[[T], object] | None = None,
    update: str | Callable[[T, T], object] = "read-only",
    type: Any = None,
) -> Setting[T]:
    """Declare a setting at a module's top level.

    Args:
        default: Its value when no source gives one; leave it out to make the setting required.
        description: What it means, for the operator. Required.
        verify: The allowed values, or a function of the converted value. It accepts by returning
            True or None, rejects by returning False or `Error(reason)` or raising
            ValueError(reason), and replaces the value by returning another one.
        update: Whether it may change during a run: ``"read-only"``, ``"free"``, or a function of
            the old and the new value that is called in every worker.
        type: Any type that pydantic supports; by default that of the default.

    Raises:
        ScenarioError: The declaration is wrong.
    """
    caller = sys._getframe(1)
    where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    if not description or not isinstance(description, str):
        raise ScenarioError(f"a setting needs a description as its second argument ({where})")
    if type is None:
        if default is MISSING or default is None:
            raise ScenarioError(f"a setting without a default needs type= ({where})")
        type = default.__class__
    if not callable(update) and update not in ("read-only", "free"):
        raise ScenarioError(
            f"update= must be 'read-only', 'free' or a function, got {update!r} ({where})"
        )
    declared = Setting(
        default,
        description,
        verify=verify,
        update=update,
        type=type,
        module=caller.f_globals["__name__"],
    )
    _state.declared.append(declared)
    return declared


class Value(NamedTuple):
    """A resolved setting."""

    value: Any
    source: str
    """Its source, for people: ``--set``, ``AMOC_RATE``, ``default``."""


class Source(NamedTuple):
    """Raw values from one source."""

    label: str
    """Its name in messages; ``{name}`` stands for the setting's name in capitals."""
    values: Mapping[str, object]
    strict: bool
    """Whether an undeclared name is an error (not in the environment)."""


@dataclass
class _State:
    """The settings of this process; forked processes inherit them."""

    declared: list[Setting[Any]] = field(default_factory=list)
    values: dict[str, Value] | None = None
    importing: bool = False


_state = _State()


def declared(modules: Mapping[str, types.ModuleType] | None = None) -> list[Setting[Any]]:
    """All settings of the imported modules, each with its name, in the order of declaration.

    Raises:
        ScenarioError: A setting is not assigned to a variable, or two share a name.
    """
    modules = sys.modules if modules is None else modules
    found: dict[str, Setting[Any]] = {}
    for one in _state.declared:
        module = modules.get(one.module)
        if module is None:
            continue
        names = [name for name, value in vars(module).items() if value is one]
        if not names:
            raise ScenarioError(
                f"a setting must be assigned to a variable of its module {one.module}, got"
                f" {one.description!r} without one"
            )
        one.name = names[0]
        twin = found.setdefault(one.name, one)
        if twin is not one:
            raise ScenarioError(
                f"setting {one.name} is declared twice: in {twin.module} and in {one.module}"
            )
    return list(found.values())


def resolve(settings: Iterable[Setting[Any]], sources: Sequence[Source]) -> dict[str, Value]:
    """Decide every setting's value.

    Args:
        settings: The declared ones.
        sources: Raw values, strongest first.

    Raises:
        SettingError: One line for each unknown name, missing value and rejected value.
    """
    by_name = {one.name: one for one in settings}
    problems = []
    for source in sources:
        if source.strict:
            known = ", ".join(sorted(by_name)) or "none"
            problems += [
                f"{name} is not a setting of this scenario, got {shown(name, value)}"
                f" (from {source.label.format(name=name.upper())}); known: {known}"
                for name, value in source.values.items()
                if name not in by_name
            ]
    values: dict[str, Value] = {}
    for name, one in by_name.items():
        given = [source for source in sources if name in source.values]
        raw = given[0].values[name] if given else one.default
        label = given[0].label.format(name=name.upper()) if given else DEFAULT
        if raw is MISSING:
            problems.append(
                f"{name} must be set ({one.description});"
                f" use --set {name}=…, AMOC_{name.upper()} or the config file"
            )
            continue
        try:
            values[name] = Value(one.convert(raw), label)
        except ValueError as error:
            problems.append(refused(name, raw, error, label))
    if problems:
        raise SettingError(*problems)
    return values


def refused(name: str, raw: object, error: ValueError, label: str) -> str:
    """Why `raw` cannot be the value of setting `name`."""
    reason = str(error)
    if redaction.tells(reason, name, raw):
        reason = f"fails its check with {type(error.__cause__ or error).__name__}"
    return f"{name} {' '.join(reason.split())}, got {shown(name, raw)} (from {label})"


def as_text(name: str, resolved: Value) -> str:
    """A resolved value as text, without secrets; the default of one is in the scenario anyway."""
    if redaction.is_secret(name):
        return str(resolved.value) if resolved.source == DEFAULT else redaction.HIDDEN
    return redaction.as_text(resolved.value)


def apply(values: Mapping[str, Value]) -> None:
    """Put `values` in force in this process and in those forked from it."""
    _state.values = dict(values)


def in_force() -> dict[str, Value]:
    """All values that `get` returns, by name."""
    return dict(_state.values or {})


def importing(begun: bool) -> None:
    """Tell whether the scenario is being imported; meanwhile no value is known."""
    _state.importing = begun


def get(name: str, default: Any = MISSING, *, _declared: Setting[Any] | None = None) -> Any:
    """The value of setting `name`, or `default` if it has none.

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
        return _declared.convert(_declared.default)  # outside a run, in a test say
    if default is not MISSING:
        return default
    raise SettingError(
        f"{name} has no value; declare it with amoc.setting, or use"
        f" --set {name}=…, AMOC_{name.upper()} or the config file"
    )
