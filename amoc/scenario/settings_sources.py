"""Sources of raw settings: command line, environment, config file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import cast

from amoc.base.errors import SettingError, UsageError
from amoc.base.redaction import HIDDEN, is_secret
from amoc.base.text import cut
from amoc.scenario.scenario_files import JOINS
from amoc.scenario.settings import Setting, Source

DEFAULT_FILE = "amoc.toml"
PREFIX = "AMOC_"
MAX_DEPTH = 50
"""Maximum nesting of lists and tables: msgpack does not accept much more, and the code that walks
them is recursive."""
MIN_INT, MAX_INT = -(1 << 63), (1 << 64) - 1
"""The integers that msgpack can pack."""


def gather(
    pairs: Sequence[str],
    environment: Mapping[str, str],
    config: str | None,
    undeclared: bool = False,
) -> list[Source]:
    """Return raw settings in order of precedence.

    Args:
        pairs: ``name=value`` from the command line.
        environment: The environment. Non-empty variables that begin with ``AMOC_``, in any case,
            are used.
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
    """Parse ``NAME=VALUE`` texts; the last one for a name counts.

    Raises:
        UsageError: A text has another form; the message begins with `what`.
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
    """Return why a setting's value cannot be sent to a worker, in one line; None if it can.

    Args:
        name: The setting's name, or the path to a nested value.
        value: The value.
        secret: Whether messages must hide it; decided by its name if omitted.
        depth: Its nesting depth.
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
    import tomllib  # here, since few runs have such a file

    try:
        parsed = tomllib.loads(path.read_text())
        values = {name: _plain(one) for name, one in parsed.items()}
    except OSError as error:
        raise UsageError(f"--config {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise SettingError(f"{file} is not valid TOML: {why}") from None
    problems = [found for one in values.items() if (found := cannot_travel(*one))]
    if problems:
        raise SettingError(*(f"{problem} (from {file})" for problem in problems))
    return values


def _plain(value: object) -> object:
    """Return `value` in a form that can be sent, with dates and times as text to parse again."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date | time) else value


def for_scenario(sources: list[Source], name: str, declared: list[Setting[object]]) -> list[Source]:
    """Return the sources that apply to scenario `name`.

    A table with the scenario's name in the config file overrides the file's top-level values;
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
