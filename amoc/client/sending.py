"""Scenarios of this host for a server: their files are sent, as several hosts of a run get them.

What is in a file here is sent with all of its directory (`amoc.install.bundle`), and is no scenario
of the server's own then; anything else is the name of one that is.
"""

from __future__ import annotations

import gzip
from http import HTTPStatus
from pathlib import Path

from amoc.base.errors import ScenarioError
from amoc.client.http_line import Line, ServiceError, parsed
from amoc.scenario.scenario_files import Part, parts_of, text_of


def name_there(line: Line, scenario: str) -> str:
    """What the server calls a scenario, or several with their loads; it has them then.

    Args:
        line: The server.
        scenario: Files here or names there, as in a plan.

    Raises:
        ScenarioError: A file is not there, or there is too much to be sent, or something that
            cannot be.
        ServiceError: The server refuses it.
    """
    several = parts_of(scenario)
    parts = several or (Part(scenario, ""),)
    here = [one for one in parts if Path(one.source).is_file()]
    for one in parts:
        if one not in here and one.source.endswith(".py"):
            why = "does not exist here, and a scenario of the server is called without .py"
            raise ScenarioError(f"scenario {one.source} {why}")
    sent = iter(_sent(line, here) if here else ())
    named = [one._replace(source=next(sent)) if one in here else one for one in parts]
    return text_of(named) if several else named[0].source


def _sent(line: Line, parts: list[Part]) -> list[str]:
    """Send the files of scenarios; what the server calls these, in order."""
    from amoc.install import bundle

    made = bundle.made_of(text_of(parts) if len(parts) > 1 else parts[0].source)
    data = gzip.compress(made.data, mtime=0)  # the same files are the same to the server
    try:
        answer = parsed(line.fetch("PUT", "/scenarios/files", data, "application/gzip"))
    except ServiceError as error:
        if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        size = f"{parts[0].source} and what is beside it have {len(data):,} bytes, packed"
        raise ScenarioError(f"{size}, and {line} refuses that: {error}; {bundle.ADVICE}") from None
    names = [one.source for one in parts_of(made.scenario)] or [made.scenario]
    return [f"{answer['files']}/{name.removesuffix('.py')}" for name in names]
