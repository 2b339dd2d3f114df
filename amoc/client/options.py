"""The options of a run as a program gives them, as arguments of ``amoc run``. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any, TypeAlias

from amoc.scenario.scenario_files import Part, text_of

Duration: TypeAlias = str | float | timedelta
"""``"1m30s"``, or a number of seconds."""
Stages: TypeAlias = str | Sequence[tuple[Duration, int]]
"""``"30s:100,2m:1000"``, or pairs of how long and how many users at its end."""
UserIds: TypeAlias = str | range
Value: TypeAlias = object


def arguments(given: Mapping[str, object]) -> list[str]:
    """The arguments that mean the options of `amoc.run` in `given`; None stands for no option.

    Raises:
        TypeError: One is of a type that it cannot be.
    """
    return [
        text
        for name, value in given.items()
        if value is not None
        for text in _FORMS.get(name, _plain)(name, value)
    ]


def source(scenario: str | os.PathLike[str] | Mapping[str, int | str]) -> str:
    """A scenario, or several with their loads, as ``amoc run`` reads them."""
    if isinstance(scenario, Mapping):
        return text_of([Part(file, str(users)) for file, users in scenario.items()])
    return os.fspath(scenario)


def settings(values: Mapping[str, Value]) -> dict[str, object]:
    """Values of settings in types that JSON has, by name.

    Raises:
        TypeError: A value has none, such as None.
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
        f"setting {name} must be a text, a number, true or false, a list or a table,"
        f" got {type(value).__name__}"
    )


def duration(name: str, value: object) -> str:
    """A duration as ``amoc run`` reads it.

    Raises:
        TypeError: It is none.
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


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _plain(name: str, value: object) -> list[str]:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return [f"{_option(name)}={value}"]
    raise TypeError(f"{name} must be a text or a whole number, got {value!r}")


def _flag(name: str, value: object) -> list[str]:
    return [_option(name)] if value else []


def _abort(name: str, value: object) -> list[str]:
    return _flag(name, value) if isinstance(value, bool) else _of(duration)(name, value)


def texts(name: str, value: object) -> list[str]:
    """A text or a list of texts as a list.

    Raises:
        TypeError: It is neither.
    """
    found = [value] if isinstance(value, str) else list(_iterable(name, value, "a list of texts"))
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"{name} must be a text or a list of texts, got {one!r} in it")
    return found


def _each(name: str, value: object) -> list[str]:
    return [f"{_option(name)}={one}" for one in texts(name, value)]


def _throttles(name: str, value: object) -> list[str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a table of names and rates, got {value!r}")
    return [f"--throttle={key}={one}" for key, one in value.items()]


def stages(name: str, value: object) -> str:
    """Users over time as ``amoc run`` reads them.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, str):
        return value
    pairs = _iterable(name, value, "pairs of a duration and a number of users")
    return ",".join(f"{duration(name, one)}:{users}" for one, users in pairs)


def ids(name: str, value: object) -> str:
    """Ids of users as ``amoc run`` reads them.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, range) and value.step == 1 and value:
        return f"{value[0]}-{value[-1]}"
    if isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a text such as '1-100', or a range, got {value!r}")


def _of(text: Callable[[str, object], str]) -> Callable[[str, object], list[str]]:
    """An option whose value `text` makes."""
    return lambda name, value: [f"{_option(name)}={text(name, value)}"]


def _iterable(name: str, value: object, what: str) -> Iterable[Any]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a text or {what}, got {value!r}")
    return value


_FORMS: Mapping[str, Callable[[str, object], list[str]]] = {
    "abort_on_fail": _abort,
    "expect": _each,
    "options": texts,
    "stages": _of(stages),
    "throttles": _throttles,
    "user_ids": _of(ids),
    **dict.fromkeys(
        ("duration", "init_timeout", "install_timeout", "stop_timeout", "warmup"), _of(duration)
    ),
    **dict.fromkeys(("allow_undeclared", "failures_ok", "limited_ok", "locked"), _flag),
    "install": lambda _, value: [] if value else ["--no-install"],
}
"""How each option is written; the others are a text or a number."""
