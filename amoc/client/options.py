"""Options of a run as Python values, converted to JSON or to arguments of ``amoc run``. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import TypeAlias

from amoc.scenario.run_plan import ABORT_GRACE_S
from amoc.scenario.scenario_files import Part, text_of

Duration: TypeAlias = str | float | timedelta
"""``"1m30s"``, or a number of seconds."""
Stages: TypeAlias = str | Sequence[tuple[Duration, int]]
"""``"30s:100,2m:1000"``, or pairs of a duration and the number of users at its end."""
UserIds: TypeAlias = str | range
Value: TypeAlias = object


def written(given: Mapping[str, object]) -> dict[str, object]:
    """Return the options in `given` as JSON types, except those that are None or False.

    Raises:
        TypeError: An option has the wrong type.
    """
    made = {}
    for name, value in given.items():
        if value is not None and (value is not False or name == "install"):
            form = _FORMS.get(name)
            made[_NAMES.get(name, name)] = value if form is None else form(name, value)
    return made


def arguments(given: Mapping[str, object]) -> list[str]:
    """Return the arguments of ``amoc run`` for the options of `amoc.run` in `given`.

    Raises:
        TypeError: An option has the wrong type.
    """
    return [text for one in written(given).items() for text in _argument(*one)]


def _argument(name: str, value: object) -> list[str]:
    option = "--throttle" if name == "throttles" else f"--{name.replace('_', '-')}"
    match os.fspath(value) if isinstance(value, os.PathLike) else value:
        case bool() if name in _FLAGS:
            return [option] if value else []
        case list(several):
            return several if name == "options" else [f"{option}={one}" for one in several]
        case dict(table):
            return [f"{option}={key}={one}" for key, one in table.items()]
        case (str() | int()) as plain if not isinstance(value, bool):
            return [f"{option}={plain}"]
    raise TypeError(f"{name} must be a string or a whole number, got {value!r}")


def source(scenario: str | os.PathLike[str] | Mapping[str, int | str]) -> str:
    """Return a scenario, or several with their loads, in the syntax of ``amoc run``."""
    if isinstance(scenario, Mapping):
        return text_of([Part(file, str(users)) for file, users in scenario.items()])
    return os.fspath(scenario)


def settings(values: Mapping[str, Value]) -> dict[str, object]:
    """Return the values of settings as JSON types, by name.

    Raises:
        TypeError: JSON has no type for a value, or it is None.
    """
    return {name: _setting(name, value) for name, value in values.items()}


def _setting(name: str, value: Value) -> object:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_setting(name, one) for one in value]
    if isinstance(value, dict):
        return {str(key): _setting(name, one) for key, one in value.items()}
    raise TypeError(
        f"setting {name} must be a string, a number, a boolean, a list or a dict,"
        f" got {type(value).__name__}"
    )


def duration(name: str, value: object) -> str:
    """Return a duration in the syntax of ``amoc run``.

    Raises:
        TypeError: It is not a duration.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.9f}".rstrip("0").rstrip(".") + "s" if value < float("inf") else "inf"
    raise TypeError(
        f"{name} must be a duration such as '30s' or a number of seconds, got {value!r}"
    )


def _abort(name: str, value: object) -> str:
    return duration(name, ABORT_GRACE_S if value is True else value)


def texts(name: str, value: object) -> list[str]:
    """Return a string or a list of strings as a list.

    Raises:
        TypeError: It is neither.
    """
    found: list[str] = []
    for one in (value,) if isinstance(value, str) else _iterable(name, value, "a list of strings"):
        if not isinstance(one, str):
            raise TypeError(f"{name} must be a string or a list of strings, got {one!r} in it")
        found.append(one)
    return found


def _table(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of values by name, got {value!r}")
    return dict(value)


def stages(name: str, value: object) -> str:
    """Return numbers of users over time in the syntax of ``amoc run``.

    Raises:
        TypeError: It is neither a string nor pairs.
    """
    if isinstance(value, str):
        return value
    what = "pairs of a duration and a number of users"
    parts = []
    for pair in _iterable(name, value, what):
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise TypeError(f"{name} must be a string or {what}, got {pair!r} in it")
        parts.append(f"{duration(name, pair[0])}:{pair[1]}")
    return ",".join(parts)


def ids(name: str, value: object) -> str:
    """Return user ids in the syntax of ``amoc run``.

    Raises:
        TypeError: It is neither a string nor a range.
    """
    if isinstance(value, range) and value.step == 1 and value:
        return f"{value[0]}-{value[-1]}"
    if isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a string such as '1-100', or a range, got {value!r}")


def _iterable(name: str, value: object, what: str) -> Iterable[object]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a string or {what}, got {value!r}")
    return value


_NAMES = {"set": "settings", "install": "no_install"}
"""Options whose fields have another name."""
_FLAGS = ("allow_undeclared", "failures_ok", "limited_ok", "locked", "no_install")
_FORMS: Mapping[str, Callable[[str, object], object]] = {
    "abort_on_fail": _abort,
    "install": lambda _, value: not value,
    "set": lambda name, value: settings(_table(name, value)),
    "stages": stages,
    "throttles": _table,
    "user_ids": ids,
    **dict.fromkeys(("exclude_tags", "expect", "on_nodes", "options", "tags"), texts),
    **dict.fromkeys(
        ("duration", "init_timeout", "install_timeout", "stop_timeout", "warmup"), duration
    ),
}
"""How to convert each option; others are used as they are."""
