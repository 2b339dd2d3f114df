"""Request bodies that start runs. The OpenAPI document is generated from them. Pure.

A field that is an option of ``amoc run`` refers to it. So it is declared once for the API, for the
process of the run, and for ``amoc run --server``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field, JsonValue

from amoc.control.commands import MAX_COMMENT, MAX_COUNT, MAX_NODES, MAX_VALUES
from amoc.service.requests import LOCAL_NODES, ONE_LINE, Exact, Line, RunId, Scenarios, Users, Whole

_Lines = Annotated[list[Line], Field(max_length=100)]


def option(
    flag: str, description: str, default: object = None, **limits: Any
) -> Any:  # like pydantic's Field
    """Return a field that stands for the option `flag` of an ``amoc`` command."""
    return Field(default, description=description, json_schema_extra={"x-option": flag}, **limits)


class Options(Exact):
    """Options of an ``amoc`` command that is run on the server.

    Attributes:
        verb: The command.
    """

    verb: ClassVar[str]

    settings: dict[str, JsonValue] = Field(
        default={}, description="Settings by name; values are JSON", max_length=MAX_VALUES
    )
    comment: str = option(
        "--comment", "Comment to store with the run", "", max_length=MAX_COMMENT, pattern=ONE_LINE
    )

    @classmethod
    def flags(cls) -> dict[str, str]:
        """Return the names of the fields by their options."""
        return {
            str(one.json_schema_extra["x-option"]): name
            for name, one in cls.model_fields.items()
            if isinstance(one.json_schema_extra, dict)
        }

    def arguments(self) -> list[str]:
        """Return the equivalent command-line options. Settings are passed separately."""
        flags = self.flags().items()
        return [text for flag, name in flags for text in _options(flag, getattr(self, name))]


class PlanBody(Options):
    """A run: the options of `amoc run`, by the same names."""

    verb: ClassVar[str] = "run"

    scenario: Scenarios
    users: Users | None = option("--users", "Number of users; ids start at 1 (default: 1)")
    user_ids: Line | None = option("--user-ids", "Ids of the users, as A-B, instead of users")
    spawn_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = option(
        "--spawn-rate", "Users to start per second; sets user_rate, which is per minute"
    )
    duration: Line | None = option("--duration", "30s, 5m; default: until all users have finished")
    stages: Line | None = option("--stages", "Users over time, such as 30s:100,2m:1000,30s:0")
    arrival_rate: Line | None = option(
        "--arrival-rate", "Iterations to start, such as 200/s, however slow the target is"
    )
    max_users: Annotated[int, Whole(1, MAX_COUNT)] | None = option(
        "--max-users", "Maximum number of users with arrival_rate"
    )
    throttles: dict[Line, Line] = option(
        "--throttle", "Rates by throttle, overriding the scenario's", {}, max_length=100
    )
    workers: Annotated[int, Whole(1, 512)] | None = option(
        "--workers", "Number of worker processes"
    )
    # Clients that may start runs may not start programs on other hosts; the operator may.
    cluster: Annotated[str, Field(pattern=LOCAL_NODES)] | None = option(
        "--cluster",
        "Nodes to run on, all on the server's host: local:3 (default: the server's --cluster)",
    )
    nodes: Annotated[int, Whole(1, MAX_NODES)] | None = option(
        "--nodes", "Use only the first N nodes"
    )
    placement: Line | None = option(
        "--placement",
        "Distribution of users over nodes: round-robin (default), blocks, weighted, or a strategy"
        " installed on the server",
    )
    on_nodes: _Lines = option("--on-nodes", "Run users on these nodes only (default: all)", [])
    on_node_loss: Literal["restart", "continue", "fail"] | None = option(
        "--on-node-loss", "What to do when a node is lost (default: restart its users)"
    )
    host: Line | None = option("--host", "Base URL of the target; sets host")
    tags: _Lines = option("--tags", "Run only tasks that have one of these tags", [])
    exclude_tags: _Lines = option("--exclude-tags", "Skip tasks that have one of these tags", [])
    real_locust: bool = option("--real-locust", "Run a locustfile with Locust's own classes", False)
    allow_undeclared: bool = option(
        "--allow-undeclared", "Accept settings that the scenario does not declare", False
    )
    seed: Annotated[int, Whole(0, 2**63 - 1)] | None = option(
        "--seed", "Seed of all random decisions"
    )
    init_timeout: Line | None = option("--init-timeout", "Timeout for init(), such as 30s")
    stop_timeout: Line | None = option("--stop-timeout", "Grace period at the end, such as 10s")
    expect: _Lines = option("--expect", "Thresholds", [])
    abort_on_fail: Line | None = option("--abort-on-fail", "Abort after a violation of this length")
    warmup: Line | None = option("--warmup", "Initial period to exclude from thresholds")
    limited_ok: bool = option("--limited-ok", "Do not fail the run for a slow generator", False)
    failures_ok: bool = option("--failures-ok", "Do not fail if nothing succeeded", False)
    log_level: Literal["debug", "info", "warning", "error"] | None = option(
        "--log-level", "Lowest level to log in the run's directory (default: info)"
    )
    no_install: bool = option("--no-install", "Do not install dependencies of the scenario", False)
    locked: bool = option("--locked", "Refuse dependencies that are not locked", False)
    install_timeout: Line | None = option("--install-timeout", "Timeout of the installation")


class Waiting(Exact):
    """When a run may start."""

    queue: bool = Field(
        default=False, description="Wait until earlier runs have ended, instead of being refused"
    )
    at: AwareDatetime | None = Field(
        default=None, description="Start time, with time zone; the run is queued until then"
    )


class StartBody(PlanBody, Waiting):
    """A run to start: the options of `amoc run`, by the same names."""


class RepeatBody(Options):
    """A run to repeat: the options of `amoc replay`, by the same names."""

    verb: ClassVar[str] = "replay"

    run: RunId
    no_install: bool = option("--no-install", "Do not install dependencies of the scenario", False)
    locked: bool = option("--locked", "Refuse dependencies that are not locked", False)
    install_timeout: Line | None = option("--install-timeout", "Timeout of the installation")


class ReplayBody(RepeatBody, Waiting):
    """A run to repeat: the options of `amoc replay`, by the same names."""


def _options(flag: str, value: object) -> list[str]:
    """Return an option as command-line arguments; none if the value is the same as not given."""
    if value is None or value is False or value == "":
        return []
    if value is True:
        return [flag]
    if isinstance(value, dict):
        return [f"{flag}={key}={text}" for key, text in value.items()]
    if isinstance(value, list):
        return [f"{flag}={text}" for text in value]
    return [f"{flag}={value}"]
