"""``--set NAME=VALUE`` and related options: values of settings on the command line.

All users of the machine can read command lines, and shells keep them in their history. So a secret
should come from a file or from standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from amoc.base.errors import SettingError, UsageError, os_error_as
from amoc.base.redaction import hide, is_secret
from amoc.cli.messages import say
from amoc.cli.option_groups import together
from amoc.scenario.settings_sources import cannot_travel, pairs_of

STDIN = "@-"
"""The value that means: read it from standard input."""
MAX_BYTES = 1 << 20
_FROM_FILES = f"{__name__}.from_files"


def _files(context: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> None:
    context.meta[_FROM_FILES] = [
        f"{name}={_of_file(f'--set-from-file {name}={path}', path)}"
        for name, path in pairs_of("--set-from-file", texts, value="PATH").items()
    ]


def _pairs(context: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    values = read("--set", texts)
    return (*context.meta[_FROM_FILES], *(f"{name}={value}" for name, value in values.items()))


options = together(
    click.option(
        "--set-from-file",
        metavar="NAME=PATH",
        multiple=True,
        expose_value=False,
        is_eager=True,  # before --set, whose callback adds these values
        callback=_files,
        help="Read a setting's value, a secret for example, from a file (repeatable).",
    ),
    click.option(
        "--set",
        "pairs",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_pairs,
        help="Set a setting (repeatable); the value @- is read from standard input.",
    ),
)
"""Adds the options to a command, which is called with ``pairs``, each ``NAME=VALUE``."""


def _typed(_: click.Context, __: click.Parameter, path: str | None) -> dict[str, object]:
    if path is None:
        return {}
    what = f"--set-json {path}"
    if path == "-":
        text = _text(what, sys.stdin.buffer.read(MAX_BYTES + 1))
    else:
        text = _of_file(what, path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} must hold JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{what} must hold an object of values by setting name")
    if problems := [found for one in values.items() if (found := cannot_travel(*one))]:
        raise SettingError(*problems)
    return values


JSON = click.option(
    "--set-json",
    "typed",
    metavar="FILE",
    callback=_typed,
    help="Set the settings in a JSON object, read from FILE or, with -, from standard input.",
)


def read(what: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the values of ``NAME=VALUE`` texts, reading one if it is `STDIN`. Warns of secrets.

    Args:
        what: Where the texts were given, for messages.
        texts: The texts.

    Raises:
        UsageError: A text has another form, or a value cannot be read.
    """
    values = pairs_of(what, texts)
    waiting = [name for name, value in values.items() if value == STDIN]
    if len(waiting) > 1:
        names = " and ".join(waiting)
        raise UsageError(f"{what}: at most one value can be {STDIN}, got {names}")
    for name, value in values.items():
        if value == STDIN:
            values[name] = _of_stdin(what, name)
        elif value and (is_secret(name) or hide(value) is not value):
            say(
                f"warning: the secret {name} on the command line can be read by other users of this"
                f" machine; use --set-from-file {name}=PATH or {name}={STDIN}"
            )
    return values


def _of_file(what: str, path: str) -> str:
    with os_error_as(UsageError, f"{what} cannot be read"), Path(path).open("rb") as file:
        return _text(what, file.read(MAX_BYTES + 1))


def _of_stdin(what: str, name: str) -> str:
    if sys.stdin.isatty():
        from getpass import getpass  # imported here because it is rarely needed

        return getpass(f"{name}: ")
    return _text(f"{what} {name}={STDIN}", sys.stdin.buffer.read(MAX_BYTES + 1))


def _text(source: str, data: bytes) -> str:
    """Return the text in `data`, without the final line end that editors add."""
    if len(data) > MAX_BYTES:
        raise UsageError(f"{source} must hold at most {MAX_BYTES:,} bytes, got more")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{source} must hold UTF-8 text, got something else") from None
