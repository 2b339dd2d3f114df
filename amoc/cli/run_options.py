"""The options that ``amoc run`` and ``amoc plan`` share, and the `RunPlan` made of them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import click

from amoc.base.errors import UsageError
from amoc.cli import threshold_options
from amoc.cli.param_types import MAX_ID, Duration, Profile, UserIds, Whole
from amoc.scenario import settings_sources
from amoc.scenario.load_profile import Stages, parse_profile
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.settings import Source

SCENARIO = click.argument("scenario", metavar="SCENARIO")
SET = click.option(
    "--set", "pairs", metavar="NAME=VALUE", multiple=True, help="Set a setting (repeatable)."
)
CONFIG = click.option(
    "--config",
    metavar="FILE",
    help="Read settings from this TOML file.  [default: amoc.toml, if it exists]",
)
SEED = click.option(
    "--seed",
    type=Whole(0, 2**63 - 1),
    help="Seed of all random decisions.  [default: chosen and shown]",
)
RUN_DIRECTORY = click.option(
    "--run-dir",
    "new_directory",
    metavar="DIR",
    help="Directory for the run's report, data and logs.  [default: a new one in amoc-runs]",
)
LOG_LEVEL = click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="Lowest level to log in the run's directory.",
)
JSON_FILE = click.option(
    "--json", "json_file", metavar="FILE", help="Write the summary to this file as JSON."
)
_OPTIONS = (
    SCENARIO,
    click.option(
        "--users", type=Whole(1, MAX_ID), help="Number of users; ids start at 1.  [default: 1]"
    ),
    click.option("--user-ids", type=UserIds(), help="Ids of the users, instead of --users."),
    click.option(
        "--stages",
        type=Profile(),
        help="Number of users over time: 30s:100,2m:1000,30s:0. --users is then the number at the"
        " start, 0 by default.",
    ),
    click.option(
        "--throttle",
        "throttles",
        metavar="NAME=RATE",
        multiple=True,
        help="Rate of a throttle, instead of the scenario's (repeatable): 600/min, or stages such"
        " as 30s:10/s,2m:100/s.",
    ),
    click.option(
        "--duration",
        type=Duration(),
        help="Stop gracefully after this time: 30s, 5m.  [default: never]",
    ),
    click.option(
        "--workers",
        type=Whole(1, 512),
        help="Number of worker processes.  [default: one per CPU core]",
    ),
    SET,
    CONFIG,
    SEED,
    click.option("--comment", default="", help="A comment to keep with the run."),
    RUN_DIRECTORY,
    click.option(
        "--init-timeout",
        type=Duration(),
        default=30.0,
        help="Timeout for importing the scenario and for init().  [default: 30s]",
    ),
    click.option(
        "--stop-timeout",
        type=Duration(zero=True),
        default=10.0,
        help="Time for users to finish at the end; users still running after it are stopped"
        " forcibly.  [default: 10s]",
    ),
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a run; `plan` takes their values."""
    function = LOG_LEVEL(threshold_options.options(function))
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def plan(
    *,
    scenario: str,
    users: int | None,
    user_ids: range | None,
    stages: Stages | None,
    throttles: Sequence[str],
    duration: float | None,
    workers: int | None,
    pairs: Sequence[str],
    config: str | None,
    seed: int | None,
    comment: str,
    new_directory: str | None,
    init_timeout: float,
    stop_timeout: float,
    log_level: str,
    **judged: Any,
) -> RunPlan:
    """The plan that the options describe.

    Raises:
        AmocError: They contradict each other, or a source of settings cannot be read.
    """
    if users is not None and user_ids is not None:
        raise UsageError("--users and --user-ids are mutually exclusive; give one of them")
    ids = user_ids
    if ids is None:
        count = users if users is not None else 1 if stages is None else 0
        ids = range(1, count + 1)
    if stages is not None:
        stages = Stages(stages.stages, Fraction(len(ids)))
        duration = min(stages.total_s, duration if duration is not None else stages.total_s)
    own = {} if workers is None else {"workers": workers}
    return RunPlan(
        scenario=scenario,
        users=ids,
        duration_s=duration,
        sources=(
            Source("--workers", own, strict=True),
            *settings_sources.gather(pairs, os.environ, config),
        ),
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
        comment=comment,
        init_timeout_s=init_timeout,
        stop_timeout_s=stop_timeout,
        stages=stages,
        rates=rates(throttles),
        run_directory=new_directory,
        log_level=log_level,
        **threshold_options.fields(duration_s=duration, **judged),
    )


def rates(throttles: Sequence[str]) -> dict[str, str]:
    """The text of each throttle's rate, by the throttle's name.

    Raises:
        UsageError: One is not NAME=RATE, or names a throttle twice.
    """
    found: dict[str, str] = {}
    for one in throttles:
        name, equals, text = one.partition("=")
        name, text = name.strip(), text.strip()
        if not equals or not name:
            raise UsageError(f"--throttle must be NAME=RATE, got {one!r}")
        if name in found:
            raise UsageError(f"--throttle must name each throttle once, got {name!r} twice")
        try:
            parse_profile(text, 60.0)
        except ValueError as error:
            raise UsageError(f"--throttle {name}: {error}") from None
        found[name] = text
    return found
