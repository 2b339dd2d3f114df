"""REST: scenarios, and the older spellings for them."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import Any

from flask_openapi3 import OpenAPI, RawModel, Tag
from pydantic import BaseModel, Field
from werkzeug.routing import BaseConverter

from amoc.install.choice import LOCKED, NO_INSTALL
from amoc.service.answers import (
    FilesBody,
    ScenarioBody,
    ScenariosBody,
    ScenarioStateBody,
    StartedBody,
    UploadedBody,
)
from amoc.service.intake import MAX_SOURCE_BYTES
from amoc.service.problems import Problem
from amoc.service.requests import Exact, ScenarioName, UploadName, Users
from amoc.service.responses import of_run, responses
from amoc.service.rest_execution import started
from amoc.service.rest_status import statuses
from amoc.service.service import Service
from amoc.service.start_bodies import StartBody

ARCHIVE_TYPES = [
    *("application/zip", "application/gzip", "application/x-tar", "application/octet-stream")
]
UPLOAD_TYPES = ["text/x-python", "text/plain", *ARCHIVE_TYPES]
_TAG = Tag(name="scenarios", description="What can be run")


class ScenarioPath(BaseModel):
    """Which scenario."""

    name: ScenarioName


class InfoQuery(BaseModel):
    """What becomes of its dependencies."""

    install: bool = Field(
        True, description="Whether those that are not there are installed; if not, they are shown"
    )
    locked: bool = Field(False, description="Whether to refuse those without a lock or hashes")


class UploadQuery(BaseModel):
    """What it is to be called."""

    name: UploadName


class Upload(RawModel):
    """The source of a scenario, or an archive with it and its helper modules."""

    mimetypes: list[str] = UPLOAD_TYPES


class Files(RawModel):
    """An archive with a scenario and all that it needs."""

    mimetypes: list[str] = ARCHIVE_TYPES


class SourceBody(Exact):
    """A scenario as text (an older spelling)."""

    scenario: UploadName
    module_source: str = Field(min_length=1, max_length=MAX_SOURCE_BYTES)


class UsersBody(Exact):
    """How many users."""

    users: Users


class ScenarioConverter(BaseConverter):
    """A scenario's name in a path that is not one of the other routes below ``/scenarios``."""

    regex = "(?!(?:upload|files|info)$)[^/]+"


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""
    app.url_map.converters["scenario"] = ScenarioConverter

    def stream_of(raw: RawModel, types: list[str]) -> Any:
        """The body of an upload, which has its limit.

        Raises:
            Problem: It is of none of the types.
        """
        if raw.mimetype not in ("", *types):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the body must be of one of the types {', '.join(types)}",
            )
        raw.max_content_length = service.config.max_upload
        return raw.stream

    @app.get("/scenarios", tags=[_TAG], responses=responses(ok=ScenariosBody))
    def scenarios() -> Any:
        """The names of all scenarios."""
        return {"scenarios": service.scenarios.names()}

    @app.get(
        "/scenarios/info/<path:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioBody),
    )
    def scenario_info(path: ScenarioPath, query: InfoQuery) -> Any:
        """What a scenario says of itself: its docstring, settings and thresholds.

        It is imported for that, by a process of its own.
        """
        asked = [NO_INSTALL] if not query.install else []
        asked += [LOCKED] if query.locked else []
        return service.scenarios.describe(path.name, *asked)

    @app.put(
        "/scenarios/upload",
        tags=[_TAG],
        responses=responses(
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.INSUFFICIENT_STORAGE,
            ok=UploadedBody,
        ),
    )
    def upload(query: UploadQuery, raw: Upload) -> Any:
        """Keep a scenario, or replace the one of its name.

        The body is its source, or a zip or tar archive (plain or with gzip) that holds `NAME.py`
        and what it imports. It is loaded before it is kept, which runs code: this needs the role
        admin.
        """
        return service.uploads.take(query.name, stream_of(raw, UPLOAD_TYPES))

    @app.put(
        "/scenarios/files",
        tags=[_TAG],
        responses=responses(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.INSUFFICIENT_STORAGE,
            ok=FilesBody,
        ),
    )
    def send_files(raw: Files) -> Any:
        """Keep a scenario with its files for runs, and not as a scenario of the server.

        The body is a zip or tar archive (plain or with gzip). What it holds as `shop.py` is then
        the scenario `FILES/shop` for `start`, `plan` and `info`, where FILES is in the answer. No
        list shows it. It is kept for as long as a run that was made from it, and for an hour. This
        needs the role admin.
        """
        return {"files": service.uploads.take_files(stream_of(raw, ARCHIVE_TYPES))}

    @app.post(
        "/scenarios",
        tags=[_TAG],
        responses=responses(
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.INSUFFICIENT_STORAGE,
            ok=UploadedBody,
        ),
    )
    def upload_source(body: SourceBody) -> Any:
        """Keep a scenario that is sent as text (an older spelling)."""
        return service.uploads.take(body.scenario, BytesIO(body.module_source.encode()))

    @app.get(
        "/scenarios/<scenario:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioStateBody),
    )
    def scenario_state(path: ScenarioPath) -> Any:
        """Whether a scenario is running (an older spelling)."""
        file = service.scenarios.find(path.name)
        runs = [one.id for one, answer in statuses(service) if answer["scenario"] == str(file)]
        return {"name": path.name, "state": "running" if runs else "loaded", "runs": runs}

    @app.patch("/scenarios/<scenario:name>", tags=[_TAG], responses=of_run(ok=StartedBody))
    def start_scenario(path: ScenarioPath, body: UsersBody) -> Any:
        """Start a scenario with so many users (an older spelling)."""
        return started(service.runs.start(StartBody(scenario=path.name, users=body.users)))
