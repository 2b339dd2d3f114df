"""REST: answers of runs and their files, which commands with ``--server`` need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response
from flask_openapi3 import OpenAPI, Tag

from amoc.control.commands import COMMANDS, Command, CommandSpec, Handling
from amoc.service import run_archive
from amoc.service.answers import CommandAnswer
from amoc.service.responses import FILE, of_run
from amoc.service.rest_runs import RunPath
from amoc.service.service import Service

_TAG = Tag(name="runs")


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""

    @app.get("/runs/<id>/archive", tags=[_TAG], responses=of_run() | FILE)
    def get_archive(path: RunPath) -> Any:
        """Download the files of a run as a tar archive: journal, series and summary."""
        return Response(
            run_archive.stream(service.runs.find(path.id)), mimetype="application/x-tar"
        )

    for spec in COMMANDS.values():
        if spec.handling is Handling.READ:
            app.get(
                f"/runs/<id>/{spec.name}",
                tags=[_TAG],
                operation_id=f"run_{spec.name}",
                summary=spec.help.partition("\n")[0].rstrip("."),
                description=spec.help,
                responses=of_run(ok=CommandAnswer),
            )(_reading(service, spec))


def _reading(service: Service, spec: CommandSpec) -> Callable[..., Any]:
    """Return the view function of a command that only reads."""

    def view(path: RunPath) -> Any:
        run, answer = service.runs.command(path.id, Command(spec.name, {}))
        return {"run": run, **answer}

    view.__name__ = f"run_{spec.name}"
    view.__annotations__ = {"path": RunPath}
    return view
