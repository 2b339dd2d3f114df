"""Two runs side by side: differences in their setup, and changes of their metrics.

Metrics cover each run's steady state: the seconds after its warm-up in which it was running.
Metrics whose noise can be estimated are tested (`amoc.results.compare.noise`), all of them
together; a single value, such as a maximum, is shown and not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from amoc.base.text import counted
from amoc.metrics import reserved
from amoc.metrics.histogram import Histogram
from amoc.metrics.timer_statistics import FRACTIONS, MAIN
from amoc.results import counts
from amoc.results.compare import noise, quantile_test, setup
from amoc.results.compare.noise import Estimated, SteadyState
from amoc.results.report.run_annotations import Interruptions
from amoc.results.saved_run import SavedRun
from amoc.results.series import GONE, Tally
from amoc.results.stretch import CPU
from amoc.results.summary_types import RunPart
from amoc.scenario.start_rate import USER_RATE

WITHIN = "within noise"
INCONCLUSIVE = "inconclusive"
TOO_FEW = "too few samples"
NOT_TESTED = ""
MAX_NOISE = 0.5
"""As a share of A; with more noise, a change that matters may go unnoticed."""
_SLOWER, _MORE, _HIGHER = ("slower", "faster"), ("more", "fewer"), ("higher", "lower")


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        label: ``A`` or ``B``.
        record: The saved run.
        warmup_s: The time excluded at its beginning.
        interruptions: When it was paused, when nodes were late, and where it ends.
        steady: The sums of its steady state.
    """

    label: str
    record: SavedRun
    warmup_s: float
    interruptions: Interruptions
    steady: SteadyState

    @property
    def tally(self) -> Tally:
        """The sum of the steady state."""
        return self.steady.whole

    @property
    def run(self) -> RunPart:
        """The run's part of its summary."""
        return self.record.summary["run"]


