"""Steps and checks: how many, how fast, how many failed, and why."""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
    from amoc.steps.api import Step, step
    from amoc.steps.checks import check

__all__ = [
    # what step() returns
    "Step",
    # what a user calls
    "check",
    "step",
]

if not TYPE_CHECKING:  # so that a type checker notices names that do not exist
    __getattr__ = lazy_names.loader(
        globals(), {"amoc.steps.api": ["Step", "step"], "amoc.steps.checks": ["check"]}
    )
