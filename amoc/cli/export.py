"""``amoc export``: a run's data for other programs."""

from __future__ import annotations

import click

from amoc.base.errors import ExitCode, UsageError
from amoc.cli.run_data import RUN, exit_code, load, output


@click.command(short_help="Export a run as CSV, JSON or HdrHistogram log.")
@RUN
@click.option("--csv", is_flag=True, help="CSV, with a row for each second.")
@click.option("--json", "as_json", is_flag=True, help="JSON: the summary and all seconds.")
@click.option("--jsonl", is_flag=True, help="A line of JSON for each second, with histograms.")
@click.option("--hlog", is_flag=True, help="HdrHistogram interval log of the timers.")
@click.option(
    "--output", "file", metavar="FILE", default="-", help="Output file.  [default: -, print it]"
)
def export(run: str, csv: bool, as_json: bool, jsonl: bool, hlog: bool, file: str) -> ExitCode:
    """Export the per-second data of the run in RUN_DIR in one of four formats.

    The exit code is 14 if a part of the data is missing or damaged.
    """
    from amoc.results.export.tables import FORMATS

    wanted = zip(FORMATS, (csv, as_json, jsonl, hlog), strict=True)
    chosen = [name for name, is_wanted in wanted if is_wanted]
    if len(chosen) != 1:
        told = " and ".join(f"--{name}" for name in chosen) or "none"
        raise UsageError(f"export requires one of --csv, --json, --jsonl and --hlog, got {told}")
    _, saved = load(run)
    output(FORMATS[chosen[0]](saved), file)
    return exit_code(saved)
