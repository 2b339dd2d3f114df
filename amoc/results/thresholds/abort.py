"""Decides when ``--abort-on-fail`` ends a run because a threshold has failed for good. Pure.

A threshold that can no longer pass, such as a count above its limit, aborts the run at once. One
that may still recover, such as a percentile, must have failed at every evaluation throughout the
grace period. Thresholds that may pass with time alone, such as a count that is yet to be reached,
and those without a sample never abort a run; they are evaluated at its end.
"""

from __future__ import annotations

from collections.abc import Iterable

from amoc.results.thresholds.measure import Known
from amoc.results.thresholds.threshold import Outlook, Result, Threshold


class AbortOnFail:
    """Evaluates thresholds repeatedly and decides when to abort the run."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._unmet_since_s: dict[str, float] = {}

    def reasons(
        self, at_s: float, results: Iterable[tuple[Threshold, Result]], known: Known
    ) -> list[str]:
        """Return why the run should be aborted now, one sentence each; empty if it should not.

        Args:
            at_s: The time, on any clock that never goes back and stops in pauses.
            results: The current result of each threshold.
            known: The declared metrics, as in `Threshold.evaluate`.
        """
        reasons = (self._lost(one, result, at_s, known) for one, result in results)
        return [reason for reason in reasons if reason]

    def _lost(self, one: Threshold, result: Result, at_s: float, known: Known) -> str:
        if result.passed or result.value is None:
            self._unmet_since_s.pop(one.text, None)
            return ""
        outlook = one.outlook(result.value, known)
        if outlook is Outlook.LOST:
            return result.reason
        if outlook is Outlook.PENDING:
            return ""
        unmet_s = at_s - self._unmet_since_s.setdefault(one.text, at_s)
        return f"{result.reason}, for {unmet_s:.0f} s" if unmet_s >= self._grace_s else ""
