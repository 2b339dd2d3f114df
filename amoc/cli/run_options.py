"""The options shared by ``amoc run`` and ``amoc plan``, and the `RunPlan` made from them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import click

from amoc.base.errors import UsageError, value_error_as
from amoc.cli import completion, load_options, setting_values
from amoc.cli.cluster_options import CLUSTER, NODES, ON_NODE_LOSS, ON_NODES, PLACEMENT, cluster_of
from amoc.cli.json_option import json_option
from amoc.cli.option_groups import flag, gathered, together
from amoc.cli.param_types import ARRIVALS, MAX_ID, STAGES, USER_IDS, whole
from amoc.cli.param_types import duration as seconds
from amoc.scenario import settings_sources
from amoc.scenario.arrivals import ARRIVAL_RATE, MAX_USERS
from amoc.scenario.load_profile import parse_profile
from amoc.scenario.run_plan import ABORT_GRACE_S, RunPlan
from amoc.scenario.settings import Source
from amoc.users.placement import RULES

SCENARIOS = click.argument(
    "scenarios",
    metavar="SCENARIO | FILE=LOAD…",
    nargs=-1,
    required=True,
    shell_complete=completion.files,
)
SET = setting_values.options
CONFIG = click.option(
    "--config",
    metavar="FILE",
    shell_complete=completion.files,
    help="Read settings from this TOML file.  [default: amoc.toml, if it exists]",
)
UNDECLARED = flag(
    "--allow-undeclared",
    "undeclared",
    help="Accept settings that the scenario does not declare but reads by config.get(name).",
)


def _as_in_locust(
    host: str | None, tags: Sequence[str], exclude_tags: Sequence[str], real_locust: bool
) -> dict[str, tuple[str, object]]:
    return {
        "--host": ("host", host),
        "--real-locust": ("real_locust", real_locust or None),
        "--tags": ("tags", " ".join(tags)),
        "--exclude-tags": ("exclude_tags", " ".join(exclude_tags)),
    }


AS_IN_LOCUST = gathered(
    "by_name",
    _as_in_locust,
    click.option(
        "--host", "-H", metavar="URL", help="Base URL of the target, as in Locust; sets host."
    ),
    click.option(
        "--tags",
        "-T",
        metavar="TAG",
        multiple=True,
        help="Run only those tasks of a locustfile that have this tag (repeatable).",
    ),
    click.option(
        "--exclude-tags",
        "-E",
        metavar="TAG",
        multiple=True,
        help="Skip tasks of a locustfile that have this tag (repeatable).",
    ),
    flag(
        "--real-locust",
        help="Run a locustfile with Locust's own classes and clients, which must be installed.",
    ),
)
"""Options that set settings of their names: a command is called with these, for `by_option`."""
SEED = click.option(
    "--seed",
    type=whole(0, 2**63 - 1),
    help="Seed of all random decisions.  [default: random, and shown]",
)
RUN_DIRECTORY = click.option(
    "--run-dir",
    "new_directory",
    metavar="DIR",
    shell_complete=completion.directories,
    help="Directory for the run's report, data and logs.  [default: a new one in amoc-runs]",
)
LOG_LEVEL = click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="Lowest level to write to the logs in the run's directory.",
)
JSON_FILE = json_option("the summary")
# The argument after --abort-on-fail may be mistaken for its duration.
_HINT = f"; write --abort-on-fail={ABORT_GRACE_S:g}s, or put it last"
options = together(
    SCENARIOS,
    click.option(
        "--users",
        "-u",
        type=whole(0, MAX_ID),
        help="Number of users; ids start at 1.  [default: 1]",
    ),
    click.option(
        "--spawn-rate",
        "-r",
        type=click.FloatRange(min=0, min_open=True),
        help="Users to start per second; sets user_rate, which is per minute.",
    ),
    click.option("--user-ids", type=USER_IDS, help="Ids of the users, instead of --users."),
    click.option(
        "--stages",
        type=STAGES,
        help="Number of users over time: 30s:100,2m:1000,30s:0. --users is then the number at the"
        " start, 0 by default.",
    ),
    click.option(
        "--arrival-rate",
        type=ARRIVALS,
        metavar="RATE",
        help="Start iterations at this rate, however slow the target is, instead of running a"
        " number of users: 200/s, or stages such as 30s:10/s,2m:100/s.",
    ),
    click.option(
        "--max-users",
        type=whole(1, MAX_ID),
        help="Maximum number of users with --arrival-rate; iterations are dropped when no user is"
        f" free.  [default: {MAX_USERS}]",
    ),
    click.option(
        "--throttle",
        "throttles",
        metavar="NAME=RATE",
        multiple=True,
        help="Rate of a throttle, overriding the scenario's (repeatable): 600/min, or stages such"
        " as 30s:10/s,2m:100/s.",
    ),
    click.option(
        "--duration",
        "--run-time",
        "-t",
        "duration",
        type=seconds(),
        help="Stop gracefully after this time, and keep users running until then: 30s, 5m."
        "  [default: until all users have finished]",
    ),
    click.option(
        "--workers",
        type=whole(1, 512),
        help="Number of worker processes.  [default: one per CPU core]",
    ),
    SET,
    AS_IN_LOCUST,
    CONFIG,
    UNDECLARED,
    SEED,
    click.option("--comment", default="", help="Comment to store with the run."),
    RUN_DIRECTORY,
    CLUSTER,
    NODES,
    PLACEMENT,
    ON_NODES,
    ON_NODE_LOSS,
    click.option(
        "--init-timeout",
        "init_timeout_s",
        type=seconds(),
        default=30.0,
        help="Timeout for importing the scenario and for init().  [default: 30s]",
    ),
    click.option(
        "--stop-timeout",
        "stop_timeout_s",
        type=seconds(zero=True),
        default=10.0,
        help="Grace period for users to finish at the end; users still running after it are killed."
        "  [default: 10s]",
    ),
    click.option(
        "--expect",
        "thresholds",
        metavar="EXPR",
        multiple=True,
        help="Threshold, a pass/fail criterion for the run (repeatable):"
        ' "message_ttd.p99 < 200ms", "crashes == 0", "messages_sent.rate > 900/s".',
    ),
    click.option(
        "--abort-on-fail",
        "abort_after_s",
        is_flag=False,
        flag_value=f"{ABORT_GRACE_S:g}s",
        type=seconds(zero=True, hint=_HINT),
        metavar="[DURATION]",
        help="Abort the run when a threshold has been violated for this long, or can no longer be"
        f" met.  [{ABORT_GRACE_S:g}s if no time is given; default: never]",
    ),
    click.option(
        "--warmup",
        "warmup_s",
        type=seconds(zero=True),
        default=0.0,
        help="Exclude this initial period from thresholds and statistics.  [default: 0s]",
    ),
    flag(
        "--limited-ok",
        help="Do not fail the run because the load generator was too slow; only report it.",
    ),
    flag(
        "--failures-ok",
        help="Do not fail a run in which every iteration crashed or no connection succeeded.",
    ),
    LOG_LEVEL,
    setting_values.JSON,
)
"""All options of a run, as a decorator."""


def plan(
    *,
    spawn_rate: float | None,
    throttles: Sequence[str],
    duration: float | None,
    workers: int | None,
    pairs: Sequence[str],
    by_name: Mapping[str, tuple[str, object]],
    config: str | None,
    undeclared: bool,
    seed: int | None,
    new_directory: str | None,
    where: str,
    nodes: int | None,
    placement: str | None,
    on_nodes: tuple[str, ...],
    thresholds: tuple[str, ...],
    warmup_s: float,
    typed: Mapping[str, object],
    **given: Any,  # the other options, as click has parsed them
) -> RunPlan:
    """Return the plan that the options describe.

    Raises:
        AmocError: They contradict each other, or a source of settings cannot be read.
    """
    load = load_options.load_of(**{name: given.pop(name) for name in load_options.NAMES})
    chosen_rates = rates(throttles)
    if load.arrivals is not None and ARRIVAL_RATE in chosen_rates:
        raise UsageError(f"--throttle {ARRIVAL_RATE}=… and --arrival-rate are mutually exclusive")
    for option, chosen in (("--placement", placement), ("--on-nodes", on_nodes)):
        if load.arrivals is not None and chosen:
            raise UsageError(
                f"{option} does not apply to --arrival-rate, which starts users on all nodes"
            )
    if (load_s := load.total_s) is not None:
        duration = min(load_s, duration if duration is not None else load_s)
    _check_criteria(thresholds, warmup_s, duration)
    directly, *others = settings_sources.gather(pairs, os.environ, config, undeclared)
    return RunPlan(
        scenario=load.scenario,
        users=load.users,
        duration_s=duration,
        sources=(
            *by_option(
                {
                    "--workers": ("workers", workers),
                    "--spawn-rate": ("user_rate", spawn_rate and spawn_rate * 60),
                    **by_name,
                },
                strict=not undeclared,
            ),
            directly,
            Source("--set-json", typed, strict=not undeclared),
            *others,
        ),
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
        stages=load.stages,
        arrivals=load.arrivals,
        rates=chosen_rates,
        run_directory=new_directory,
        thresholds=thresholds,
        warmup_s=warmup_s,
        cluster=cluster_of(where, nodes),
        placement=placement or RULES[0],
        on_nodes=on_nodes,
        **given,
    )


def by_option(values: Mapping[str, tuple[str, object]], strict: bool = True) -> list[Source]:
    """Return settings that have their own options. Keys are options; None means not given."""
    return [
        Source(option, {name: value}, strict)
        for option, (name, value) in values.items()
        if value not in (None, "")
    ]


def _check_criteria(expected: Sequence[str], warmup_s: float, duration_s: float | None) -> None:
    """Check thresholds and warm-up.

    Raises:
        UsageError: A threshold is invalid, or the warm-up is as long as the run. There is a line
            for each problem.
    """
    problems = []
    if expected:
        from amoc.results.thresholds import threshold

        try:
            threshold.gather((threshold.COMMAND_LINE, expected))
        except UsageError as error:
            problems.append(str(error))
    if duration_s is not None and warmup_s >= duration_s:
        problems.append(
            f"--warmup must be shorter than the run, got {warmup_s:g} s of {duration_s:g} s"
        )
    if problems:
        raise UsageError("\n".join(problems))


def rates(throttles: Sequence[str]) -> dict[str, str]:
    """Return the text of each throttle's rate, by the name of the throttle.

    Raises:
        UsageError: One is not NAME=RATE, or names a throttle twice.
    """
    found: dict[str, str] = {}
    for one in throttles:
        name, equals, text = one.rpartition("=")
        name, text = name.strip(), text.strip()
        if not equals or not name:
            raise UsageError(f"--throttle must be NAME=RATE, got {one!r}")
        if name in found:
            raise UsageError(f"--throttle must name each throttle once, got {name!r} twice")
        with value_error_as(UsageError, f"--throttle {name}: "):
            parse_profile(text, 60.0)
        found[name] = text
    return found
