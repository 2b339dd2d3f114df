"""The sources of raw settings: command line, environment, config file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, cast

from amoc.base.errors import SettingError, UsageError
from amoc.base.redaction import HIDDEN, is_secret
from amoc.base.text import cut
from amoc.scenario.scenario_files import JOINS
from amoc.scenario.settings import Setting, Source

DEFAULT_FILE = "amoc.toml"
PREFIX = "AMOC_"
MAX_DEPTH = 50
"""How deep lists and tables may be nested. msgpack does not take many more, and code that walks
them is recursive."""
MIN_INT, MAX_INT = -(1 << 63), (1 << 64) - 1
"""The limits of msgpack."""


def gather(
    pairs: Sequence[str],
    environment: Mapping[str, str],
    config: str | None,
    undeclared: bool = False,
) -> list[Source]:
    """Raw settings, strongest first.

    Args:
        pairs: ``name=value`` from the command line.
        environment: All of the environment; names that begin with ``AMOC_``, in any case, count,
            unless they are empty.
        config: A TOML file; None means `DEFAULT_FILE`, if it exists.
        undeclared: Whether names that no module declares are allowed.

    Raises:
        UsageError: A pair is not ``name=value``, or the file does not exist.
        SettingError: The file is not TOML.
    """
    from_environment = {
        name[len(PREFIX) :].lower(): value
        for name, value in environment.items()
        if value and name.upper().startswith(PREFIX)
    }
    file = config or DEFAULT_FILE
    return [
        Source("--set", pairs_of("--set", pairs), not undeclared),
        Source("AMOC_{name}", from_environment, False),
        Source(file, _read(file, required=config is not None), not undeclared),
    ]


def pairs_of(what: str, texts: Iterable[str], value: str = "VALUE") -> dict[str, str]:
    """``NAME=VALUE`` texts as values by name; the last one of a name counts.

    Raises:
        UsageError: A text is something else; `what` says where it was given.
    """
    values = {}
    for text in texts:
        name, equals, given = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{what}: expected NAME={value}, got {cut(text)}")
        values[name.strip()] = given
    return values


def cannot_travel(
    name: str, value: object, secret: bool | None = None, depth: int = 0
) -> str | None:
    """Why the value of setting `name` cannot be sent to a worker, in one line; None if it can.

    Args:
        name: The setting's, or where in it the value is.
        value: The value.
        secret: Whether no message may show it; by default its name says so.
        depth: How deep it is nested.
    """
    if secret is None:
        secret = is_secret(name)
    if isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
        return f"{_called(name)} must fit into 64 bits, got {HIDDEN if secret else cut(value)}"
    if isinstance(value, list | dict) and depth >= MAX_DEPTH:
        return f"{_called(name)} must be nested at most {MAX_DEPTH} deep, got more"
    for key, one in value.items() if isinstance(value, dict) else ():
        found = cannot_travel(f"{name}.{key}", one, secret or is_secret(key), depth + 1)
        if found:
            return found
    for one in value if isinstance(value, list) else ():
        if found := cannot_travel(name, one, secret, depth + 1):
            return found
    return None


def _called(name: str) -> str:
    return name if name.isprintable() and len(name) <= 60 else cut(name)


def _read(file: str, required: bool) -> dict[str, object]:
    path = Path(file)
    if not path.exists() and not required:
        return {}
    import tomllib  # here, for few runs have such a file

    try:
        values: dict[str, object] = _plain(tomllib.loads(path.read_text()))
    except OSError as error:
        raise UsageError(f"--config {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise SettingError(f"{file} is not valid TOML: {why}") from None
    problems = [found for one in values.items() if (found := cannot_travel(*one))]
    if problems:
        raise SettingError(*(f"{problem} (from {file})" for problem in problems))
    return values


def _plain(value: object) -> Any:
    """`value` as it can be sent to a node: dates and times as text, which their types parse."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date | time) else value


def for_scenario(sources: list[Source], name: str, declared: list[Setting[object]]) -> list[Source]:
    """The sources that apply to scenario `name`.

    A table of the config file with the scenario's name overrides the file's top-level values, and
    tables of other scenarios are ignored.
    """
    names = {one.name for one in declared}
    chosen = []
    for label, values, strict in sources:
        tables = {
            key for key, value in values.items() if isinstance(value, dict) and key not in names
        }
        for one in [name] if name in tables else name.split(JOINS):
            if one in tables:
                table = cast("Mapping[str, object]", values[one])
                chosen.append(Source(f"{label} [{one}]", table, strict))
        rest = {key: value for key, value in values.items() if key not in tables}
        chosen.append(Source(label, rest, strict))
    return chosen
