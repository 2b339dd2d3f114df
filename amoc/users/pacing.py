"""A user's next action and its timing: weighted choice, think time, constant pacing.

Random draws come from `user.random`, so a user with the same id and seed does the same in every
run. Waits behave like `sleep`: the user counts as running, pauses of the run delay it, and a user
that is asked to stop ends there.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import TypeVar

from amoc import metrics
from amoc.base import pause
from amoc.base.clock import S_NS
from amoc.base.errors import ScenarioError
from amoc.base.text import cut
from amoc.base.waiting import Waiter, wait
from amoc.metrics import reserved
from amoc.users.user import current

SHORT_S = 1e-6
"""A wait of 0 would let only ready greenlets run, and starve timers and sockets."""
MAX_CATCH_UP = 0.1
"""Share of the period by which a turn that began late may be shortened."""

T = TypeVar("T")


def pick(choices: Mapping[T, float]) -> T:
    """Choose at random, by weight: ``{browse: 9, buy: 1}`` gives `buy` one time in ten.

    Args:
        choices: The weight of each choice, a number of 0 or more. Their sum must be above 0.

    Raises:
        ScenarioError: `choices` is empty, or a weight is invalid.
        NotAUser: The caller is not a user.
    """
    draw = current().random.random  # outside the try: NotAUser is an AttributeError, too
    try:
        weights = choices.values()
        if min(weights) >= 0:
            left = draw() * sum(weights)
            for choice, weight in choices.items():
                left -= weight
                if left < 0:
                    return choice
    except (TypeError, ValueError, AttributeError):
        pass  # _last_of reports what is wrong
    return _last_of(choices)


def _last_of(choices: Mapping[T, float]) -> T:
    """Return the last choice, which rounding may leave; or raise if `choices` is invalid."""
    if not isinstance(choices, Mapping) or not choices:
        raise ScenarioError(
            f"pick() takes a weight for each choice, {{browse: 9, buy: 1}}, got {cut(choices)}"
        )
    for choice, weight in choices.items():
        is_number = isinstance(weight, int | float) and isfinite(weight)
        if not is_number or weight < 0:
            raise ScenarioError(
                f"the weight of {cut(choice)} in pick() must be a number of 0 or more, got"
                f" {cut(weight)}"
            )
    for choice in reversed(list(choices)):
        if choices[choice] > 0:
            return choice
    raise ScenarioError("pick() requires at least one weight above 0")


def think(least: float, most: float | None = None) -> None:
    """Wait for a think time, as a person does between two actions.

    Args:
        least: Seconds.
        most: If given, the time is drawn uniformly between `least` and `most`.

    Raises:
        ScenarioError: `least` or `most` is not a valid time.
        UserStopped: The user was asked to stop.
    """
    try:
        is_time = 0 <= least <= (least if most is None else most) < inf
    except TypeError:
        is_time = False
    if not is_time:
        raise ScenarioError(
            f"think() takes a minimum and a maximum of 0 s or more, got {cut((least, most))}"
        )
    seconds = least if most is None else current().random.uniform(least, most)
    wait(Waiter(), seconds or SHORT_S)


def pace(seconds: float) -> None:
    """Wait until `seconds` after the current turn began; call it at the end of each turn.

    The first turn begins with the iteration, each later one when `pace` returns. After a turn that
    took longer, the next one begins at once. Missed time is not made up for, so users never catch
    up in bursts. Late turns are counted in ``late_turns``.

    Raises:
        ScenarioError: `seconds` is not above 0.
        UserStopped: The user was asked to stop.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds < inf:
        raise ScenarioError(f"pace() takes seconds above 0, got {cut(seconds)}")
    period_ns = int(seconds * S_NS)
    me, now_ns = current(), pause.clock.run_ns()
    due_ns = me.turn_ns + period_ns
    # Declared in the first turn, so that a threshold finds the counter even if no turn is late.
    late = metrics.built_in(metrics.Counter, reserved.LATE_TURNS)
    if now_ns > due_ns:
        late.inc()
        due_ns = now_ns
    wait(Waiter(), max((due_ns - now_ns) / S_NS, SHORT_S))
    # Normally the time due, so that turns do not drift; after a late wake-up the actual time.
    begun_ns = pause.clock.run_ns()
    me.turn_ns = due_ns if begun_ns - due_ns <= period_ns * MAX_CATCH_UP else begun_ns
