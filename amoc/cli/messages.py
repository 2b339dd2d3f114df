"""What the command line says beside its output, on standard error."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from amoc.base.errors import AmocError
from amoc.base.text import printable


def say(text: str) -> None:
    """Tell the operator, a line for each line of `text`."""
    for line in text.splitlines():
        click.echo(f"amoc: {printable(line)}", err=True)


def fail(error: AmocError) -> NoReturn:
    """Say what is wrong and exit with the error's code."""
    say(str(error))
    sys.exit(int(error.exit_code))
