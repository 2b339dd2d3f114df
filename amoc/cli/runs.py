"""``amoc runs``: lists runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from amoc.cli import server_option
from amoc.cli.json_option import JsonCommand, json_option
from amoc.cli.param_types import whole
from amoc.cli.run_data import output_json

if TYPE_CHECKING:
    from amoc.client.rest_client import RestClient
    from amoc.results.run_list import ListedRun

MAX_SHOWN = 20
MAX_ASKED = 1_000


@server_option.options
@click.command(cls=JsonCommand, short_help="List the runs in amoc-runs.")
@click.option(
    "--limit",
    type=whole(1, 1_000_000),
    default=MAX_SHOWN,
    help=f"Number of runs to list, newest first.  [default: {MAX_SHOWN}]",
)
@json_option("the list")
def runs(limit: int, json_file: str | None) -> None:
    """List the runs in amoc-runs, newest first, with their outcomes.

    Commands that take a RUN_DIR also take a run's name from this list, an unambiguous beginning of
    it, or last for the newest run, last~1 for the one before it, and so on.
    """
    from amoc.results import run_list

    server = server_option.server()
    found = run_list.newest(limit) if server is None else _of(server, limit)
    if json_file is not None:
        output_json([one.to_json() for one in found], json_file)
        return
    from amoc.cli.view.console import console, table

    if not found:
        click.echo(f"there are no runs {'in amoc-runs' if server is None else f'at {server}'}")
        return
    rows = [run_list.cells(one) for one in found]
    console(patient=False).print(table(*run_list.HEADS, rows=rows))


def _of(server: RestClient, limit: int) -> list[ListedRun]:
    """Return the runs of a server."""
    from amoc.client.answers import RunInfo, each
    from amoc.results.run_list import ListedRun
    from amoc.scenario.scenario_files import name_of

    answer = server.request("GET", f"/runs?limit={min(limit, MAX_ASKED)}")
    return [
        ListedRun(
            name=one.id,
            directory="",
            scenario=name_of(one.scenario),  # its path on the server means nothing here
            started_at=one.started_at,
            verdict=one.verdict,
            comment=one.comment,
            duration_s=one.duration_s,
            users=one.users,
            requests=one.requests,
            failures=one.failures,
            p95_s=one.p95_s,
        )
        for one in each(RunInfo, answer["runs"])
    ]
