"""``amoc compare``: compares two runs."""

from __future__ import annotations

from pathlib import Path

import click

from amoc.base.errors import ExitCode
from amoc.cli import completion, server_option
from amoc.cli.json_option import JsonCommand, json_option, place_of
from amoc.cli.messages import say
from amoc.cli.param_types import duration
from amoc.cli.run_data import exit_code, load, output_json, write_file


@server_option.options
@click.command(cls=JsonCommand, short_help="Compare two runs.")
@click.argument("first", metavar="RUN_DIR_A", shell_complete=completion.runs)
@click.argument("second", metavar="RUN_DIR_B", shell_complete=completion.runs)
@click.option(
    "--output",
    "file",
    metavar="FILE",
    help="Output file.  [default: compare-<A>-<B>.html in the current directory; with --json,"
    " print it]",
)
@click.option(
    "--warmup",
    "warmup_s",
    type=duration(zero=True),
    help="Exclude this initial period of both runs.  [default: the --warmup of each]",
)
@json_option("the comparison")
def compare(
    first: str, second: str, file: str | None, warmup_s: float | None, json_file: str | None
) -> ExitCode:
    """Compare two runs, in the terminal and as an HTML page.

    Lists differences in settings and versions, and the rates and percentiles that changed
    significantly, which means by more than the noise within the runs. The exit code is 14 if
    part of a run's data is missing or damaged.
    """
    from amoc.results.compare import comparison

    runs = [load(run, what)[1] for run, what in ((first, "RUN_DIR_A"), (second, "RUN_DIR_B"))]
    for one in runs:
        if one.running:
            name = one.directory if server_option.server() is None else one.directory.name
            say(f"run {name} is still running; the comparison covers it so far")
    found = comparison.compare(runs[0], runs[1], warmup_s)
    if json_file is not None:
        output_json(found.to_json(), place_of(json_file, file))
        return exit_code(*runs)
    from amoc.cli.view import comparison as view
    from amoc.cli.view.console import console
    from amoc.results.compare import page

    console(patient=False).print(view.render(found))
    names = [one.directory.resolve().name for one in runs]
    path = Path(file if file is not None else f"compare-{names[0]}-{names[1]}.html")
    write_file(path, lambda file: page.write(found, file))
    return exit_code(*runs)
