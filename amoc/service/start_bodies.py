"""What a client asks for that wants a run, as types that the API's document is made from. Pure.

A field that is an option of ``amoc run`` names it, so it is declared once for the API, for the
process that runs it, and for ``amoc run --server``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field, JsonValue

from amoc.control.commands import MAX_COMMENT, MAX_COUNT, MAX_NODES, MAX_VALUES
from amoc.service.requests import LOCAL_NODES, ONE_LINE, Exact, Line, RunId, Scenarios, Users, Whole

_Lines = Annotated[list[Line], Field(max_length=100)]


def option(flag: str, description: str, default: Any = None, **limits: Any) -> Any:
    """A field that is the option `flag` of an ``amoc`` command."""
    return Field(default, description=description, json_schema_extra={"x-option": flag}, **limits)


class Options(Exact):
    """What is given to an ``amoc`` command that is carried out on the server.

    Attributes:
        verb: The command.
    """

    verb: ClassVar[str]

    settings: dict[str, JsonValue] = Field(
        default={}, description="Settings by name; values are JSON", max_length=MAX_VALUES
    )
    comment: str = option(
        "--comment", "A comment to keep with the run", "", max_length=MAX_COMMENT, pattern=ONE_LINE
    )

    @classmethod
    def flags(cls) -> dict[str, str]:
        """The name of the field by the option that it stands for."""
        return {
            str(one.json_schema_extra["x-option"]): name
            for name, one in cls.model_fields.items()
            if isinstance(one.json_schema_extra, dict)
        }

    def arguments(self) -> list[str]:
        """The options that say the same on the command line; settings go another way."""
        made: list[str] = []
        for flag, name in self.flags().items():
            made += _options(flag, getattr(self, name))
        return made


class PlanBody(Options):
    """A run: the options of `amoc run`, by the same names."""

    verb: ClassVar[str] = "run"

    scenario: Scenarios
    users: Users | None = option("--users", "Number of users; ids start at 1 (default: 1)")
    user_ids: Line | None = option("--user-ids", "Ids of the users, as A-B, instead of users")
    spawn_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = option(
        "--spawn-rate", "Users to start per second; sets user_rate, which is per minute"
    )
    duration: Line | None = option("--duration", "How long: 30s, 5m; default: until all users left")
    stages: Line | None = option("--stages", "Users over time, such as 30s:100,2m:1000,30s:0")
    arrival_rate: Line | None = option(
        "--arrival-rate", "Iterations to start, such as 200/s, however slow the target is"
    )
    max_users: Annotated[int, Whole(1, MAX_COUNT)] | None = option(
        "--max-users", "Maximum number of users with arrival_rate"
    )
    throttles: dict[Line, Line] = option(
        "--throttle", "Rates by throttle, instead of the scenario's", {}, max_length=100
    )
    workers: Annotated[int, Whole(1, 512)] | None = option(
        "--workers", "Number of worker processes"
    )
    # Who may start runs may not start programs elsewhere: that is for the server's operator to say.
    cluster: Annotated[str, Field(pattern=LOCAL_NODES)] | None = option(
        "--cluster",
        "Nodes to run on, all on the server's host: local:3 (default: the server's --cluster)",
    )
    nodes: Annotated[int, Whole(1, MAX_NODES)] | None = option(
        "--nodes", "Use only so many of the nodes, the first ones"
    )
    placement: Line | None = option(
        "--placement",
        "Distribution of users over nodes: round-robin (default), blocks, weighted, or one that is"
        " installed on the server",
    )
    on_nodes: _Lines = option("--on-nodes", "The only nodes that get users (default: all)", [])
    on_node_loss: Literal["restart", "continue", "fail"] | None = option(
        "--on-node-loss", "What happens when a node is lost (default: restart its users)"
    )
    host: Line | None = option("--host", "Base URL under load: the setting host")
    tags: _Lines = option("--tags", "Run only tasks of a locustfile that have one of these", [])
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
    abort_on_fail: Line | None = option("--abort-on-fail", "Abort after a violation of this long")
    warmup: Line | None = option("--warmup", "Exclude this initial period from thresholds")
    limited_ok: bool = option("--limited-ok", "Do not fail the run for a slow generator", False)
    failures_ok: bool = option("--failures-ok", "Accept a run in which nothing succeeded", False)
    log_level: Literal["debug", "info", "warning", "error"] | None = option(
        "--log-level", "Lowest level to log in the run's directory (default: info)"
    )
    no_install: bool = option("--no-install", "Install no dependencies of the scenario", False)
    locked: bool = option("--locked", "Refuse dependencies that are not locked", False)
    install_timeout: Line | None = option("--install-timeout", "Timeout for installing them")


class Waiting(Exact):
    """When a run may start."""

    queue: bool = Field(
        default=False, description="Wait until earlier runs are over, instead of being refused"
    )
    at: AwareDatetime | None = Field(
        default=None, description="When to start, with its time zone; the run is queued until then"
    )


class StartBody(PlanBody, Waiting):
    """A run to start: the options of `amoc run`, by the same names."""


class RepeatBody(Options):
    """A run to repeat: the options of `amoc replay`, by the same names."""

    verb: ClassVar[str] = "replay"

    run: RunId
    no_install: bool = option("--no-install", "Install no dependencies of the scenario", False)
    locked: bool = option("--locked", "Refuse dependencies that are not locked", False)
    install_timeout: Line | None = option("--install-timeout", "Timeout for installing them")


class ReplayBody(RepeatBody, Waiting):
    """A run to repeat: the options of `amoc replay`, by the same names."""


def _options(flag: str, value: object) -> list[str]:
    """How an option is given on the command line; nothing where it is as if not given."""
    if value is None or value is False or value == "":
        return []
    if value is True:
        return [flag]
    if isinstance(value, dict):
        return [f"{flag}={key}={text}" for key, text in value.items()]
    if isinstance(value, list):
        return [f"{flag}={text}" for text in value]
    return [f"{flag}={value}"]
