"""Messages to the operator, on standard error."""

from __future__ import annotations

import click

from amoc.base.errors import AmocError, ExitCode
from amoc.base.text import printable


def say(text: str) -> None:
    """Print `text` on standard error, each line with a prefix."""
    for line in text.splitlines():
        click.echo(f"amoc: {printable(line)}", err=True)


def fail(error: AmocError) -> ExitCode:
    """Print an error, and return its exit code."""
    say(str(error))
    return error.exit_code
