"""REST: scenarios, and the older spellings for them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel

from amoc.service.answers import ScenarioBody, ScenariosBody, ScenarioStateBody, StartedBody
from amoc.service.requests import ScenarioName, StartBody, Strict, Users
from amoc.service.responses import responses
from amoc.service.rest_execution import started
from amoc.service.rest_status import statuses
from amoc.service.service import Service

_TAG = Tag(name="scenarios", description="What can be run")


class ScenarioPath(BaseModel):
    """Which scenario."""

    name: ScenarioName


class UsersBody(Strict):
    """How many users."""

    users: Users


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""

    @app.get("/scenarios", tags=[_TAG], responses=responses(ok=ScenariosBody))
    def scenarios() -> Any:
        """The names of all scenarios."""
        return {"scenarios": service.scenarios.names()}

    @app.get(
        "/scenarios/info/<path:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioBody),
    )
    def scenario_info(path: ScenarioPath) -> Any:
        """What a scenario says of itself: its docstring, settings and thresholds.

        It is imported for that, by a process of its own.
        """
        return service.scenarios.describe(path.name)

    @app.get(
        "/scenarios/<path:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioStateBody),
    )
    def scenario_state(path: ScenarioPath) -> Any:
        """Whether a scenario is running (an older spelling)."""
        file = service.scenarios.find(path.name)
        runs = [one.id for one, answer in statuses(service) if answer["scenario"] == str(file)]
        return {"name": path.name, "state": "running" if runs else "loaded", "runs": runs}

    @app.patch(
        "/scenarios/<path:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, ok=StartedBody),
    )
    def start_scenario(path: ScenarioPath, body: UsersBody) -> Any:
        """Start a scenario with so many users (an older spelling)."""
        return started(service, StartBody(scenario=path.name, users=body.users))
