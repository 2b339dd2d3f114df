"""``amoc report``: writes the report of a run from its files."""

from __future__ import annotations

from pathlib import Path

import click

from amoc.base.errors import ExitCode
from amoc.cli import server_option
from amoc.cli.messages import say
from amoc.cli.run_data import RUN, exit_code, load, write_file


@server_option.options
@click.command(short_help="Write a run's report.")
@RUN
@click.option(
    "--output", "file", metavar="FILE", help="Output file.  [default: report.html in RUN_DIR]"
)
def report(run: str, file: str | None) -> ExitCode:
    """Write the HTML report of the run in RUN_DIR.

    Also writes the JUnit file and, for a run that was killed, a summary from its per-second data.
    The report of a run that is still running covers it so far. The exit code is 14 if part of the
    run's data is missing or damaged.
    """
    from amoc.results import summary_file
    from amoc.results.export import junit
    from amoc.results.report import page

    directory, saved = load(run)
    elsewhere = server_option.server() is not None
    default = Path(f"report-{directory.id}.html") if elsewhere else directory.report
    path = Path(file) if file is not None else default
    if saved.running:
        name = directory.id if elsewhere else directory.path
        say(f"run {name} is still running; the report covers it so far")
    elif not elsewhere:
        if not saved.complete:
            write_file(directory.summary, lambda file: summary_file.write(saved.summary, file))
        write_file(directory.junit, lambda file: junit.write(saved.summary, file))
    write_file(path, lambda file: page.write(saved, file))
    return exit_code(saved)
