"""``--no-install``, ``--locked``, ``--install-timeout``: installing a scenario's dependencies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from amoc.cli.messages import say
from amoc.cli.option_groups import flag, gathered
from amoc.cli.param_types import duration
from amoc.install.choice import Choice
from amoc.install.declared import declared
from amoc.scenario.run_plan import RunPlan

if TYPE_CHECKING:
    from amoc.install.environment import Preparation


def _choice(no_install: bool, locked: bool, install_timeout: float) -> Choice:
    return Choice(not no_install, locked, install_timeout)


options = gathered(
    "dependencies",
    _choice,
    flag(
        "--no-install",
        help="Do not install dependencies of the scenario; use what is installed already.",
    ),
    flag(
        "--locked",
        help="Refuse dependencies of the scenario that are not locked with their hashes.",
    ),
    click.option(
        "--install-timeout",
        type=duration(),
        default=Choice().timeout_s,
        help="Timeout for installing dependencies of the scenario.  [default: 5m]",
    ),
)
"""Adds the options to a command, which is called with ``dependencies``, a `Choice`."""


def prepared(plan: RunPlan, choice: Choice) -> RunPlan:
    """Return the plan with its scenario's dependencies, which are installed if necessary.

    Raises:
        AmocError: They cannot be installed.
    """
    found = preparation(plan.scenario, choice)
    return replace(plan, libraries=found.environment().libraries if found is not None else "")


def preparation(scenario: str, choice: Choice) -> Preparation | None:
    """Return the preparation of a scenario's environment; None if it has no dependencies.

    Raises:
        AmocError: Its declaration of dependencies is invalid.
    """
    if declared(scenario) is None:
        return None
    from amoc.install.environment import Preparation  # most scenarios need none

    return Preparation(scenario, choice, say)
