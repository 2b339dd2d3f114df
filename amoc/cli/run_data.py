"""Shared by the commands that read a run's files: loading the run and writing output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amoc.base.errors import ExitCode, ResourceError, os_error_as
from amoc.cli import completion, server_option
from amoc.cli.messages import say
from amoc.cli.output import failure

if TYPE_CHECKING:
    from amoc.results.run_directory import RunDirectory
    from amoc.results.saved_run import SavedRun

RUN = click.argument("run", metavar="RUN_DIR", shell_complete=completion.runs)


def load(run: str, what: str = "RUN_DIR") -> tuple[RunDirectory, SavedRun]:
    """Load the run that the operator names, and report any data that is missing.

    With --server it is a temporary copy, which lasts as long as the command.
    """
    from amoc.results import run_directory, saved_run

    server = server_option.server()
    if server is None:
        directory = run_directory.locate(run, what=what)
        return directory, saved_run.load(directory, say)
    from amoc.client.fetched import fetched
    from amoc.client.rest_client import path_of

    there = server.request("GET", path_of(run))  # before the copy: the run may end in between
    copy = fetched(server, there["id"])
    directory = run_directory.RunDirectory(click.get_current_context().with_resource(copy))
    return directory, saved_run.load(directory, say, running=there["state"] == "running")


def exit_code(*runs: SavedRun) -> ExitCode:
    """Return the exit code of a command that has shown these runs."""
    return ExitCode.INCOMPLETE if any(one.missing for one in runs) else ExitCode.OK


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file, and print its path."""
    with os_error_as(ResourceError, f"{path} cannot be written"):
        write(path)
    click.echo(str(path))


def output(lines: Iterable[str], file: str) -> None:
    """Print lines if `file` is ``-``, else write them to that file."""
    from amoc.base import atomic_write

    if file == "-":
        for line in lines:
            if failure():  # the reader has exited, as with `| head`
                return
            sys.stdout.write(f"{line}\n")
        return
    text = "".join(f"{line}\n" for line in lines)
    path = Path(file)
    special = path.exists() and not path.is_file()  # devices and pipes are written to directly
    write_file(
        path, lambda file: file.write_text(text) if special else atomic_write.write_text(file, text)
    )


def output_json(value: object, file: str) -> None:
    """Print a value as JSON if `file` is ``-``, else write it to that file."""
    output([json.dumps(value, indent=1, allow_nan=False)], file)


def write_beside(path: Path, lines: Iterable[str]) -> None:
    """Write a file in addition to what is printed, without printing its path. It may fail."""
    from amoc.base import atomic_write

    try:
        atomic_write.write_text(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        say(f"{path} cannot be written: {error.strerror}")
