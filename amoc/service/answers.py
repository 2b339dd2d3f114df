"""Responses of the REST API, and their bodies. The OpenAPI document is generated from them."""

from __future__ import annotations

from http import HTTPStatus

from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from amoc.service.problems import MIME, ProblemBody


class Open(BaseModel):
    """A response body that may get more fields in later versions."""

    model_config = ConfigDict(extra="allow")


def linked(**links: JsonValue) -> ConfigDict:
    """Return the configuration of a body with OpenAPI links to other operations, by name."""
    made = ConfigDict(extra="allow")
    made["openapi_extra"] = {"links": links}  # type: ignore[typeddict-unknown-key]  # flask-openapi3's
    return made


def _of_run(operation: str, where: str, **body: JsonValue) -> JsonValue:
    """Return a link to an operation on the run whose id is at `where` in the response body."""
    name = f"$response.body#{where}"
    if body:
        return {"operationId": operation, "requestBody": {**body, "run": name}}
    return {"operationId": operation, "parameters": {"id": name}}


_RUN_LINKS = ("get_run", "run_status", "run_users", "get_series", "get_log", "get_summary")


class RunBody(Open):
    """A run in a list."""

    id: str
    scenario: str
    started_at: str = Field(description="ISO 8601; empty while the run is queued")
    state: str = Field(
        description="queued, starting, running, over, or failed before a user could start"
    )
    verdict: str = Field(description="As in the summary; or running, or killed without a summary")
    comment: str
    duration_s: float | None = None
    users: int | None = Field(None, description="Maximum number of concurrent users")
    requests: int | None = None
    failures: int | None = None
    p95_s: float | None = Field(None, description="95th percentile of successful requests")
    error: str = Field("", description="Why the run failed to start")


class RunsBody(Open):
    """Runs, newest first."""

    model_config = linked(newest=_of_run("get_run", "/runs/0/id"))

    runs: list[RunBody]


class RunStatusBody(Open):
    """The status of a running run, as reported by the run itself."""

    run: str
    state: str
    scenario: str
    elapsed_s: float
    users: dict[str, int] = Field(description="Counts by state")


class StatusBody(Open):
    """The server and its runs."""

    amoc: str = Field(description="Always up")
    version: str
    state: str = Field(description="idle, or the state of the newest running run")
    runs: list[RunStatusBody]
    queued: list[str] = Field(description="Queued runs")
    parallel: int = Field(description="Maximum number of runs at the same time")
    uploads: bool = Field(description="Whether scenarios may be uploaded")
    role: str = Field(description="The role of this client: read, run or admin")


class NodesBody(Open):
    """The nodes of the runs."""

    nodes: dict[str, str] = Field(description="up; or late, after a second without a report")


class NodeRunBody(Open):
    """A run's share of a node."""

    run: str
    users: int


class NodeBody(Open):
    """A node."""

    node: str
    state: str
    runs: list[NodeRunBody]


class ScenariosBody(Open):
    """Names of scenarios."""

    scenarios: list[str]


class SettingBody(Open):
    """A setting that a scenario declares."""

    name: str
    description: str
    module: str
    own: bool = Field(description="Whether the scenario declares it, not amoc")
    type: JsonValue = Field(description="A JSON schema")
    choices: list[JsonValue] | None = Field(
        description="The allowed values; null if there is no list"
    )
    required: bool
    default: JsonValue
    secret: bool
    update: str = Field(description="read-only, free or function")


class DependencyBody(Open):
    """A dependency of a scenario, with its version."""

    name: str
    version: str
    state: str = Field(
        description="amoc: part of amoc's own environment; installed; or missing: not installed yet"
    )


class ScenarioBody(Open):
    """The description of a scenario."""

    name: str
    doc: str
    settings: list[SettingBody]
    thresholds: list[str]
    dependencies: list[DependencyBody]
    problem: str = Field(description="Why it cannot be loaded without its missing dependencies")


class ScenarioStateBody(Open):
    """A scenario, and its running runs."""

    name: str
    state: str = Field(description="loaded or running")
    runs: list[str]


class UploadedBody(ScenarioBody):
    """An uploaded scenario."""

    model_config = linked(
        info={"operationId": "scenario_info", "parameters": {"name": "$response.body#/name"}},
        start={
            "operationId": "start",
            "requestBody": {"scenario": "$response.body#/name", "users": 1},
        },
    )

    replaced: bool = Field(description="Whether it replaced a scenario of the same name")


class FilesBody(Open):
    """Files that were uploaded for runs."""

    files: str = Field(description="Prefix of the names of the scenarios in it: FILES/shop")


class StartedBody(Open):
    """A run that was started or queued."""

    model_config = linked(
        **{name: _of_run(name, "/run") for name in (*_RUN_LINKS, "delete_run")},
        note=_of_run("execution_note", "/run", comment="by a link"),
        add=_of_run("execution_add", "/run", count=1),
        pause=_of_run("execution_pause", "/run", comment=""),
        resume=_of_run("execution_resume", "/run", comment=""),
        stop=_of_run("execution_stop", "/run", comment=""),
    )

    run: str
    state: str
    notes: list[str] = Field(description="Messages of amoc so far, such as warnings")


class PreviewBody(Open):
    """A preview of a run, as printed by `amoc plan --json`."""

    scenario: str
    settings: list[JsonValue]
    users: JsonValue
    end: JsonValue
    open: list[str] = Field(description="What cannot be known before the run")


class CommandAnswer(Open):
    """A run's answer to a command."""

    run: str
    summary: str
    workers: list[JsonValue]


class SeriesBody(Open):
    """Seconds of a run."""

    run: str
    seconds: list[JsonValue] = Field(description="Numbered; else as in amoc export --jsonl")
    last: int = Field(description="Number of the last second here; continue with after=last")
    total: int = Field(description="Number of seconds so far")


class LogBody(Open):
    """The newest lines of a run's logs."""

    run: str
    lines: list[JsonValue]


class SummaryBody(Open):
    """A summary, see docs/summary.md."""

    run: JsonValue


class ComparisonBody(Open):
    """Two runs compared, see docs/compare.md."""


_ALWAYS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_ALWAYS_LATER = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def responses(*problems: HTTPStatus, **kinds: type[BaseModel]) -> ResponseDict:
    """Return the responses of a route.

    Args:
        problems: Additional statuses of problems, besides those that all routes share.
        kinds: Types of successful responses, by status: ``ok=…``, ``accepted=…``.
    """
    made: ResponseDict = {str(int(HTTPStatus[name.upper()])): kind for name, kind in kinds.items()}
    for status in (*_ALWAYS, *problems, *_ALWAYS_LATER):
        schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
        made[str(int(status))] = {
            "description": status.phrase,
            "content": {MIME: {"schema": schema}},
        }
    return made


def of_run(**kinds: type[BaseModel]) -> ResponseDict:
    """Return the responses of a route for a run, which may not exist or be in another state."""
    return responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, **kinds)


PAGE: ResponseDict = {
    "200": {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
}
NOTHING: ResponseDict = {"204": None}
FILE: ResponseDict = {
    "200": {
        "description": "A file",
        "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
    }
}
