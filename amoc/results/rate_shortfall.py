"""Rates that were not reached: a throttle is a ceiling, so a lower rate is no error. Pure.

How many were to pass each throttle is compared with how many passed, over the same seconds: those
in which the run was running and the throttle limited a rate. Less may be intended, so it is only
noted: users who read results for 400 messages a second should know if there were 147.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.results.series import Point

ENOUGH = 0.95
"""The share of the configured rate that counts as reached."""
BEGIN_S = 0.25
"""What is due in so much time may be missing: the first users take a moment to come."""
IDLE = 0.1
"""The share of the time without users at a throttle from which on that is the reason."""


@dataclass
class _Passed:
    """How many were to pass a throttle, and how many passed."""

    wanted: float = 0.0
    passed: int = 0
    wanted_s: float = 0.0
    lacking: float = 0.0  # executions, where users waited all the time
    waiting: bool = False  # at the end of the latest second
    idle_s: float = 0.0  # without any user

    @property
    def reached(self) -> bool:
        # A slot may be due just before the end, and used just after it.
        at_begin = self.wanted * BEGIN_S / self.wanted_s if self.wanted_s else 0.0
        return self.passed >= self.wanted - max((1 - ENOUGH) * self.wanted, 1, at_begin)


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
        if not point.active_s:
            return
        for name, throttle in point.throttles.items():
            if name in self.except_for or throttle.wanted is None:
                continue
            one = self._throttles.setdefault(name, _Passed())
            one.wanted += throttle.wanted
            one.passed += throttle.executions
            if throttle.wanted:
                one.wanted_s += point.active_s
                # Where users wait at both ends of a second they are there in all of it; an outage
                # of the target begins with users that wait, or ends so.
                if one.waiting and throttle.waiting:
                    one.lacking += throttle.wanted - throttle.executions
                came = throttle.requests or throttle.executions or throttle.waiting
                one.idle_s += 0.0 if came else point.active_s
            one.waiting = throttle.waiting > 0

    def notes(self) -> list[str]:
        """A sentence for each throttle whose rate was not reached."""
        return [
            _sentence(name, one) for name, one in sorted(self._throttles.items()) if not one.reached
        ]


def _sentence(name: str, one: _Passed) -> str:
    passed, wanted = (f"{count / one.wanted_s:.4g}/s" for count in (one.passed, one.wanted))
    if one.lacking > (one.wanted - one.passed) / 2:
        why = "users were waiting, so the load generator handed out its slots too late"
    elif one.idle_s > IDLE * one.wanted_s:
        digits = 0 if one.wanted_s >= 10 else 1
        why = f"no user reached it in {one.idle_s:.{digits}f} of {one.wanted_s:.{digits}f} s"
    else:
        why = (
            "no users were waiting when executions were missing, so they were too few or the target"
            " too slow"
        )
    return f"throttle {name} reached {passed} of the configured {wanted}: {why}"
