"""Where raw settings come from: the command line, the environment, the config file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from amoc.errors import SettingError, UsageError

DEFAULT_FILE = "amoc.toml"
PREFIX = "AMOC_"


def gather(
    pairs: Sequence[str], environment: Mapping[str, str], config: str | None
) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Raw settings, strongest first, as `amoc.settings.Source`.

    Args:
        pairs: ``name=value`` from the command line.
        environment: All of the environment; what begins with ``AMOC_`` in any case counts.
        config: A TOML file; None means `DEFAULT_FILE`, if it is there.

    Raises:
        UsageError: A pair is none, or the file is not there.
        SettingError: The file is not TOML.
    """
    from_environment = {
        name[len(PREFIX) :].lower(): value
        for name, value in environment.items()
        if name.upper().startswith(PREFIX)
    }
    file = config or DEFAULT_FILE
    return [
        ("--set", _pairs(pairs), True),
        ("AMOC_{name}", from_environment, False),
        (file, _read(file, required=config is not None), True),
    ]


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set must be name=value, but is {pair!r}")
        values[name.strip()] = value
    return values


def _read(file: str, required: bool) -> dict[str, Any]:
    path = Path(file)
    if not path.exists() and not required:
        return {}
    try:
        return {name: _plain(name, value, file) for name, value in _load(path).items()}
    except OSError as error:
        raise UsageError(f"--config {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"{file} must be TOML, but {error}") from None


def _load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def _plain(name: str, value: Any, file: str) -> Any:
    """`value` as it can travel to a node: dates and times as text, which their types understand."""
    if isinstance(value, dict):
        return {key: _plain(f"{name}.{key}", one, file) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(name, one, file) for one in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise SettingError(f"{name} must fit into 64 bits, but is {value} (from {file})")
    return value
