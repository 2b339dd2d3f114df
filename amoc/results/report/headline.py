"""The head of a report: the verdict, its reasons, and the key metrics. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amoc.base.text import counted
from amoc.metrics.step_names import AGGREGATED
from amoc.metrics.timer_statistics import MAIN
from amoc.results.kinds import KindRow
from amoc.results.report.texts import clip, figure, number, shortened
from amoc.results.report.timer_pairs import Pair
from amoc.results.step_rows import percent
from amoc.results.summary_types import CheckPart, RunPart, StepPart, Summary, ThrottlePart, Timers
from amoc.results.verdict import was_aborted

_SENTENCES = {
    "ok": ("good", "The run completed, and all thresholds passed."),
    "no criteria": ("open", "The run completed. It had no thresholds, so nothing was judged."),
    "everything failed": ("bad", "The run completed, but nothing that users tried succeeded."),
    "stopped": ("good", "The run was stopped, and users were given time to finish."),
    "failed thresholds": ("bad", "The run completed, but not all thresholds passed."),
    "generator-limited": (
        "doubt",
        "amoc or its host was too slow: these results do not show what the target can do.",
    ),
    "interrupted": (
        "doubt",
        "The run was stopped immediately; users were given no time to finish.",
    ),
    "failed": ("bad", "The run failed."),
    "incomplete": (
        "doubt",
        "Part of what the run measured is missing; these results cover only the rest.",
    ),
    "killed": (
        "doubt",
        "Results cover what had been written by then; up to a second may be missing.",
    ),
    "running": ("open", "Results cover what has been written so far."),
}
_ABORTED = "The run was aborted because a threshold failed."
MAX_REASONS = 20
MAX_NOTES = 20
MAIN_TIMERS = 3


@dataclass(frozen=True)
class Headline:
    """The head of a report.

    Attributes:
        word: The verdict.
        tone: ``good``, ``bad``, ``doubt`` or ``open``.
        sentence: The meaning of the verdict.
        reasons: Its reasons.
        notes: What does not affect it, but readers should know.
    """

    word: str
    tone: str
    sentence: str
    reasons: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Covered:
    """The part of a run that key metrics and tables cover: all of it, or what follows the warm-up.

    Attributes:
        is_part: Whether a warm-up is excluded.
        only_warmup: Whether the run ended during its warm-up, which is covered in that case.
        from_s: Its beginning, in seconds since the first user could start.
        to_s: Its end.
        warmup_s: The length of the warm-up.
        steps: Steps as in the summary; likewise `checks`.
        kinds: Results by kind of user, if there are several.
        counters: Totals of all other counters.
        rates: Counts per second, over the time in which the run was running.
        timers: Timers as in the summary; likewise `throttles`.
    """

    is_part: bool
    only_warmup: bool
    from_s: float
    to_s: float
    warmup_s: float
    steps: Mapping[str, StepPart]
    checks: Mapping[str, CheckPart]
    kinds: Sequence[KindRow]
    counters: Mapping[str, int]
    rates: Mapping[str, float | None]
    timers: Timers
    throttles: Mapping[str, ThrottlePart]


@dataclass(frozen=True)
class Card:
    """A key metric of the run.

    Attributes:
        title: The name of the metric.
        value: Its value.
        detail: A remark below it.
        tone: As in `Headline`, or empty.
        columns: Headings of a small table shown instead of a value.
        rows: Its rows, each beginning with its heading.
    """

    title: str
    value: str = ""
    detail: str = ""
    tone: str = ""
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)


def tone_of(verdict: str) -> str:
    """Return the tone of a verdict, as in `Headline`."""
    return _SENTENCES.get(verdict, ("open", ""))[0]


def headline(run: RunPart) -> Headline:
    """Return the head of the report of `run`, the first part of a summary."""
    word, reasons = str(run.get("verdict", "unknown")), run.get("reasons", ())
    tone, sentence = _SENTENCES.get(word, ("open", ""))
    if word == "failed thresholds" and was_aborted(reasons):
        sentence = _ABORTED
    return Headline(
        clip(word, 40),
        tone,
        sentence,
        _some(reasons, MAX_REASONS, "reason"),
        _some(run.get("notes", ()), MAX_NOTES, "note"),
    )


def _some(sentences: Sequence[object], most: int, what: str) -> list[str]:
    """Return at most `most` sentences, and how many more there are."""
    kept = [clip(one, 500) for one in sentences[:most]]
    more = len(sentences) - len(kept)
    return [*kept, f"And {counted(more, f'more {what}')}."] if more else kept


def cards(summary: Summary, covered: Covered, timers: Sequence[Pair]) -> list[Card]:
    """Return the key metrics of a run.

    Args:
        summary: The whole summary.
        covered: The part of it that they cover.
        timers: The target's timers, most interesting first.
    """
    users, causes = summary.get("users", {}), summary.get("crashes", ())
    crashed = users.get("crashed", 0)
    shown = [
        Card(
            "Peak users",
            number(users.get("peak", 0)),
            ", ".join(f"{number(users.get(key, 0))} {key}" for key in ("started", "finished")),
        ),
        Card(
            "Crashed iterations",
            number(crashed),
            counted(len(causes), "cause") if crashed else "none",
            "bad" if crashed else "",
        ),
    ]
    if AGGREGATED in covered.steps and covered.steps[AGGREGATED]["count"]:
        return shown + _requests(covered.steps[AGGREGATED])  # the table below has their times
    shown += _throughput(covered)
    shown += [_timer(pair, covered.timers) for pair in timers[:MAIN_TIMERS]]
    return shown


def _requests(whole: StepPart) -> list[Card]:
    """Return the number of requests, the share that failed, and the times of the others."""
    rate = figure(shortened(whole["per_s"]), "/s")
    failed = number(whole["failures"])
    times = whole["times"]
    return [
        Card("Requests", number(whole["count"]), f"{rate} on average"),
        Card(
            "Failed requests",
            percent(whole["failed_share"]),
            f"{failed} of {number(whole['count'])}" if whole["failures"] else "none",
            "bad" if whole["failures"] else "",
        ),
        Card(
            "Request times",
            detail="of successful requests",
            columns=tuple(one.label for one in MAIN),
            rows=[("", *(figure(times.get(one.field), "s") for one in MAIN))],
        ),
    ]


def _throughput(covered: Covered) -> list[Card]:
    """Return the busiest counter as a mean rate."""
    counters, rates = covered.counters, covered.rates
    busiest = max(counters, key=lambda name: counters[name], default=None)
    if busiest is None or not rates.get(busiest):
        return []
    rate = figure(shortened(rates[busiest]), "/s")
    return [Card(clip(busiest, 40), rate, f"{number(counters[busiest])} in total")]


def _timer(pair: Pair, timers: Timers) -> Card:
    heads = ("service", "response") if pair.response else ("",)
    rows = [
        (head, *(figure(timers.get(name, {}).get(one.field), "s") for one in MAIN))
        for head, name in zip(heads, pair.names, strict=True)
    ]
    count = timers.get(pair.name, {}).get("count", 0)
    return Card(
        clip(pair.name, 40),
        detail=f"{number(count)} samples",
        columns=tuple(one.label for one in MAIN),
        rows=rows,
    )
