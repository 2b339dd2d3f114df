"""The commands that read what runs have left: ``amoc report``, ``compare`` and ``export``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amoc.base.errors import ResourceError, UsageError
from amoc.cli.param_types import Duration

if TYPE_CHECKING:  # what a command needs it imports when it is called
    from amoc.results.run_directory import RunDirectory
    from amoc.results.saved_run import SavedRun

_RUN = click.argument("run", metavar="RUN_DIR")


@click.command(short_help="Write the report of a run.")
@_RUN
@click.option("--output", metavar="FILE", help="Where to.  [default: report.html in RUN_DIR]")
def report(run: str, output: str | None) -> None:
    """Write the report of the run in RUN_DIR, a page for people.

    Of a run that was killed its summary and its JUnit file are made as well, from what it wrote
    each second. Of a run that still runs the report shows how it stands.
    """
    from amoc.base import atomic_write
    from amoc.results.export import junit
    from amoc.results.report import page

    directory, record = _load(run, "RUN_DIR")
    path = Path(output) if output is not None else directory.report
    if record.running:
        _warn(f"run {directory.path} still runs, so the report shows how it stands")
    else:
        if not record.complete:
            _leave(directory.summary, lambda file: atomic_write.write_json(file, record.summary))
        if not directory.junit.exists():
            _leave(directory.junit, lambda file: junit.write(record.summary, file))
    _leave(path, lambda file: page.write(record, file))


@click.command(short_help="Show two runs side by side.")
@click.argument("first", metavar="RUN_DIR_A")
@click.argument("second", metavar="RUN_DIR_B")
@click.option(
    "--output",
    metavar="FILE",
    help="Where the page goes, or the JSON.  [default: compare-<A>-<B>.html, here; print JSON]",
)
@click.option(
    "--warmup",
    "warmup_s",
    type=Duration(zero=True),
    help="Leave out the beginning of both runs.  [default: the --warmup of each]",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, and without a page.")
def compare(
    first: str, second: str, output: str | None, warmup_s: float | None, as_json: bool
) -> None:
    """Show two runs side by side, here and as a page for people.

    What differs in their settings and versions is listed. Of rates and percentiles it is said
    whether they differ by more than the runs' own noise.
    """
    from amoc.results.compare import comparison as comparing

    records = [_load(run, name)[1] for run, name in ((first, "RUN_DIR_A"), (second, "RUN_DIR_B"))]
    for record in records:
        if record.running:
            _warn(f"run {record.directory} still runs, so it is compared as it stands")
    found = comparing.compare(records[0], records[1], warmup_s)
    if as_json:
        _give([json.dumps(found.to_json(), indent=1, allow_nan=False)], output or "-")
        return
    from amoc.cli.view import comparison as compared
    from amoc.cli.view.console import console
    from amoc.results.compare import page as comparison

    console(patient=False).print(compared.render(found))
    path = Path(output) if output is not None else Path(_name(records))
    _leave(path, lambda file: comparison.write(found, file))


def _name(records: list[SavedRun]) -> str:
    first, second = (record.directory.resolve().name for record in records)
    return f"compare-{first}-{second}.html"


@click.command(short_help="Give a run to other programs.")
@_RUN
@click.option("--csv", is_flag=True, help="A row for each second.")
@click.option("--json", "as_json", is_flag=True, help="The summary and all seconds, one document.")
@click.option("--hlog", is_flag=True, help="The timers as HdrHistogram's interval log.")
@click.option("--output", metavar="FILE", default="-", help="Where to.  [default: -, print it]")
def export(run: str, csv: bool, as_json: bool, hlog: bool, output: str) -> None:
    """Give what the run in RUN_DIR has measured, second by second, to other programs."""
    from amoc.results.export.tables import FORMATS

    chosen = [name for name, wanted in zip(FORMATS, (csv, as_json, hlog), strict=True) if wanted]
    if len(chosen) != 1:
        told = " and ".join(f"--{name}" for name in chosen) or "none"
        raise UsageError(f"export requires one of --csv, --json and --hlog, got {told}")
    _, record = _load(run, "RUN_DIR")
    _give(FORMATS[chosen[0]](record), output)


def _load(run: str, what: str) -> tuple[RunDirectory, SavedRun]:
    """The run that the operator means, and what it has left; what is missing is told."""
    from amoc.results import run_directory
    from amoc.results import saved_run as record

    directory = run_directory.locate(run, what=what)
    return directory, record.load(directory, _warn)


def _leave(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file, and say where it is."""
    try:
        write(path)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(str(path))


def _give(lines: Iterable[str], output: str) -> None:
    """Print lines, if `output` is ``-``, or write them to the file that it names."""
    from amoc.base import atomic_write

    if output == "-":
        _print(lines)
        return
    text = "".join(f"{line}\n" for line in lines)
    path = Path(output)
    special = path.exists() and not path.is_file()  # a device or a pipe is written to
    _leave(
        path, lambda file: file.write_text(text) if special else atomic_write.write_text(file, text)
    )


def _print(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`: who reads has enough
        # What is still held back is written at the end, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(text: str) -> None:
    click.echo(f"amoc: {text}", err=True)


COMMANDS = (report, compare, export)
