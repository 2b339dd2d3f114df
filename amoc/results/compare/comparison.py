"""Two runs side by side: what differs in how they were made, and in what they did.

Figures are those of each run's steady part: the seconds after its warm-up in which it was running.
Where a figure has noise it is judged by `amoc.results.compare.noise`, all of them together; a
single value, such as the longest duration, has none that could be known, so it is shown and not
judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from amoc.base.clock import format_duration
from amoc.metrics.histogram import Histogram
from amoc.results.compare import noise, quantile_test
from amoc.results.compare.noise import Known, Steady
from amoc.results.compare.per_second_values import Levels
from amoc.results.live_totals import BUILT_IN_TIMERS
from amoc.results.report.run_annotations import Stretches
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point, Tally, WarmUp
from amoc.scenario.start_rate import USER_RATE

WITHIN = "within noise"
UNCERTAIN = "not certain"
TOO_FEW = "too few to say"
NOT_JUDGED = ""
UNSURE = 0.5
"""Noise that is more than this share of A leaves open whether there is a difference."""
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_SLOWER, _MORE, _HIGHER = ("slower", "faster"), ("more", "fewer"), ("higher", "lower")


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        label: ``A`` or ``B``.
        record: What it left.
        warmup_s: What is left out at its beginning.
        stretches: When it was paused, nodes were late, and where it ends.
        levels: Those of its steady part, second by second.
        steady: The same part in sums.
    """

    label: str
    record: SavedRun
    warmup_s: float
    stretches: Stretches
    levels: Levels
    steady: Steady

    @property
    def tally(self) -> Tally:
        """The sum of the steady part."""
        return self.steady.whole

    @property
    def run(self) -> Mapping[str, Any]:
        """What its summary says of the run."""
        run: Mapping[str, Any] = self.record.summary["run"]
        return run


