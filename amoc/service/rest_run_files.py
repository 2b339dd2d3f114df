"""REST: answers of runs and their files, which commands with ``--server`` need."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from flask import Response
from flask_openapi3 import OpenAPI, Tag

from amoc.base.json_plain import JsonObject
from amoc.control.commands import COMMANDS, Command, is_read
from amoc.results.run_directory import RunDirectory
from amoc.service.answers import FILE, of_run
from amoc.service.rest_execution import add_command
from amoc.service.rest_runs import RunPath
from amoc.service.service import Service

_TAG = Tag(name="runs")
_CHUNK = 1 << 16


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""

    @app.get("/runs/<id>/archive", tags=[_TAG], responses=of_run() | FILE)
    def get_archive(path: RunPath) -> Response:
        """Download the files of a run as a tar archive: journal, series and summary."""
        return Response(stream(service.runs.find(path.id)), mimetype="application/x-tar")

    for name, spec in COMMANDS.items():
        if is_read(name):
            add = partial(app.get, f"/runs/<id>/{name}", tags=[_TAG])
            add_command(add, f"run_{name}", spec, _asked(service, name), path=RunPath)


def _asked(service: Service, name: str) -> Callable[[RunPath], JsonObject]:
    return lambda path: service.runs.command(path.id, Command(name, {}))


def stream(directory: RunDirectory) -> Iterator[bytes]:
    """Yield a tar archive of journal, series and summary, in a directory named after the run.

    Also while the run writes them, each with its size at the start.
    """
    for path in (directory.summary, directory.journal, directory.series, directory.old_series):
        yield from _file(path, f"{directory.id}/{path.name}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: Path, name: str) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return  # a running run has no summary
    with file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = file.seek(0, 2), 0o600
        file.seek(0)
        yield info.tobuf()
        left = info.size
        while left and (data := file.read(min(_CHUNK, left))):
            left -= len(data)
            yield data
        # Pad with zeros if a file has shrunk, which is not expected, to keep the archive valid.
        while left:
            padding = bytes(min(_CHUNK, left))
            left -= len(padding)
            yield padding
        yield bytes(-info.size % tarfile.BLOCKSIZE)
