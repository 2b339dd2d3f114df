"""REST: starting runs, and commands for them; a route for each row of the table of commands."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask_openapi3 import OpenAPI, Tag

from amoc.service.answers import CommandAnswer, StartedBody
from amoc.service.requests import Addressed, CommandRoute, StartBody, command_routes
from amoc.service.responses import responses
from amoc.service.service import Service

_TAG = Tag(name="execution", description="Runs that are running")


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""

    @app.patch(
        "/execution/start",
        tags=[_TAG],
        responses=responses(
            HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, ok=StartedBody, accepted=StartedBody
        ),
    )
    def start(body: StartBody) -> Any:
        """Start a run, or queue it.

        Answered when users may start: the scenario is loaded, its settings are right and init() has
        run. 409 when as many runs as
        may run are running, unless the body says `queue` or `at`: then 202, and the run waits.
        """
        return started(service, body)

    for route in command_routes():
        app.patch(
            f"/execution/{route.path}",
            tags=[_TAG],
            operation_id=f"execution_{route.path}",
            summary=route.spec.help.partition("\n")[0].rstrip("."),
            description=route.spec.help,
            responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, ok=CommandAnswer),
        )(_view(service, route))


def started(service: Service, body: StartBody) -> Any:
    """Start a run; the answer to the client."""
    job = service.runs.queue.start(body)
    status = HTTPStatus.ACCEPTED if job.state == "queued" else HTTPStatus.OK
    return {"run": job.id, "state": job.state}, status


def _view(service: Service, route: CommandRoute) -> Callable[..., Any]:
    """The function that answers a command's route."""

    def view(body: Addressed) -> Any:
        run, answer = service.runs.command(body.run, route.command(body))
        return {"run": run, **answer}

    view.__name__ = f"execution_{route.path}"
    view.__annotations__ = {"body": route.body}
    return view