@dataclass(frozen=True)
class Metric:
    """A statistic of a metric in both runs.

    Attributes:
        kind: ``counters``, ``timers`` and so on.
        name: The metric's name.
        statistic: ``rate``, ``p99`` and so on.
        unit: As in `amoc.results.report.charts.Chart`.
        first: The value in run A; None if it has none.
        second: The value in run B.
        result: ``slower``, ``within noise`` and the like; empty if it is not tested.
        p_value: The probability of so large a difference between runs of the same system; None if
            it is not tested.
        noise: The smallest significant difference; None if it is not tested.
    """

    kind: str
    name: str
    statistic: str
    unit: str
    first: float | None
    second: float | None
    result: str = NOT_TESTED
    p_value: float | None = None
    noise: float | None = None

    @property
    def difference(self) -> float | None:
        """How much B is above A."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def relative(self) -> float | None:
        """The difference as a share of A; None if A is 0."""
        return self.difference / abs(self.first) if self.difference and self.first else None

    @property
    def significant(self) -> bool:
        """Whether the difference is greater than the noise."""
        return self.result not in (WITHIN, INCONCLUSIVE, TOO_FEW, NOT_TESTED)

    @property
    def tone(self) -> str:
        """Whether the change is ``good``, ``bad`` or in ``doubt``; empty if there is none."""
        if self.result == "faster":
            return "good"
        if self.result == "slower" or (self.kind == "crashes" and self.result == "more"):
            return "bad"
        return "doubt" if self.significant else ""

    def to_json(self) -> dict[str, object]:
        """Return the metric for programs."""
        shares = {"difference": self.difference, "relative": self.relative}
        return {**vars(self), **shares, "significant": self.significant}


@dataclass(frozen=True)
class Comparison:
    """The comparison of two runs.

    Attributes:
        sides: The runs, A and B.
        setup: Differences in settings, versions and how they were run.
        metrics: Metrics of the target.
        generator: Metrics of amoc itself: lateness, CPU.
    """

    sides: tuple[Side, Side]
    setup: Sequence[setup.Difference]
    metrics: Sequence[Metric]
    generator: Sequence[Metric]

    @property
    def all_metrics(self) -> list[Metric]:
        """The metrics of the target, then those of amoc itself."""
        return [*self.metrics, *self.generator]

    @property
    def significant(self) -> list[Metric]:
        """The metrics that changed by more than their noise."""
        return [one for one in self.all_metrics if one.significant]

    @property
    def tested(self) -> int:
        """The number of metrics that were tested."""
        return sum(1 for one in self.all_metrics if one.p_value is not None)

    def conclusion(self) -> str:
        """Return the result of the comparison in a sentence."""
        if not self.tested:
            return "too few seconds of data to compare the runs"
        count = len(self.significant)
        inconclusive = sum(1 for one in self.all_metrics if one.result == INCONCLUSIVE)
        said = f"{count or 'none'} of {counted(self.tested, 'metric')} changed significantly"
        return f"{said}; {inconclusive} inconclusive" if inconclusive else said

    def to_json(self) -> dict[str, object]:
        """Return the comparison for programs."""
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
            "setup": [vars(one) for one in self.setup],
            "metrics": [one.to_json() for one in self.all_metrics],
        }


def compare(first: SavedRun, second: SavedRun, warmup_s: float | None = None) -> Comparison:
    """Compare two runs.

    Args:
        first: Run A.
        second: Run B.
        warmup_s: The time to exclude at the beginning of both; None: each run's own warm-up.
    """
    sides = _side("A", first, warmup_s), _side("B", second, warmup_s)
    target = [*_target(sides)]
    metrics = _tested([*target, *_generator(sides)])
    return Comparison(
        sides, setup.differences(first, second), metrics[: len(target)], metrics[len(target) :]
    )


def _side(label: str, record: SavedRun, warmup_s: float | None) -> Side:
    if warmup_s is None:
        warmup_s = float(record.summary["run"].get("warmup_s") or 0.0)
    interruptions = Interruptions()
    steady = SteadyState.of(record.points, warmup_s, interruptions.add)
    return Side(label, record, warmup_s, interruptions, steady)


# Metrics

_Estimates = tuple[Estimated | None, Estimated | None]
_Found = tuple[Metric, _Estimates | None, tuple[str, str]]
"""A metric, its estimates in each run if it is to be tested, and the words for more and less."""


def _target(sides: tuple[Side, Side]) -> Iterator[_Found]:
    yield from _users(sides)
    yield from _crashes(sides)
    for name in _names(sides, lambda side: side.tally.counters):
        yield _rate(sides, "counters", name, counts.counter(name))
    for name in _names(sides, lambda side: side.tally.timers):
        if name not in reserved.TIMERS:
            yield from _timer(sides, name, _SLOWER)
    for name in _names(sides, lambda side: side.tally.throttles.keys() - {USER_RATE}):
        yield from _throttle(sides, name)
    for name in _names(sides, lambda side: side.tally.last.gauges if side.tally.last else ()):
        yield _mean(sides, "gauges", name, "")


def _generator(sides: tuple[Side, Side]) -> Iterator[_Found]:
    for name in reserved.TIMERS:
        if any(name in side.tally.timers for side in sides):
            yield from _timer(sides, name, _HIGHER)
    own = ("workers", "controller")
    used = _names(sides, lambda side: {name for kind, name, _ in side.steady.levels if kind == CPU})
    for name in (*own, *(one for one in used if one not in own)):
        yield _mean(sides, CPU, name, "%")


def _users(sides: tuple[Side, Side]) -> Iterator[_Found]:
    yield _mean(sides, "users", "running", "")
    for name in ("started", *GONE, "not_started", "restarted", "peak"):
        totals = [float(side.record.summary.get("users", {}).get(name, 0)) for side in sides]
        if any(totals):
            yield Metric("users", name, "total", "", totals[0], totals[1]), None, _MORE


def _crashes(sides: tuple[Side, Side]) -> Iterator[_Found]:
    causes = _names(sides, lambda side: side.tally.crashes)
    if causes:
        yield _rate(sides, "crashes", "all", counts.all_crashes)
    for cause in causes:
        totals = [float(side.tally.crashes.get(cause, 0)) for side in sides]
        yield Metric("crashes", cause, "total", "", totals[0], totals[1]), None, _MORE


def _throttle(sides: tuple[Side, Side], name: str) -> Iterator[_Found]:
    if not any(side.tally.at_throttle(name).requests for side in sides):
        return
    yield _rate(sides, "throttles", name, counts.throttle(name, "executions"), "executions")
    yield _mean(sides, "throttles", name, "/s", "target rate")
    yield _mean(sides, "throttles", name, "", "waiting")
    missed = [float(side.tally.at_throttle(name).missed) for side in sides]
    if any(missed):
        yield Metric("throttles", name, "missed", "", missed[0], missed[1]), None, _MORE


def _timer(sides: tuple[Side, Side], name: str, words: tuple[str, str]) -> Iterator[_Found]:
    whole = [side.tally.timers.get(name, Histogram()) for side in sides]
    sizes = [float(one.count) for one in whole]
    yield Metric("timers", name, "count", "", sizes[0], sizes[1]), None, _MORE
    first, second = (quantile_test.percentiles(side.steady, name, FRACTIONS) for side in sides)
    for at, one in enumerate(MAIN):
        values = [timer.quantiles_s(one.fraction)[0] if timer.count else None for timer in whole]
        metric = Metric("timers", name, one.label, "s", values[0], values[1])
        yield metric, (first[at], second[at]) if all(sizes) else None, words
    longest = [one.max_ns / 1e9 if one.count else None for one in whole]
    yield Metric("timers", name, "max", "s", longest[0], longest[1]), None, words


def _rate(
    sides: tuple[Side, Side],
    kind: str,
    name: str,
    count: Callable[[Tally], float],
    statistic: str = "rate",
) -> _Found:
    values = [side.tally.per_second(count) for side in sides]
    estimates = noise.rate(sides[0].steady, count), noise.rate(sides[1].steady, count)
    return Metric(kind, name, statistic, "/s", values[0], values[1]), estimates, _MORE


def _mean(
    sides: tuple[Side, Side], kind: str, name: str, unit: str, statistic: str = "mean"
) -> _Found:
    key = (kind, name, statistic)
    means = [noise.mean_of(side.steady.levels, key) for side in sides]
    estimates = noise.mean(sides[0].steady, key), noise.mean(sides[1].steady, key)
    return (
        Metric(kind, name, statistic, unit, means[0], means[1]),
        estimates if None not in means else None,
        _HIGHER,
    )


def _tested(found: Iterable[_Found]) -> list[Metric]:
    """Return the metrics with their results; all that can be tested are tested together."""
    metrics: list[Metric] = []
    tests: dict[int, tuple[Estimated, Estimated, tuple[str, str]]] = {}
    for metric, estimates, words in found:
        if estimates is None:
            metrics.append(metric)
        elif estimates[0] is None or estimates[1] is None:
            metrics.append(replace(metric, result=TOO_FEW))
        else:
            tests[len(metrics)] = (estimates[0], estimates[1], words)
            metrics.append(replace(metric, p_value=estimates[0].p_value(estimates[1])))
    held = noise.holm([metrics[at].p_value or 0.0 for at in tests])
    # All significant p-values are below this, and all others above it.
    level = noise.SIGNIFICANCE / max(1, held.count(False))
    for (at, (first, second, words)), beyond in zip(tests.items(), held, strict=True):
        metric = replace(metrics[at], noise=first.critical_difference(second, level))
        known = max(first.resolution, second.resolution)
        metrics[at] = replace(metric, result=_result(metric, beyond, known, words))
    return metrics


def _result(metric: Metric, beyond: bool, known: float, words: tuple[str, str]) -> str:
    """Return the result of a test; differences below `known` are too small for the metric."""
    if beyond:
        return words[0] if (metric.difference or 0.0) > 0 else words[1]
    needed = metric.noise or 0.0
    return INCONCLUSIVE if needed > max(known, abs(metric.first or 0.0) * MAX_NOISE) else WITHIN


def _names(sides: tuple[Side, Side], of: Callable[[Side], Iterable[str]]) -> list[str]:
    return sorted({name for side in sides for name in of(side)})
