"""The verdict on a run: one word, one exit code, and why. Pure.

What outranks what, and why:

- *failed*, *interrupted*: the run did not complete, so its results are not what was asked for;
- *incomplete*: not all that the run has measured is in its directory, see `incomplete`;
- *generator-limited*: amoc or its host was too slow. Latency may then be ours and not the target's,
  so thresholds that failed are named, but are not the verdict;
- *everything failed*: nothing that users tried succeeded, which no run is meant to show;
- *failed thresholds*;
- *stopped*; *ok* if thresholds were met, *no criteria* if there were none.

Deaths of workers are among the reasons of any verdict. Their users start again; those that did not
come back are lost, and then the run has failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from amoc.base.errors import ExitCode
from amoc.results.thresholds.threshold import Result

ABORTED = "the run was aborted"
"""Begins the reason of a run that was aborted (``--abort-on-fail``)."""
_BROKEN = ("failed", "interrupted")
MAX_DEATHS = 10
"""Ways in which workers died that are told apart."""


@dataclass(frozen=True)
class Verdict:
    """How a run is judged.

    Attributes:
        verdict: ``ok``, ``no criteria``, ``stopped``, ``failed thresholds``,
            ``everything failed``, ``generator-limited``, ``interrupted``, ``failed`` or
            ``incomplete``.
        exit_code: What the command ends with.
        reasons: Why, a sentence each.
    """

    verdict: str
    exit_code: int | None
    reasons: tuple[str, ...]


def judge(
    ended: str,
    results: Iterable[Result],
    limited: bool,
    limited_ok: bool,
    *,
    deaths: Mapping[str, int] = MappingProxyType({}),
    aborted: str = "",
    stopped: str = "",
    futile: str = "",
    findings: Sequence[str] = (),
    failure: str = "",
    code: ExitCode = ExitCode.OK,
) -> Verdict:
    """The verdict on a run.

    Args:
        ended: How it ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
        results: The outcome of its thresholds.
        limited: Whether the load generator was too slow to measure the target.
        limited_ok: Whether that is accepted, and only mentioned.
        deaths: How workers died, and how often. Users of a dead worker start again, so this alone
            decides nothing, but readers of the results must know.
        aborted: That the run was aborted, and why; empty if it was not.
        stopped: Why the run ended, where that was neither its plan nor the operator.
        futile: That nothing succeeded that users tried, unless that is accepted.
        findings: In what the generator was too slow, a sentence each.
        failure: What went wrong; empty if nothing did.
        code: The exit code of that failure.
    """
    results = list(results)
    unmet = [one for one in (futile, aborted) if one]
    unmet += [
        result.reason
        for result in results
        if not result.passed and not tell_of(unmet, result.reason)
    ]
    slow = list(findings) if limited else []
    if limited and not slow:
        slow = ["the load generator was too slow to measure the target"]
    if stopped:
        slow.append(stopped)
    slow += _deaths(deaths)
    if ended in _BROKEN:
        exit_code = code or (ExitCode.INTERRUPTED if ended == "interrupted" else ExitCode.INTERNAL)
        why = failure or ("stopped at once by the operator" if ended == "interrupted" else "")
        return Verdict(ended, exit_code, tuple(filter(None, [why, *slow])))
    if limited and not limited_ok:
        return Verdict("generator-limited", ExitCode.GENERATOR_LIMITED, (*slow, *unmet))
    if unmet:
        word = "everything failed" if futile else "failed thresholds"
        return Verdict(word, ExitCode.THRESHOLD, (*unmet, *slow))
    if ended == "ok" and not results:
        ended = "no criteria"
    return Verdict(ended, ExitCode.OK, tuple(slow))


def incomplete(found: Verdict, missing: Sequence[str]) -> Verdict:
    """The verdict on a run that has not left, or no longer has, all that it measured.

    Args:
        found: The verdict without that. One that says already that the run did not complete stays.
        missing: What is missing, a sentence each.
    """
    new = [one for one in missing if one not in found.reasons]
    if not new:
        return found
    if found.verdict in (*_BROKEN, "killed", "running", "incomplete"):
        return replace(found, reasons=(*found.reasons, *new))
    was = f"without that, the verdict would be: {found.verdict}"
    return Verdict("incomplete", ExitCode.INCOMPLETE, (*new, was, *found.reasons))


def _deaths(deaths: Mapping[str, int]) -> list[str]:
    """Deaths of workers, the most frequent first."""
    ranked = sorted(deaths.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{how}, {times:,} times" if times > 1 else how for how, times in ranked[:MAX_DEATHS]]
    rest = sum(times for _, times in ranked[MAX_DEATHS:])
    return [*told, f"workers died {rest:,} more times"] if rest else told


def tell_of(reasons: Iterable[str], reason: str) -> bool:
    """Whether `reasons` contain `reason`, perhaps with the value of another moment."""
    rule = re.split(", (?:got|but) ", reason)[0]
    return any(rule in one for one in reasons)


def was_aborted(reasons: Iterable[object]) -> bool:
    """Whether the reasons of a verdict say that the run was aborted."""
    return any(str(reason).startswith(ABORTED) for reason in reasons)