@dataclass(frozen=True)
class Differing:
    """Something of a run's making that is not the same; empty where a run does not have it."""

    kind: str
    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Figure:
    """A figure of both runs.

    Attributes:
        kind: What it is a figure of: ``counters``, ``timers`` and so on.
        name: Of which.
        statistic: Which figure.
        unit: As in `amoc.results.report.charts.Chart`.
        first: Of run A; None where it has none.
        second: Of run B.
        said: ``slower``, ``within noise`` and the like; empty where it is not judged.
        chance: How probable such a difference is where there is none; None if it is not judged.
        noise: What the difference must exceed for the runs to differ; None if it is not judged.
    """

    kind: str
    name: str
    statistic: str
    unit: str
    first: float | None
    second: float | None
    said: str = NOT_JUDGED
    chance: float | None = None
    noise: float | None = None

    @property
    def difference(self) -> float | None:
        """By how much B is above A."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def relative(self) -> float | None:
        """The same as a share of A; None where A is 0."""
        return self.difference / abs(self.first) if self.difference and self.first else None

    @property
    def differs(self) -> bool:
        """Whether the difference exceeds the runs' own noise."""
        return self.said not in (WITHIN, UNCERTAIN, TOO_FEW, NOT_JUDGED)

    def to_json(self) -> dict[str, Any]:
        """The figure for programs."""
        shares = {"difference": self.difference, "relative": self.relative}
        return {**vars(self), **shares, "differs": self.differs}


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes:
        sides: The runs, A and B.
        differing: What differs in their making: settings, versions, how they were run.
        figures: What they did.
        own: What amoc itself did meanwhile: lateness, CPU.
    """

    sides: tuple[Side, Side]
    differing: Sequence[Differing]
    figures: Sequence[Figure]
    own: Sequence[Figure]

    @property
    def found(self) -> list[Figure]:
        """The figures that differ by more than noise."""
        return [one for one in (*self.figures, *self.own) if one.differs]

    @property
    def judged(self) -> int:
        """How many figures were looked at."""
        return sum(1 for one in (*self.figures, *self.own) if one.chance is not None)

    def conclusion(self) -> str:
        """The whole in a sentence."""
        if not self.judged:
            return "too few seconds in common to say whether the runs differ"
        count, figures = len(self.found), (*self.figures, *self.own)
        unsure = sum(1 for one in figures if one.said == UNCERTAIN)
        said = f"{count} of {self.judged} figures {'differs' if count == 1 else 'differ'}"
        said = said if count else f"no figure of {self.judged} differs"
        said = f"{said} by more than the runs' own noise"
        return f"{said}; of {unsure} it is not certain" if unsure else said

    def to_json(self) -> dict[str, Any]:
        """The comparison for programs."""
        return {
            "runs": [
                {
                    "directory": str(side.record.directory),
                    "from_s": side.warmup_s,
                    "seconds": round(side.tally.span_s, 6),
                    "run": dict(side.run),
                }
                for side in self.sides
            ],
            "conclusion": self.conclusion(),
            "differing": [vars(one) for one in self.differing],
            "figures": [one.to_json() for one in (*self.figures, *self.own)],
        }


def compare(first: SavedRun, second: SavedRun, warmup_s: float | None = None) -> Comparison:
    """Compare two runs.

    Args:
        first: Run A.
        second: Run B.
        warmup_s: What to leave out at the beginning of both; None means each one's own warm-up.
    """
    sides = _side("A", first, warmup_s), _side("B", second, warmup_s)
    own = len(found := [*_target(sides)])
    figures = _judged([*found, *_generator(sides)])
    return Comparison(sides, differing(sides), figures[:own], figures[own:])


def _side(label: str, record: SavedRun, warmup_s: float | None) -> Side:
    if warmup_s is None:
        warmup_s = float(record.summary["run"].get("warmup_s") or 0.0)
    stretches = Stretches()

    def seen() -> Iterator[Point]:
        for point in record.points:
            stretches.add(point)
            yield point

    levels = Levels(_running(seen(), warmup_s))
    steady = Steady.of(_running(record.points, warmup_s), levels.spans_s)
    return Side(label, record, warmup_s, stretches, levels, steady)


def _running(points: Iterable[Point], warmup_s: float) -> Iterator[Point]:
    warmup = WarmUp(warmup_s)
    return (point for point in points if warmup.over(point) and point.state == "running")


# How they were made


def differing(sides: tuple[Side, Side]) -> list[Differing]:
    """What differs in how the runs were made."""
    first, second = (_making(side.record) for side in sides)
    return [
        Differing(kind, name, first.get((kind, name), ""), second.get((kind, name), ""))
        for kind, name in dict.fromkeys((*first, *second))
        if first.get((kind, name)) != second.get((kind, name))
    ]


def _making(record: SavedRun) -> dict[tuple[str, str], str]:
    summary = record.summary
    run = summary["run"]
    made = {("run", name): str(run.get(name, "")) for name in ("scenario", "verdict")}
    made |= {("run", name): text for name, text in _plan(record).items()}
    warmup_s = float(run.get("warmup_s") or 0.0)
    made["run", "warm-up"] = format_duration(warmup_s) if warmup_s else "none"
    made["run", "workers"] = str(len(summary.get("workers", ())))
    made |= {("setting", one["name"]): str(one["value"]) for one in summary.get("settings", ())}
    made |= {("version", name): str(one) for name, one in summary.get("versions", {}).items()}
    return made


def _plan(record: SavedRun) -> dict[str, str]:
    """What was planned, as the journal has it."""
    entry = next((one for one in record.journal if one["kind"] == "run"), {})
    plan, made = entry.get("plan") or {}, {}
    if users := plan.get("users"):
        made["users"] = f"{users[0]} to {users[1] - 1}"
    if stages := plan.get("stages"):
        made["stages"] = str(stages["text"])
    if plan.get("duration_s"):
        made["duration"] = format_duration(plan["duration_s"])
    for name, rate in (plan.get("rates") or {}).items():
        made[f"throttle {name}"] = str(rate)
    scenario = entry.get("scenario")
    if isinstance(scenario, Mapping) and scenario.get("sha256"):
        made["scenario's file"] = f"sha256 {scenario['sha256'][:12]}…"
    return made


# What they did

_Judge = tuple[Known | None, Known | None]
_Found = tuple[Figure, _Judge | None, tuple[str, str]]
"""A figure, what is known of it in each run if it is to be judged, and the words for its sides."""


def _target(sides: tuple[Side, Side]) -> Iterator[_Found]:
    yield from _users(sides)
    yield from _crashes(sides)
    for name in _names(sides, lambda side: side.tally.counters):
        yield _rate(sides, "counters", name, _counted(name))
    for name in _names(sides, lambda side: side.tally.timers):
        if name not in BUILT_IN_TIMERS:
            yield from _timer(sides, name, _SLOWER)
    for name in _names(sides, lambda side: side.tally.throttles.keys() - {USER_RATE}):
        yield from _throttle(sides, name)
    for name in _names(sides, lambda side: side.tally.last.gauges if side.tally.last else ()):
        yield _level(sides, "gauges", name, "")


def _generator(sides: tuple[Side, Side]) -> Iterator[_Found]:
    for name in BUILT_IN_TIMERS:
        if any(name in side.tally.timers for side in sides):
            yield from _timer(sides, name, _HIGHER)
    hosts = [f"host {name}" for name in _names(sides, lambda side: side.levels.hosts)]
    for name in ("workers", "controller", *hosts):
        yield _level(sides, "CPU", name, "%")


def _users(sides: tuple[Side, Side]) -> Iterator[_Found]:
    yield _level(sides, "users", "running", "")
    for name in ("started", "finished", "removed", "restarted", "peak"):
        totals = [float(side.record.summary.get("users", {}).get(name, 0)) for side in sides]
        if any(totals):
            yield Figure("users", name, "total", "", totals[0], totals[1]), None, _MORE


def _crashes(sides: tuple[Side, Side]) -> Iterator[_Found]:
    causes = _names(sides, lambda side: side.tally.crashes)
    if causes:
        yield _rate(sides, "crashes", "all", lambda tally: sum(tally.crashes.values()))
    for cause in causes:
        counts = [float(side.tally.crashes.get(cause, 0)) for side in sides]
        yield Figure("crashes", cause, "total", "", counts[0], counts[1]), None, _MORE


def _throttle(sides: tuple[Side, Side], name: str) -> Iterator[_Found]:
    if not any(side.tally.throttles.get(name, {}).get("requests") for side in sides):
        return
    yield _rate(sides, "throttles", name, _let_through(name), "let through")
    yield _level(sides, "throttles", name, "/s", "wanted")
    yield _level(sides, "throttles", name, "", "waiting")
    missed = [float(side.tally.throttles.get(name, {}).get("missed", 0)) for side in sides]
    if any(missed):
        yield Figure("throttles", name, "missed", "", missed[0], missed[1]), None, _MORE


def _timer(sides: tuple[Side, Side], name: str, words: tuple[str, str]) -> Iterator[_Found]:
    whole = [side.tally.timers.get(name, Histogram()) for side in sides]
    counts = [float(one.count) for one in whole]
    yield Figure("timers", name, "count", "", counts[0], counts[1]), None, _MORE
    estimates = [
        quantile_test.percentiles(side.steady, name, [*_QUANTILES.values()]) for side in sides
    ]
    for at, (label, fraction) in enumerate(_QUANTILES.items()):
        values = [one.quantiles_s(fraction)[0] if one.count else None for one in whole]
        judge = (estimates[0][at], estimates[1][at])
        yield (
            Figure("timers", name, label, "s", values[0], values[1]),
            judge if all(counts) else None,
            words,
        )
    longest = [one.max_ns / 1e9 if one.count else None for one in whole]
    yield Figure("timers", name, "max", "s", longest[0], longest[1]), None, words


def _rate(
    sides: tuple[Side, Side],
    kind: str,
    name: str,
    count: Callable[[Tally], float],
    statistic: str = "rate",
) -> _Found:
    values = [
        count(side.tally) / side.tally.span_s if side.tally.span_s else None for side in sides
    ]
    judge = noise.rate(sides[0].steady, count), noise.rate(sides[1].steady, count)
    return Figure(kind, name, statistic, "/s", values[0], values[1]), judge, _MORE


def _level(
    sides: tuple[Side, Side], kind: str, name: str, unit: str, statistic: str = "mean"
) -> _Found:
    first, second = (side.levels.known((kind, name, statistic)) for side in sides)
    means = [sum(values) / len(values) if values else None for _, values in (first, second)]
    judge = noise.level(*first), noise.level(*second)
    return (
        Figure(kind, name, statistic, unit, means[0], means[1]),
        judge if None not in means else None,
        _HIGHER,
    )


def _judged(found: Iterable[_Found]) -> list[Figure]:
    """The figures with what is said of them: all that can be judged are judged together."""
    figures: list[Figure] = []
    judges: dict[int, tuple[Known, Known, tuple[str, str]]] = {}
    for figure, judge, words in found:
        if judge is None:
            figures.append(figure)
        elif judge[0] is None or judge[1] is None:
            figures.append(replace(figure, said=TOO_FEW))
        else:
            judges[len(figures)] = (judge[0], judge[1], words)
            figures.append(replace(figure, chance=judge[0].chance(judge[1])))
    held = noise.beyond_chance([figures[at].chance or 0.0 for at in judges])
    # All chances that hold are below this, and all others above it.
    level = noise.LEVEL / max(1, held.count(False))
    for (at, (first, second, words)), beyond in zip(judges.items(), held, strict=True):
        figure = replace(figures[at], noise=first.reach(second, level))
        known = max(first.resolution, second.resolution)
        figures[at] = replace(figure, said=_said(figure, beyond, known, words))
    return figures


def _said(figure: Figure, beyond: bool, known: float, words: tuple[str, str]) -> str:
    """What is said of a figure; below `known` nothing can be told apart, however certain it is."""
    if beyond:
        return words[0] if (figure.difference or 0.0) > 0 else words[1]
    reach = figure.noise or 0.0
    return UNCERTAIN if reach > max(known, abs(figure.first or 0.0) * UNSURE) else WITHIN


def _names(sides: tuple[Side, Side], of: Callable[[Side], Iterable[str]]) -> list[str]:
    return sorted({name for side in sides for name in of(side)})


def _counted(name: str) -> Callable[[Tally], float]:
    return lambda tally: tally.counters.get(name, 0)


def _let_through(name: str) -> Callable[[Tally], float]:
    return lambda tally: tally.throttles.get(name, {}).get("executions", 0)
