"""Settings: declared where they are used, resolved once, readable everywhere.

A module declares `rate = setting(600, "Messages a minute")` at its top level; the variable's
name is the setting's name. Values come from, strongest first: the command line, the environment
(``AMOC_RATE``), the config file, the scenario's `override` of the default, the declared default.
`amoc.scenario.resolving` decides all of them at once; `apply` makes the result known to this
process, and what is forked from it.
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
from amoc.scenario.conversion import Converter
from amoc.scenario.setting_faults import faults

T = TypeVar("T")


TypeForm: TypeAlias = Any
"""What pydantic takes for a type: a class, a union, Annotated; Python has no type for them yet."""


class _Missing:
    def __repr__(self) -> str:
        return "(none)"


MISSING: Any = _Missing()  # stands for a default of any type
DEFAULT = "default"


class Value(NamedTuple):
    """A resolved setting."""

    value: Any  # of its setting's type
    source: str
    """Its source, for people: ``--set``, ``AMOC_RATE``, ``default``."""


class Setting(Generic[T]):
    """One declared setting.

    Attributes:
        name: The variable it is assigned to; known once its module has been imported.
        module: The name of the module that declares it.
        override: The default that a scenario gives it instead, if one does.
        early: Whether its value is needed before the scenario is imported.
    """

    override: Value | None = None
    early = False

    def __init__(
        self,
        default: T,
        description: str,
        *,
        verify: Sequence[T] | Callable[[T], object] | None,
        update: str | Callable[[T, T], object],
        parse: Callable[[str], object] | None,
        type: TypeForm,
        module: str,
    ) -> None:
        self.default = default
        self.description = description
        self.verify = verify
        self.update = update
        self.parse = parse
        self.type = type
        self.module = module
        self.name = ""
        self._converter = Converter(type)

    def get(self) -> T:
        """The value in force.

        Raises:
            ScenarioError: It is read while the scenario is still being imported.
            SettingError: It has no value.
        """
        values = _state.values
        if values is not None:  # users read settings all the time
            found = values.get(self.name)
            if found is not None:
                return found.value  # type: ignore[no-any-return]
        return get(self.name, _declared=self)  # type: ignore[no-any-return]

    def convert(self, raw: object) -> T:
        """`raw`, from one of the sources, as a checked value of the setting's type.

        Raises:
            ValueError: What is wrong, as a clause that follows the setting's name.
        """
        parse = self.parse if isinstance(raw, str) else None
        return cast("T", guard.call(self._refuse, self._checked, raw, parse))

    def checked(self, value: object) -> T:
        """`value`, a default for instance, with the setting's type; raises as `convert` does."""
        return cast("T", guard.call(self._refuse, self._checked, value))

    def preset(self) -> Value:
        """The default, unchecked, and where it comes from."""
        return self.override or Value(self.default, DEFAULT)

    def _refuse(self, error: BaseException) -> NoReturn:
        """Say what the scenario's own code, a check say, has raised."""
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
        # A check accepts (True, None), rejects (False, Error(reason), ValueError) or replaces.
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


AnySetting: TypeAlias = Setting[Any]
"""One of whatever type."""


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
        default: Its value when no source gives one; leave it out to make the setting required.
        description: What it means, for the operator. Required.
        verify: The allowed values, or a function of the converted value. It accepts by returning
            True or None, rejects by returning False or `Error(reason)` or raising
            ValueError(reason), and replaces the value by returning another one.
        update: Whether it may change during a run: ``"read-only"``, ``"free"``, or a function of
            the old and the new value that is called in every worker.
        parse: Makes a value of the text that a source gives, before its type is checked; refuses
            as `verify` does.
        type: Any type that pydantic supports; by default that of the default.

    Raises:
        ScenarioError: The declaration is wrong. While a scenario is imported, `declared` raises
            this for all that are.
    """
    caller = sys._getframe(1)
    where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    module = caller.f_globals["__name__"]
    has_type = type is not None or not (default is MISSING or default is None)
    for problem in faults(description, verify, update, parse, has_type):
        _fault(module, f"{problem} ({where})")
    if type is None:
        type = default.__class__
    declared = Setting(
        default, description, verify=verify, update=update, parse=parse, type=type, module=module
    )
    _state.declared.append(declared)
    return declared


def _fault(module: str, problem: str) -> None:
    """Keep what is wrong with a declaration until all are known, when a scenario is imported."""
    if not _state.importing:
        raise ScenarioError(problem)
    _state.faults.append((module, problem))


def override(name: str, default: object) -> None:
    """Give another default to a setting of a helper module, of `amoc.xmpp` or of amoc itself.

    Called at a scenario's top level; for the operator it is the scenario's default. When several
    modules override a setting, the last call counts, which is the importing module's.

    Args:
        name: The setting's.
        default: Its value when no source gives one; checked like any other.

    Raises:
        ScenarioError: It is called later than that.
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
    """Whether an undeclared name is an error (not in the environment)."""


@dataclass
class _State:
    """The settings of this process; forked processes inherit them."""

    declared: list[AnySetting] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    """Of declarations while a scenario is imported, each with its module."""
    overrides: list[tuple[str, str, Value]] = field(default_factory=list)
    """Module, name, default."""
    values: dict[str, Value] | None = None
    initial: dict[str, Value] = field(default_factory=dict)
    importing: bool = False


_state = _State()


@contextmanager
def separate(*declared: AnySetting) -> Iterator[None]:
    """Within the block there are no settings but `declared` and those declared in it: for tests."""
    global _state
    before, _state = _state, _State(list(declared))
    try:
        yield
    finally:
        _state = before


def declared(modules: Mapping[str, types.ModuleType] | None = None) -> list[AnySetting]:
    """All settings of the imported modules, each with its name, in the order of declaration.

    Raises:
        ScenarioError: A declaration is wrong, a setting is not assigned to a variable, two share a
            name, or an override is for none of them; a line for each.
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
    """A resolved value as text, without secrets; the default of one is in the scenario anyway."""
    if redaction.is_secret(name):
        return str(resolved.value) if resolved.source == DEFAULT else redaction.HIDDEN
    return redaction.as_text(resolved.value)


def fingerprint(resolved: Value, run_id: str) -> bytes:
    """What a value is known by within a run, without giving it away."""
    value = resolved.value
    text = repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
    return hashlib.blake2b(text.encode(), digest_size=16, person=run_id.encode()[-16:]).digest()


def apply(values: Mapping[str, Value]) -> None:
    """Put `values` in force at the start, in this process and in those forked from it."""
    _state.initial = _state.values = dict(values)


def change(values: Mapping[str, Value]) -> None:
    """Put some `values` in force during a run, in this process."""
    _state.values = {**in_force(), **values}


def initial() -> dict[str, Value]:
    """All values as they were at the start, by name."""
    return dict(_state.initial)


def in_force() -> dict[str, Value]:
    """All values that `get` returns, by name."""
    return dict(_state.values or {})


def importing(begun: bool) -> None:
    """Tell whether the scenario is being imported; meanwhile no value is known."""
    _state.importing = begun


def is_importing() -> bool:
    """Whether the scenario is being imported."""
    return _state.importing


def get(name: str, default: Any = MISSING, *, _declared: AnySetting | None = None) -> Any:
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
        return _declared.checked(_declared.preset().value)  # outside a run, in a test say
    if default is not MISSING:
        return default
    raise SettingError(
        f"{name} has no value; declare it with amoc.setting, or use --allow-undeclared with"
        f" --set {name}=…, AMOC_{name.upper()} or the config file"
    )
