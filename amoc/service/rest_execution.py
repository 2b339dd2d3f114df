"""REST: starting runs, and commands, with a route for each row of the table of commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel

from amoc.base.json_plain import JsonObject
from amoc.control.commands import CommandSpec
from amoc.results.run_list import QUEUED
from amoc.service.answers import CommandAnswer, PreviewBody, StartedBody, of_run, responses
from amoc.service.cli_output import messages
from amoc.service.isolated import cli_json
from amoc.service.job import Job
from amoc.service.requests import Addressed, CommandRoute, command_routes
from amoc.service.service import Service
from amoc.service.start_bodies import PlanBody, RepeatBody, ReplayBody, StartBody

_TAG = Tag(name="execution", description="Starting and controlling runs")
_B = TypeVar("_B", bound=BaseModel)
_STARTED = of_run(ok=StartedBody, accepted=StartedBody)


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""
    runs = service.runs

    @app.patch("/execution/start", tags=[_TAG], responses=_STARTED)
    def start(body: StartBody) -> tuple[JsonObject, HTTPStatus]:
        """Start a run, or queue it.

        Responds when users may start: the scenario is loaded, its settings are valid, and init()
        has returned. If the maximum number of runs is running the response is 409. With `queue` or
        `at` it is 202, and the run waits.
        """
        return started(runs.queue.start(body, body.scenario))

    @app.patch("/execution/replay", tags=[_TAG], responses=_STARTED)
    def replay(body: ReplayBody) -> tuple[JsonObject, HTTPStatus]:
        """Repeat a run, as `amoc replay` does, or queue it. Responds like `start`."""
        return started(runs.replay(body))

    @app.post(
        "/execution/plan", tags=[_TAG], responses=responses(HTTPStatus.NOT_FOUND, ok=PreviewBody)
    )
    def plan(body: PlanBody) -> JsonObject:
        """Preview a run without running it, as `amoc plan --json` does."""
        nodes = service.config.cluster.plan_options(body.cluster)
        options = ["plan", *nodes, *body.arguments()]
        return cli_json(options, service.scenarios.target(body.scenario), body.settings)

    @app.post("/execution/plan_replay", tags=[_TAG], responses=of_run(ok=PreviewBody))
    def plan_replay(body: RepeatBody) -> JsonObject:
        """Preview the repetition of a run, as `amoc replay --plan --json` does."""
        options = ["replay", "--plan", *body.arguments()]
        return cli_json(options, runs.find(body.run).path.resolve(), body.settings)

    for route in command_routes():
        add = partial(app.patch, f"/execution/{route.path}", tags=[_TAG])
        add_command(
            add, f"execution_{route.path}", route.spec, _sent(service, route), body=route.body
        )


def started(job: Job) -> tuple[JsonObject, HTTPStatus]:
    """Return the response to a client that has started a run."""
    status = HTTPStatus.ACCEPTED if job.state == QUEUED else HTTPStatus.OK
    notes = messages(job.process.output) if job.process is not None else []
    return {"run": job.id, "state": job.state, "notes": notes}, status


def _sent(service: Service, route: CommandRoute) -> Callable[[Addressed], JsonObject]:
    return lambda body: service.runs.command(body.run, route.command(body))


def add_command(
    add: Callable[..., Callable[[Callable[..., JsonObject]], object]],
    operation: str,
    spec: CommandSpec,
    view: Callable[[_B], JsonObject],
    **given: type[_B],
) -> None:
    """Add the route of a command.

    Args:
        add: Adds a route to the application.
        operation: Its name.
        spec: The command.
        view: Sends the command, given ``body`` or ``path``.
        given: The type of this argument.
    """
    view.__name__ = operation
    view.__annotations__ = given
    add(
        operation_id=operation,
        summary=spec.help.partition("\n")[0].rstrip("."),
        description=spec.help,
        responses=of_run(ok=CommandAnswer),
    )(view)
