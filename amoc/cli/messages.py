"""What the command line says beside its output, on standard error."""

from __future__ import annotations

import click

from amoc.base.errors import AmocError, ExitCode
from amoc.base.text import printable


def say(text: str) -> None:
    """Tell the operator, a line for each line of `text`."""
    for line in text.splitlines():
        click.echo(f"amoc: {printable(line)}", err=True)


def fail(error: AmocError) -> ExitCode:
    """Say what is wrong; the exit code that it ends in."""
    say(str(error))
    return error.exit_code
