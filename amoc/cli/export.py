"""``amoc export``: exports a run's data for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from amoc.base.errors import ExitCode, UsageError
from amoc.cli import server_option
from amoc.cli.json_option import JsonCommand, json_option, place_of
from amoc.cli.option_groups import flag
from amoc.cli.run_data import RUN, exit_code, load, output, write_beside


@server_option.options
@click.command(cls=JsonCommand, short_help="Export a run as CSV, JSON or HdrHistogram log.")
@RUN
@flag(
    "--csv",
    help="CSV with a row per second; next to it requests.csv, with a row per step, and"
    " failures.csv, with a row per cause of failure.",
)
@json_option("the summary and all seconds")
@flag("--jsonl", help="One JSON object per second, with histograms.")
@flag("--hlog", help="HdrHistogram interval log of the timers.")
@click.option("--output", "file", metavar="FILE", help="Output file.  [default: -, print it]")
def export(
    run: str, csv: bool, json_file: str | None, jsonl: bool, hlog: bool, file: str | None
) -> ExitCode:
    """Export the per-second data of the run in RUN_DIR in one of four formats.

    The exit code is 14 if part of the data is missing or damaged.
    """
    from amoc.results.export.tables import BESIDE, FORMATS

    wanted = zip(FORMATS, (csv, json_file is not None, jsonl, hlog), strict=True)
    chosen = [name for name, is_wanted in wanted if is_wanted]
    if len(chosen) != 1:
        told = " and ".join(f"--{name}" for name in chosen) or "none"
        raise UsageError(f"export requires one of --csv, --json, --jsonl and --hlog, got {told}")
    directory, saved = load(run)
    place = place_of(json_file, file)
    output(FORMATS[chosen[0]](saved), place)
    if csv:
        beside = directory.path if place == "-" else Path(place).parent
        for name, lines in BESIDE.items():
            if place == "-":
                write_beside(beside / name, lines(saved))
            else:
                output(lines(saved), str(beside / name))
    return exit_code(saved)
