"""Coordinators started by init() in this process; workers inherit them through the fork.

The controller learns of them later, from the recorded calls of init(). Both sides count how often a
name was started, and agree because they see the same calls in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amoc.base.errors import ScenarioError
from amoc.coordinator.plan import Item


@dataclass
class _Plan:
    items: list[Item]
    taking: bool = True


_plans: dict[str, list[_Plan]] = {}


def start(name: str, items: list[Item]) -> None:
    """Record that init() starts a coordinator.

    Raises:
        ScenarioError: It is already started.
    """
    plans = _plans.setdefault(name, [])
    if plans and plans[-1].taking:
        raise ScenarioError(f"coordinator {name} is already started")
    plans.append(_Plan(items))


def check(name: str) -> None:
    """Check that init() may use a coordinator.

    Raises:
        ScenarioError: It is not started.
    """
    plans = _plans.get(name)
    if not (plans and plans[-1].taking):
        raise ScenarioError(f"coordinator {name} must be started before it is used")


def stop(name: str) -> None:
    """Record that init() stops a coordinator that it has started."""
    check(name)
    _plans[name][-1].taking = False


def plans() -> Iterator[tuple[str, int, list[Item], bool]]:
    """Yield each plan: the coordinator's name and incarnation, its items, whether it takes adds."""
    for name, started in _plans.items():
        for incarnation, plan in enumerate(started, start=1):
            yield name, incarnation, plan.items, plan.taking


def forget() -> None:
    """Forget them all, between two tests."""
    _plans.clear()
