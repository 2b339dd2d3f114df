"""``--no-install``, ``--locked``, ``--install-timeout``: how a scenario gets what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amoc.cli.messages import say
from amoc.cli.option_groups import together
from amoc.cli.param_types import duration
from amoc.install.choice import Choice
from amoc.install.declared import declared
from amoc.scenario.run_plan import RunPlan

if TYPE_CHECKING:
    from amoc.install.environment import Preparation

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--no-install",
        is_flag=True,
        help="Install no dependencies of the scenario; use what is there.",
    ),
    click.option(
        "--locked",
        is_flag=True,
        help="Refuse dependencies of the scenario that are not locked with their hashes.",
    ),
    click.option(
        "--install-timeout",
        type=duration(),
        default=Choice().timeout_s,
        help="Timeout for installing dependencies of the scenario.  [default: 5m]",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it is called with ``dependencies``, a `Choice`."""

    @wraps(command)
    def chosen(*, no_install: bool, locked: bool, install_timeout: float, **given: Any) -> Any:
        choice = Choice(not no_install, locked, install_timeout)
        return command(dependencies=choice, **given)

    return together(*_OPTIONS)(chosen)


def prepared(plan: RunPlan, choice: Choice) -> RunPlan:
    """The plan with what its scenario depends on, which is installed if need be.

    Raises:
        AmocError: It cannot be had.
    """
    found = preparation(plan.scenario, choice)
    return replace(plan, libraries=found.environment().libraries if found is not None else "")


def preparation(scenario: str, choice: Choice) -> Preparation | None:
    """What prepares the environment of a scenario; None if it depends on nothing.

    Raises:
        AmocError: What it says of its dependencies is wrong.
    """
    if declared(scenario) is None:
        return None
    from amoc.install.environment import Preparation  # most scenarios need none

    return Preparation(scenario, choice, say)
