"""What a user does next, and when: weighted choice, think time, constant pacing.

All of it is the calling user's own: it draws from `user.random`, so a user with the same id and
seed does the same in each run, and it waits as in `sleep`: the user counts as running, pauses of
the run delay it, and a user that is asked to stop ends there.
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
"""A wait for no time would let only those run that are ready; timers and sockets would starve."""
MAX_CATCH_UP = 0.1
"""Of a turn's time: how much shorter one may be because it began late."""

T = TypeVar("T")


def pick(choices: Mapping[T, float]) -> T:
    """Choose at random, by weight: of ``{browse: 9, buy: 1}`` one in ten is `buy`.

    Args:
        choices: The weight of each choice: a number of 0 or more, of any sum above 0.

    Raises:
        ScenarioError: There is nothing to choose, or a weight is none.
        NotAUser: The caller is not a user.
    """
    draw = current().random.random  # its error is an AttributeError, too
    try:
        weights = choices.values()
        if min(weights) >= 0:
            left = draw() * sum(weights)
            for choice, weight in choices.items():
                left -= weight
                if left < 0:
                    return choice
    except (TypeError, ValueError, AttributeError):
        pass  # whatever is wrong is told below
    return _last_of(choices)


def _last_of(choices: Mapping[T, float]) -> T:
    """What rounding has left to choose, if these are choices at all."""
    if not isinstance(choices, Mapping) or not choices:
        raise ScenarioError(
            f"pick() takes the weight of each choice, {{browse: 9, buy: 1}}, got {cut(choices)}"
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
    raise ScenarioError("pick() must be given at least one weight above 0")


def think(least: float, most: float | None = None) -> None:
    """Wait as a person does between two actions.

    Args:
        least: Seconds.
        most: The time is drawn evenly between `least` and this; `least` if it is not given.

    Raises:
        ScenarioError: That is no time.
        UserStopped: The user was asked to stop.
    """
    try:
        is_time = 0 <= least <= (least if most is None else most) < inf
    except TypeError:
        is_time = False
    if not is_time:
        raise ScenarioError(
            f"think() takes seconds of 0 or more, the least and the most, got {cut((least, most))}"
        )
    seconds = least if most is None else current().random.uniform(least, most)
    wait(Waiter(), seconds or SHORT_S)


def pace(seconds: float) -> None:
    """Wait until `seconds` after this turn has begun; to be called at the end of each turn.

    The first turn begins with the iteration, each further one where this returns. One that took
    longer is late: the next begins at once, and what was missed is not made up for, so users never
    catch up in bursts. Late turns are counted in ``late_turns``.

    Raises:
        ScenarioError: `seconds` is not above 0.
        UserStopped: The user was asked to stop.
    """
    if not isinstance(seconds, int | float) or not 0 < seconds < inf:
        raise ScenarioError(f"pace() takes seconds above 0, got {cut(seconds)}")
    period_ns = int(seconds * S_NS)
    me, now_ns = current(), pause.clock.run_ns()
    due_ns = me.turn_ns + period_ns
    # Declared by the first turn, so that a threshold finds it where no turn is late.
    late = metrics.built_in(metrics.Counter, reserved.LATE_TURNS)
    if now_ns > due_ns:
        late.inc()
        due_ns = now_ns
    wait(Waiter(), max((due_ns - now_ns) / S_NS, SHORT_S))
    # On time as a rule, so that turns do not drift; but a worker that woke late catches up no more.
    begun_ns = pause.clock.run_ns()
    me.turn_ns = due_ns if begun_ns - due_ns <= period_ns * MAX_CATCH_UP else begun_ns
