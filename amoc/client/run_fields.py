"""Options of a run for a server, converted to fields of a REST body. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from amoc.client import options
from amoc.client.options import Duration, Stages, UserIds, Value


class InstallOptions(TypedDict, total=False):
    """How to install the dependencies of a scenario.

    Attributes:
        install: Whether to install missing dependencies.
        locked: Refuse dependencies that are not locked with their hashes.
        install_timeout: Timeout for installing them.
    """

    install: bool
    locked: bool
    install_timeout: Duration | None


class RunOptions(InstallOptions, total=False):
    """The options of `amoc.run` that a server supports. None means not given.

    Attributes:
        users: Number of users; ids start at 1.
        user_ids: Ids of the users instead.
        spawn_rate: Users to start per second.
        stages: Number of users over time.
        arrival_rate: Start iterations at this rate, instead of running a number of users.
        max_users: Maximum number of concurrent users with an arrival rate.
        duration: Stop gracefully after this time.
        set: Values of settings.
        allow_undeclared: Accept settings that the scenario does not declare.
        expect: Thresholds.
        throttles: Rates by throttle.
        workers: Number of worker processes.
        cluster: Nodes on the server's own host: ``local:3``.
        nodes: Use only the first N nodes.
        on_nodes: Run users on these nodes only.
        placement: Distribution of users over nodes.
        on_node_loss: What to do when a node is lost.
        host: Base URL of the target; sets `host`.
        tags: Run only tasks of a locustfile that have one of these tags.
        exclude_tags: Skip tasks that have one of these tags.
        real_locust: Run a locustfile with Locust's own classes.
        seed: Seed of all random decisions.
        comment: Comment to store with the run.
        warmup: Initial period to exclude from thresholds and statistics.
        abort_on_fail: Abort when a threshold is violated, or has been for this long.
        init_timeout: Timeout for loading the scenario and for init().
        stop_timeout: Grace period for users to finish at the end.
        limited_ok: Do not fail the run because the load generator was too slow.
        failures_ok: Do not fail a run in which nothing succeeded.
        log_level: Lowest level to write to the logs in the run's directory.
    """

    users: int | None
    user_ids: UserIds | None
    spawn_rate: float | None
    stages: Stages | None
    arrival_rate: str | None
    max_users: int | None
    duration: Duration | None
    set: Mapping[str, Value] | None
    allow_undeclared: bool
    expect: str | Sequence[str]
    throttles: Mapping[str, str] | None
    workers: int | None
    cluster: str | None
    nodes: int | None
    on_nodes: str | Sequence[str]
    placement: str | None
    on_node_loss: Literal["restart", "continue", "fail"] | None
    host: str | None
    tags: str | Sequence[str]
    exclude_tags: str | Sequence[str]
    real_locust: bool
    seed: int | None
    comment: str
    warmup: Duration | None
    abort_on_fail: bool | Duration
    init_timeout: Duration | None
    stop_timeout: Duration | None
    limited_ok: bool
    failures_ok: bool
    log_level: Literal["debug", "info", "warning", "error"] | None


def fields(given: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a body for the options in `given`, except empty ones.

    Raises:
        TypeError: An option has the wrong type.
    """
    made = options.written(given)
    return {name: one for name, one in made.items() if one is not False and one not in ("", [], {})}
