"""The verdict on a run: one word, one exit code, and the reasons. Pure.

Precedence, highest first, and why:

- *failed*, *interrupted*: the run did not complete, so its results are not the ones asked for;
- *incomplete*: part of what the run measured is missing from its directory, see `incomplete`;
- *generator-limited*: amoc or its host was too slow. Latency may then be the generator's, not the
  target's, so failed thresholds are listed but do not decide the verdict;
- *everything failed*: nothing that users tried succeeded, which is never the point of a run;
- *failed thresholds*;
- *stopped*; *ok* if all thresholds were met, *no criteria* if there were none.

Worker deaths are among the reasons of any verdict. The users of a dead worker are started again; if
they cannot be, they are lost and the run has failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from amoc.base.errors import ExitCode
from amoc.results.counts import ranked
from amoc.results.thresholds.threshold import Result

ABORTED = "the run was aborted"
"""The start of the reason of an aborted run (``--abort-on-fail``)."""
_BROKEN = ("failed", "interrupted")
MAX_DEATHS = 10
"""Different causes of worker deaths that are listed; the others are summed."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a run.

    Attributes:
        verdict: ``ok``, ``no criteria``, ``stopped``, ``failed thresholds``,
            ``everything failed``, ``generator-limited``, ``interrupted``, ``failed`` or
            ``incomplete``.
        exit_code: The exit code of the command.
        reasons: The reasons, one sentence each.
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
    """Return the verdict on a run.

    Args:
        ended: How it ended: ``ok``, ``stopped``, ``interrupted`` or ``failed``.
        results: The results of its thresholds.
        limited: Whether the load generator was too slow to measure the target.
        limited_ok: Whether that is accepted, and only mentioned.
        deaths: Causes of worker deaths, and how often each occurred. Users of a dead worker are
            started again, so deaths decide nothing, but readers of the results must know.
        aborted: Why the run was aborted; empty if it was not.
        stopped: Why the run ended, if neither its plan nor the operator ended it.
        futile: The sentence that nothing that users tried succeeded; empty if that is accepted.
        findings: Where the generator was too slow, one sentence each.
        failure: What went wrong; empty if nothing did.
        code: The exit code for `failure`.
    """
    results = list(results)
    unmet = [one for one in (futile, aborted) if one]
    unmet += [
        result.reason
        for result in results
        if not result.passed and not mentions(unmet, result.reason)
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
    """Return the verdict on a run if part of what it measured is missing.

    Args:
        found: The verdict without that. It stays if it already says that the run did not complete.
        missing: What is missing, one sentence each.
    """
    new = [one for one in missing if one not in found.reasons]
    if not new:
        return found
    if found.verdict in (*_BROKEN, "killed", "running", "incomplete"):
        return replace(found, reasons=(*found.reasons, *new))
    was = f"without that, the verdict would be: {found.verdict}"
    return Verdict("incomplete", ExitCode.INCOMPLETE, (*new, was, *found.reasons))


def _deaths(deaths: Mapping[str, int]) -> list[str]:
    """Return worker deaths, most frequent cause first."""
    every = ranked(deaths)
    told = [f"{how}, {times:,} times" if times > 1 else how for how, times in every[:MAX_DEATHS]]
    rest = sum(times for _, times in every[MAX_DEATHS:])
    return [*told, f"workers died {rest:,} more times"] if rest else told


def mentions(reasons: Iterable[str], reason: str) -> bool:
    """Return whether `reasons` contain `reason`, perhaps with a value measured at another time."""
    rule = re.split(", (?:got|but) ", reason)[0]
    return any(rule in one for one in reasons)


def was_aborted(reasons: Iterable[object]) -> bool:
    """Return whether the reasons of a verdict say that the run was aborted."""
    return any(str(reason).startswith(ABORTED) for reason in reasons)
