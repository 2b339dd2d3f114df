"""Uploads of local scenarios to a server, in the form in which hosts of a cluster get them.

A local file is sent with its whole directory (`amoc.install.bundle`), but not added to the server's
scenarios. Anything else is the name of a scenario of the server.
"""

from __future__ import annotations

import gzip
from http import HTTPStatus
from pathlib import Path

from amoc.base.errors import ScenarioError
from amoc.client.rest_client import RestClient, ServiceError, parsed
from amoc.scenario.scenario_files import Part, parts_of, text_of


def name_on_server(server: RestClient, scenario: str) -> str:
    """Return the server's name of a scenario, or of several with their loads. Uploads local files.

    Args:
        server: The server.
        scenario: Local files or names on the server, as in a plan.

    Raises:
        ScenarioError: A file does not exist, or its directory is too large or has something that
            cannot be sent.
        ServiceError: The server refuses the upload.
    """
    several = parts_of(scenario)
    parts = several or (Part(scenario, ""),)
    here = [one for one in parts if Path(one.source).is_file()]
    for one in parts:
        if one not in here and one.source.endswith(".py"):
            why = "does not exist here, and names of scenarios on the server have no .py"
            raise ScenarioError(f"scenario {one.source} {why}")
    sent = iter(_sent(server, here) if here else ())
    named = [one._replace(source=next(sent)) if one in here else one for one in parts]
    return text_of(named) if several else named[0].source


def _sent(server: RestClient, parts: list[Part]) -> list[str]:
    """Upload the files of scenarios. Return the server's names of these, in order."""
    from amoc.install import bundle

    made = bundle.made_of(text_of(parts) if len(parts) > 1 else parts[0].source)
    data = gzip.compress(made.data, mtime=0)  # identical files must have the same digest
    try:
        answer = parsed(server.fetch("PUT", "/scenarios/files", data, "application/gzip"))
    except ServiceError as error:
        if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        size = f"{parts[0].source} and its directory have {len(data):,} bytes, compressed"
        raise ScenarioError(
            f"{size}, and {server} refuses that: {error}; {bundle.ADVICE}"
        ) from None
    names = [one.source for one in parts_of(made.scenario)] or [made.scenario]
    return [f"{answer['files']}/{name.removesuffix('.py')}" for name in names]
