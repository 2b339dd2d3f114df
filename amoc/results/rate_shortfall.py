"""Rates that were not reached: a throttle is a ceiling, so a lower rate is no error. Pure.

The configured rate of each throttle is compared with its executions, over the time in which
the run was running. Less may be intended, so it is only noted: whoever reads results for 400
messages a second should know if there were 147.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.results.series import Point

ENOUGH = 0.95
"""The share of the configured rate that counts as reached."""
MIN_S = 5.0
"""A throttle that was in use for a shorter time is not mentioned."""
USED = 0.9
"""In what share of the time a throttle must have been used; others are for log-ins and the like."""


@dataclass
class _Passed:
    """The configured rate of a throttle, and its executions."""

    wanted: float = 0.0
    passed: int = 0
    wanted_s: float = 0.0
    used_s: float = 0.0
    waited_s: float = 0.0  # with users waiting


@dataclass
class Shortfall:
    """Compares the configured rates of throttles with what passed.

    Attributes:
        except_for: Throttles that users come to only for a while.
    """

    except_for: frozenset[str] = frozenset()
    _throttles: dict[str, _Passed] = field(default_factory=dict)

    def take(self, point: Point) -> None:
        """Look at the next second of the window."""
        for name, throttle in point.throttles.items():
            wanted_per_s = throttle.wanted_per_s
            if name in self.except_for or not wanted_per_s or throttle.mode != "run":
                continue
            if not point.active_s:
                continue
            one = self._throttles.setdefault(name, _Passed())
            one.wanted += wanted_per_s * point.active_s
            one.passed += throttle.executions
            one.wanted_s += point.active_s
            one.used_s += point.active_s if throttle.executions else 0.0
            one.waited_s += point.active_s if throttle.waiting else 0.0

    def notes(self) -> list[str]:
        """A sentence for each throttle that was used and whose rate was not reached."""
        return [
            _sentence(name, one)
            for name, one in sorted(self._throttles.items())
            if one.wanted_s >= MIN_S
            and one.used_s >= USED * one.wanted_s
            and one.passed < ENOUGH * one.wanted
        ]


def _sentence(name: str, one: _Passed) -> str:
    passed, wanted = (f"{count / one.wanted_s:.4g}/s" for count in (one.passed, one.wanted))
    if one.waited_s > one.wanted_s / 2:
        why = "users were waiting, so the load generator handed out its slots too late"
    else:
        why = "no users were waiting, so they were too few or the target too slow"
    return f"throttle {name} reached {passed} of its configured {wanted}: {why}"
