"""Steps and checks: how many, how fast, how many failed, and why."""

from amoc.steps.api import Step, step
from amoc.steps.checks import check

__all__ = [
    # what step() returns
    "Step",
    # what a user calls
    "check",
    "step",
]
