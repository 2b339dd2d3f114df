"""Throttles that did not reach their configured rate. Pure.

The executions due at each throttle are compared with the executions counted, over the seconds in
which the run was running and the throttle limited a rate. A throttle is a ceiling, and a lower rate
may be intended, so a shortfall is a note and not an error: whoever reads results for 400 messages a
second should know if there were only 147.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from amoc.base.text import counted
from amoc.results.series import Point

ENOUGH = 0.95
"""The share of the configured rate that counts as reached."""
BEGIN_S = 0.25
"""The executions due in this time may be missing: the first users take a moment to arrive."""
MAX_ELSEWHERE = 4
"""The number of throttles with users waiting above which they are not named as the reason."""
MAX_HELD = 20
"""Most throttles that are remembered as the reason of another throttle's missing executions."""
MAX_NOTES = 20
"""Most throttles that get a note of their own."""
_MANY = ""
"""Stands for more than `MAX_ELSEWHERE` throttles."""
IDLE = 0.1
"""The share of the time without users at a throttle above which that is named as the reason."""


@dataclass
class _Passed:
    """The executions due at a throttle, and those counted."""

    wanted: float = 0.0
    passed: int = 0
    wanted_s: float = 0.0
    lacking: float = 0.0  # missing executions in seconds in which users waited throughout
    waiting: bool = False  # whether users waited at the end of the latest second
    idle_s: float = 0.0  # seconds without any user
    # missing executions in other seconds, by the throttles at which users waited throughout
    held: dict[str, float] = field(default_factory=dict)

    def hold(self, others: list[str], missing: float) -> None:
        """Count missing executions, while users waited at `others`."""
        for other in others:
            if other in self.held or len(self.held) < MAX_HELD:
                self.held[other] = self.held.get(other, 0.0) + missing

    @property
    def reached(self) -> bool:
        # A slot may be due just before the end, and used just after it.
        at_begin = self.wanted * BEGIN_S / self.wanted_s if self.wanted_s else 0.0
        return self.passed >= self.wanted - max((1 - ENOUGH) * self.wanted, 1, at_begin)


@dataclass
class Shortfall:
    """Compares the configured rates of throttles with their executions.

    Attributes:
        except_for: Throttles that users pass only during a part of the run.
    """

    except_for: frozenset[str] = frozenset()
    _throttles: dict[str, _Passed] = field(default_factory=dict)

    def take(self, point: Point) -> None:
        """Take the next second of the window."""
        if not point.active_s:
            return
        limited = {
            name: (throttle, self._throttles.setdefault(name, _Passed()))
            for name, throttle in point.throttles.items()
            if name not in self.except_for and throttle.wanted is not None
        }
        # If users wait at both ends of a second, assume that they waited throughout. At the
        # beginning or end of an outage of the target, they wait at one end only.
        full = {name for name, (now, one) in limited.items() if one.waiting and now.waiting}
        # Not one by one if there are many, as that is done for each of the other throttles.
        elsewhere = sorted(full) if len(full) <= MAX_ELSEWHERE else [_MANY]
        for name, (throttle, one) in limited.items():
            assert throttle.wanted is not None
            one.wanted += throttle.wanted
            one.passed += throttle.executions
            if throttle.wanted:
                one.wanted_s += point.active_s
                missing = throttle.wanted - throttle.executions
                if name in full:
                    one.lacking += missing
                elif missing > 0:
                    one.hold(elsewhere, missing)
                came = throttle.requests or throttle.executions or throttle.waiting
                one.idle_s += 0.0 if came else point.active_s
            one.waiting = throttle.waiting > 0

    def notes(self) -> list[str]:
        """Return a sentence for each throttle that did not reach its rate, and one for the rest."""
        low = sorted(name for name, one in self._throttles.items() if not one.reached)
        notes = [_sentence(name, self._throttles[name]) for name in low[:MAX_NOTES]]
        if (more := len(low) - MAX_NOTES) > 0:
            notes.append(f"{counted(more, 'more throttle')} did not reach the configured rate")
        return notes


def _sentence(name: str, one: _Passed) -> str:
    passed, wanted = (f"{count / one.wanted_s:.4g}/s" for count in (one.passed, one.wanted))
    missing = one.wanted - one.passed
    if one.lacking > missing / 2:
        why = "users were waiting, so the load generator handed out its slots too late"
    elif held := [other for other, count in one.held.items() if count > missing / 2]:
        names = "other throttles" if _MANY in held else f"throttle {' and '.join(held)}"
        why = f"users were waiting at {names} instead"
    elif one.idle_s > IDLE * one.wanted_s:
        digits = 0 if one.wanted_s >= 10 else 1
        why = f"no user reached it in {one.idle_s:.{digits}f} of {one.wanted_s:.{digits}f} s"
    else:
        why = (
            "no users were waiting when executions were missing, so there were too few users or the"
            " target was too slow"
        )
    return f"throttle {name} reached {passed} of the configured {wanted}: {why}"
