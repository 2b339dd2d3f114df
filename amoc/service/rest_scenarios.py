"""REST: scenarios, including the older routes for them."""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import IO

from flask_openapi3 import OpenAPI, RawModel, Tag
from pydantic import BaseModel, Field
from werkzeug.routing import BaseConverter

from amoc.base.json_plain import JsonObject
from amoc.install.choice import LOCKED, NO_INSTALL
from amoc.service.answers import (
    FilesBody,
    ScenarioBody,
    ScenariosBody,
    ScenarioStateBody,
    StartedBody,
    UploadedBody,
    of_run,
    responses,
)
from amoc.service.intake import MAX_SOURCE_BYTES
from amoc.service.problems import Problem
from amoc.service.requests import Exact, ScenarioName, UploadName, Users
from amoc.service.rest_execution import started
from amoc.service.rest_status import answers
from amoc.service.service import Service
from amoc.service.start_bodies import StartBody

ARCHIVE_TYPES = [
    *("application/zip", "application/gzip", "application/x-tar", "application/octet-stream")
]
UPLOAD_TYPES = ["text/x-python", "text/plain", *ARCHIVE_TYPES]
_TAG = Tag(name="scenarios", description="Scenarios that can be run")
_OF_UPLOADS = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)


class ScenarioPath(BaseModel):
    """The scenario."""

    name: ScenarioName


class InfoQuery(BaseModel):
    """How to treat the scenario's dependencies."""

    install: bool = Field(
        True, description="Whether to install missing dependencies; if not, they are only listed"
    )
    locked: bool = Field(False, description="Whether to refuse dependencies without lock or hashes")


class UploadQuery(BaseModel):
    """The name of the uploaded scenario."""

    name: UploadName


class Upload(RawModel):
    """The source of a scenario, or an archive with it and its helper modules."""

    mimetypes: list[str] = UPLOAD_TYPES


class Files(RawModel):
    """An archive with a scenario and all the files that it needs."""

    mimetypes: list[str] = ARCHIVE_TYPES


class SourceBody(Exact):
    """A scenario as text (older route)."""

    scenario: UploadName
    module_source: str = Field(min_length=1, max_length=MAX_SOURCE_BYTES)


class UsersBody(Exact):
    """The number of users."""

    users: Users


class ScenarioConverter(BaseConverter):
    """Matches a scenario's name in a path, but not the other routes below ``/scenarios``."""

    regex = "(?!(?:upload|files|info)$)[^/]+"


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""
    app.url_map.converters["scenario"] = ScenarioConverter

    def stream_of(raw: RawModel, types: list[str]) -> IO[bytes]:
        """Return the body of an upload as a stream with a size limit.

        Raises:
            Problem: Its media type is not one of `types`.
        """
        if raw.mimetype not in ("", *types):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the body must be of one of the types {', '.join(types)}",
            )
        raw.max_content_length = service.config.max_upload
        return raw.stream

    @app.get("/scenarios", tags=[_TAG], responses=responses(ok=ScenariosBody))
    def scenarios() -> JsonObject:
        """List the names of all scenarios."""
        return {"scenarios": service.scenarios.names()}

    @app.get(
        "/scenarios/info/<path:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioBody),
    )
    def scenario_info(path: ScenarioPath, query: InfoQuery) -> JsonObject:
        """Describe a scenario: its docstring, settings, thresholds and dependencies.

        A separate process imports the scenario for this.
        """
        asked = [NO_INSTALL] if not query.install else []
        asked += [LOCKED] if query.locked else []
        return service.scenarios.describe(path.name, *asked)

    @app.put(
        "/scenarios/upload",
        tags=[_TAG],
        responses=responses(HTTPStatus.CONFLICT, *_OF_UPLOADS, ok=UploadedBody),
    )
    def upload(query: UploadQuery, raw: Upload) -> JsonObject:
        """Upload a scenario, or replace an uploaded one.

        The body is its source, or a zip or tar archive (optionally with gzip) with `NAME.py` and
        the modules that it imports. The scenario is loaded before it is stored, which executes its
        code. So this requires the role admin.
        """
        return service.uploads.take(query.name, stream_of(raw, UPLOAD_TYPES))

    @app.put("/scenarios/files", tags=[_TAG], responses=responses(*_OF_UPLOADS, ok=FilesBody))
    def send_files(raw: Files) -> JsonObject:
        """Upload the files of a scenario for runs, without adding it to the server's scenarios.

        The body is a zip or tar archive (optionally with gzip). If it contains `shop.py`, that is
        the scenario `FILES/shop` for `start`, `plan` and `info`, with FILES from the response. It
        is not listed. The files are kept for an hour, and as long as a run that uses them. This
        requires the role admin.
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
    def upload_source(body: SourceBody) -> JsonObject:
        """Upload a scenario as text (older route)."""
        return service.uploads.take(body.scenario, BytesIO(body.module_source.encode()))

    @app.get(
        "/scenarios/<scenario:name>",
        tags=[_TAG],
        responses=responses(HTTPStatus.NOT_FOUND, ok=ScenarioStateBody),
    )
    def scenario_state(path: ScenarioPath) -> JsonObject:
        """Get the state of a scenario (older route)."""
        file = service.scenarios.find(path.name)
        runs = [
            one.id for one, answer in answers(service, "status") if answer["scenario"] == str(file)
        ]
        return {"name": path.name, "state": "running" if runs else "loaded", "runs": runs}

    @app.patch("/scenarios/<scenario:name>", tags=[_TAG], responses=of_run(ok=StartedBody))
    def start_scenario(path: ScenarioPath, body: UsersBody) -> tuple[JsonObject, HTTPStatus]:
        """Start a scenario with a number of users (older route)."""
        start = StartBody(scenario=path.name, users=body.users)
        return started(service.runs.queue.start(start, path.name))
