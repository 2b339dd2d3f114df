"""What the API answers, as types that its document is made from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Open(BaseModel):
    """An answer that may get further fields in later versions."""

    model_config = ConfigDict(extra="allow")


def linked(**links: JsonValue) -> ConfigDict:
    """The configuration of an answer that leads to other operations: links of OpenAPI, by name."""
    made = ConfigDict(extra="allow")
    made["openapi_extra"] = {"links": links}  # type: ignore[typeddict-unknown-key]  # flask-openapi3's
    return made


def _of_run(operation: str, where: str, **body: JsonValue) -> JsonValue:
    """A link to an operation for the run whose name is at `where` in the answer."""
    name = f"$response.body#{where}"
    if body:
        return {"operationId": operation, "requestBody": {**body, "run": name}}
    return {"operationId": operation, "parameters": {"id": name}}


_RUN_LINKS = ("get_run", "run_status", "run_users", "get_series", "get_log", "get_summary")


class RunBody(Open):
    """A run as it is listed."""

    id: str
    scenario: str
    started_at: str = Field(description="ISO 8601; empty while it waits")
    state: str = Field(
        description="queued, starting, running, over, or failed before a user could start"
    )
    verdict: str = Field(description="As in its summary; running, or killed without a summary")
    comment: str
    duration_s: float | None = None
    users: int | None = Field(None, description="The most that there were at once")
    requests: int | None = None
    failures: int | None = None
    p95_s: float | None = Field(None, description="Of the times of requests that succeeded")
    error: str = Field("", description="Why it could not begin")


class RunsBody(Open):
    """Runs, the newest first."""

    model_config = linked(newest=_of_run("get_run", "/runs/0/id"))

    runs: list[RunBody]


class RunStatusBody(Open):
    """A run that is running, as it answers itself."""

    run: str
    state: str
    scenario: str
    elapsed_s: float
    users: dict[str, int] = Field(description="Counts by state")


class StatusBody(Open):
    """The server and its runs."""

    amoc: str = Field(description="Always up")
    version: str
    state: str = Field(description="idle, or the state of the newest run that runs")
    runs: list[RunStatusBody]
    queued: list[str] = Field(description="Runs that wait for their turn")
    parallel: int = Field(description="How many runs may run side by side")
    uploads: bool = Field(description="Whether scenarios may be uploaded")
    role: str = Field(description="What this client may do: read, run or admin")


class NodesBody(Open):
    """The nodes of the runs."""

    nodes: dict[str, str] = Field(description="up, or late when nothing came for a second")


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
    own: bool = Field(description="Whether the scenario declares it, and not amoc")
    type: JsonValue = Field(description="A JSON schema")
    choices: list[Any] | None = Field(description="The values allowed; null where any may be")
    required: bool
    default: JsonValue
    secret: bool
    update: str = Field(description="read-only, free or function")


class DependencyBody(Open):
    """A version that a scenario gets."""

    name: str
    version: str
    state: str = Field(
        description="amoc, whose own environment has it; installed; or missing: it would be"
    )


class ScenarioBody(Open):
    """What a scenario says of itself."""

    name: str
    doc: str
    settings: list[SettingBody]
    thresholds: list[str]
    dependencies: list[DependencyBody]
    problem: str = Field(description="Why it cannot be loaded without what is missing")


class ScenarioStateBody(Open):
    """A scenario, and the runs of it that are running."""

    name: str
    state: str = Field(description="loaded or running")
    runs: list[str]


class UploadedBody(ScenarioBody):
    """A scenario that was uploaded."""

    model_config = linked(
        info={"operationId": "scenario_info", "parameters": {"name": "$response.body#/name"}},
        start={
            "operationId": "start",
            "requestBody": {"scenario": "$response.body#/name", "users": 1},
        },
    )

    replaced: bool = Field(description="Whether there was one of that name")


class FilesBody(Open):
    """Files that were sent for runs."""

    files: str = Field(description="How the names of the scenarios in it begin: FILES/shop")


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
    notes: list[str] = Field(description="What amoc has told so far, such as a warning")


class PreviewBody(Open):
    """What a run would do, as `amoc plan --json` has it."""

    scenario: str
    settings: list[JsonValue]
    users: JsonValue
    end: JsonValue
    open: list[str] = Field(description="What cannot be known before the run")


class CommandAnswer(Open):
    """What a run answers to a command."""

    run: str
    summary: str
    workers: list[JsonValue]


class SeriesBody(Open):
    """Seconds of a run."""

    run: str
    seconds: list[JsonValue] = Field(description="As amoc export --jsonl has them, numbered")
    last: int = Field(description="The number of the last one here: ask for those after it")
    total: int = Field(description="How many there are so far")


class LogBody(Open):
    """The last lines of a run's logs."""

    run: str
    lines: list[JsonValue]


class SummaryBody(Open):
    """A summary, see docs/summary.md."""

    run: JsonValue


class ComparisonBody(Open):
    """Two runs compared, see docs/compare.md."""
