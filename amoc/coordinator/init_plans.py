"""The coordinators that init() has started in this process; workers inherit them through the fork.

The controller hears of them later, by the calls that init() noted. Both count how often a name was
started, and come to the same figure because they see the same calls in the same order.
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
    """init() starts a coordinator.

    Raises:
        ScenarioError: It is started already.
    """
    plans = _plans.setdefault(name, [])
    if plans and plans[-1].taking:
        raise ScenarioError(f"coordinator {name} is already started")
    plans.append(_Plan(items))


def check(name: str) -> None:
    """init() uses a coordinator.

    Raises:
        ScenarioError: It has not started it.
    """
    plans = _plans.get(name)
    if not (plans and plans[-1].taking):
        raise ScenarioError(f"coordinator {name} must be started before it is used")


def stop(name: str) -> None:
    """init() stops a coordinator that it has started."""
    check(name)
    _plans[name][-1].taking = False


def plans() -> Iterator[tuple[str, int, list[Item], bool]]:
    """Each plan with its coordinator's name and incarnation, and whether it takes adds."""
    for name, started in _plans.items():
        for incarnation, plan in enumerate(started, start=1):
            yield name, incarnation, plan.items, plan.taking


def forget() -> None:
    """Forget them all, between two tests."""
    _plans.clear()
