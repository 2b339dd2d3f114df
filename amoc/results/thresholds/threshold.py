"""Thresholds: pass/fail criteria for a run, such as ``crashes == 0``. Pure.

    message_ttd.p99 < 200ms
    messages_sent.rate > 900/s
    login.failures < 1%
    crashes == 0

A threshold is a measure (`amoc.results.thresholds.measure`) or a ratio of two, an operator, and a
limit with its unit. `parse` rejects what is nonsense judging by the text alone; `misfits` finds
what does not fit the declared metrics. Values are compared exactly; `value_text` is rounded, but
never across the limit.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import Enum
from math import floor, log10
from typing import NamedTuple

from amoc.base.errors import UsageError, value_error_as
from amoc.metrics.area import Kind
from amoc.results.series import Tally
from amoc.results.summary_types import ThresholdPart
from amoc.results.thresholds.measure import Known, Measure, NoValue, Trend, Unit, has_any_name
from amoc.results.thresholds.measure import parse as parse_measure

COMMAND_LINE = "--expect"
"""The `source` of a threshold given on the command line."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SCALES: dict[Unit, dict[str, Decimal]] = {
    Unit.TIME: {
        "ns": Decimal("1e-9"),
        "us": Decimal("1e-6"),
        "µs": Decimal("1e-6"),  # the micro sign, and the Greek letter that looks the same
        "μs": Decimal("1e-6"),
        "ms": Decimal("1e-3"),
        "s": Decimal(1),
        "m": Decimal(60),
        "min": Decimal(60),
        "h": Decimal(3600),
    },
    Unit.RATE: {"/s": Decimal(1), "/min": 1 / Decimal(60), "/h": 1 / Decimal(3600)},
    Unit.SHARE: {"%": Decimal("0.01")},
}
# A name may contain an operator, so the last one counts.
_WHOLE = re.compile(r"(.*[^<>=!])([<>=!]+)([^<>=!]*)")
_LIMIT = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(%|/?\s*[a-zµμ]+)?", re.IGNORECASE)
_DIGITS = 3
_MAX_DIGITS = 17
MAX_CHARACTERS = 1_000


class Outlook(Enum):
    """Whether a threshold that is not met can still pass while the run goes on."""

    LOST = 1
    """It cannot: a count is above its limit."""
    OPEN = 2
    """It may go either way."""
    PENDING = 3
    """It is too early to say: a count has not reached its limit yet."""


class Result(NamedTuple):
    """The outcome of a threshold.

    Attributes:
        passed: Whether it was met.
        value: In seconds, per second, or as counted; None without a sample.
        value_text: The value, formatted for people.
        reason: Why it failed, in one line; empty if it passed.
    """

    passed: bool
    value: float | None
    value_text: str
    reason: str


class Threshold(NamedTuple):
    """A pass/fail criterion for one measure of a run.

    Attributes:
        text: As it was written, with single spaces.
        source: Where it was written, for people.
        measure: The value to compare.
        divisor: The measure that it is divided by; None unless it is a ratio.
        comparison: A Python operator.
        limit: The limit in seconds, per second, or as a number.
        limit_text: As it was written.
        unit: The suffix of `limit_text`; empty if it has none.
    """

    text: str
    source: str
    measure: Measure
    divisor: Measure | None
    comparison: str
    limit: float
    limit_text: str
    unit: str

    @property
    def subject(self) -> str:
        """The left-hand side, as it was written."""
        return f"{self.measure.text} / {self.divisor.text}" if self.divisor else self.measure.text

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measure, or the two of a ratio."""
        return (self.measure, self.divisor) if self.divisor is not None else (self.measure,)

    def evaluate(self, window: Tally, known: Known | None = None) -> Result:
        """Return the result for `window`. Without a sample, the threshold is not met.

        Args:
            window: The sum of the points that count.
            known: The declared metrics and their kinds. A counter among them that counted nothing
                is 0; one that is not declared is most likely misspelt.
        """
        must = f"{self.subject} must be {self.comparison} {self.limit_text}"
        try:
            value = self._value(window, known or {})
        except NoValue as error:
            return Result(False, None, "no sample", f"{must}, but {error} (from {self.source})")
        text = self.shown(value)
        if self.meets(value):
            return Result(True, value, text, "")
        return Result(False, value, text, f"{must}, got {text} (from {self.source})")

    def meets(self, value: float) -> bool:
        """Return whether a value meets the threshold."""
        return _OPERATORS[self.comparison](value, self.limit)

    def outlook(self, value: float, known: Known) -> Outlook:
        """Return whether a value that fails the threshold can still pass while the run goes on."""
        trend = self.measure.trend(known) if self.divisor is None else Trend.FREE
        if trend is Trend.FREE:
            return Outlook.OPEN
        if self.comparison == "==":
            passed_by = value > self.limit if trend is Trend.GROWS else value < self.limit
            return Outlook.LOST if passed_by else Outlook.PENDING
        onward = (">", ">=", "!=") if trend is Trend.GROWS else ("<", "<=", "!=")
        return Outlook.PENDING if self.comparison in onward else Outlook.LOST

    def _value(self, window: Tally, known: Known) -> float:
        value = self.measure.value(window, known)
        if self.divisor is None:
            return value
        divisor = self.divisor.value(window, known)
        if not divisor:
            raise NoValue(f"{self.divisor.text} is 0")
        return value / divisor

    def shown(self, value: float) -> str:
        """Format `value` for people: short, but on the same side of the limit as the value."""
        if isinstance(value, int):
            return str(value)
        suffix, scale = self._scale_for(value)
        text = ""
        for digits in range(_DIGITS, _MAX_DIGITS + 1):
            text = _rounded(value / float(scale), digits)
            again = float(Decimal(text) * scale)
            if all(compare(again, self.limit) == compare(value, self.limit) for compare in _SIDES):
                break
        return f"{text}{suffix}"

    def _scale_for(self, value: float) -> tuple[str, Decimal]:
        """Return the unit for `value`: durations choose their own, all others use the limit's."""
        if self.unit in _SCALES[Unit.TIME]:
            unit = "µs" if abs(value) < 1e-3 else "ms" if abs(value) < 1 else "s"
            return f" {unit}", _SCALES[Unit.TIME][unit]
        for unit, scales in ((self.unit, _SCALES[kind]) for kind in (Unit.RATE, Unit.SHARE)):
            if unit in scales:
                return unit, scales[unit]
        return "", Decimal(1)


_SIDES = (operator.lt, operator.gt)


def parse(text: str, source: str = COMMAND_LINE) -> Threshold:
    """Parse a threshold.

    Args:
        text: Such as ``message_ttd.p99 < 200ms``.
        source: Where it was written, for people.

    Raises:
        ValueError: It is invalid; the message names the threshold, the rule and the source.
    """
    plain = " ".join(str(text).split())
    with value_error_as(ValueError, f"threshold {plain[:100]!r}: ", f" (from {source})"):
        if len(plain) > MAX_CHARACTERS:
            raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
        return _parse(plain, source)


def _parse(text: str, source: str) -> Threshold:
    found = _WHOLE.fullmatch(text)
    if found is None or not found[1].strip() or not found[3].strip():
        raise ValueError("expected METRIC OPERATOR LIMIT, as in message_ttd.p99 < 200ms")
    subject, comparison, limit_text = (part.strip() for part in found.groups())
    if comparison not in _OPERATORS:
        hint = "; equality is ==" if comparison == "=" else ""
        raise ValueError(f"expected one of < <= > >= == !=, got {comparison}{hint}")
    limit, unit, fitting = _parse_limit(limit_text)
    first, slash, second = _ratio(subject)
    if slash:
        if Unit.SHARE not in fitting:
            raise ValueError(f"{subject} is {Unit.SHARE.value}, but the limit is {limit_text}")
        measure, divisor = (_count(part) for part in (first, second))
    else:
        measure, divisor = parse_measure(subject), None
        with value_error_as(ValueError, "", f", but the limit is {limit_text}"):
            measure = measure.share_or_count(*fitting)
    threshold = Threshold(text, source, measure, divisor, comparison, limit, limit_text, unit)
    _check_sense(threshold)
    return threshold


def _ratio(subject: str) -> tuple[str, str, str]:
    """Split a ratio at its slash. A slash without spaces around it is part of a name."""
    slashes = [found.start() for found in re.finditer(" / ", subject)]
    if has_any_name(subject) or not slashes:
        return subject, "", ""
    ends = (at for at in slashes if has_any_name(subject[:at]))
    at = next(ends, slashes[0])
    return subject[:at], "/", subject[at + 3 :]


def _count(text: str) -> Measure:
    """Parse one side of a ratio."""
    with value_error_as(ValueError, "a ratio must be one of two counts, but "):
        if " / " in text and not has_any_name(text):
            raise ValueError(f"{text!r} is a ratio itself")
        return parse_measure(text).compared_with(Unit.COUNT)


def _parse_limit(text: str) -> tuple[float, str, tuple[Unit, ...]]:
    """Return the limit in base units, its suffix, and the units it can be compared with."""
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ValueError(f"the limit must be a number, with or without a unit, got {text!r}")
    number, suffix = Decimal(found[1]), (found[2] or "").replace(" ", "").lower()
    if not suffix:
        limit = float(number)
        whole = int(limit) if limit.is_integer() else limit
        return whole, "", (Unit.COUNT, Unit.FIGURE, Unit.SHARE)
    for unit, scales in _SCALES.items():
        if suffix in scales:
            return float(number * scales[suffix]), suffix, (unit,)
    known = " ".join(name for scales in _SCALES.values() for name in scales if name != "μs")
    raise ValueError(f"the unit of the limit must be one of {known}, got {suffix}")


def _check_sense(one: Threshold) -> None:
    """Reject thresholds that pass in every run, or in none.

    Raises:
        ValueError: The threshold is one of them.
    """
    units = set(one.measure.units.values()) if one.divisor is None else {Unit.SHARE}
    equality = one.comparison in ("==", "!=")
    if equality and one.limit and units & {Unit.TIME, Unit.RATE}:
        raise ValueError(
            f"{one.subject} is measured, not counted, so never exactly {one.limit_text}; use < or >"
        )
    if Unit.FIGURE in units and None not in one.measure.units:
        return  # a gauge may be below zero, and a bare name may be a gauge
    below = one.limit < 0
    if below or (one.limit == 0 and one.comparison in ("<", ">=")):
        always = one.comparison in (">", ">=", "!=")
        raise ValueError(
            f"{one.subject} is never below 0, so this passes in {'every' if always else 'no'} run"
        )
    if units == {Unit.COUNT} and equality and one.limit != int(one.limit):
        raise ValueError(f"{one.subject} is a whole number, so it is never {one.limit_text}")


def gather(*given: tuple[str, Sequence[str]]) -> list[Threshold]:
    """Parse all thresholds of a run; returns them in order, without duplicates.

    Args:
        given: Names of sources, and the texts from each. Of duplicates, the first source is named.

    Raises:
        UsageError: Some are invalid; one line for each.
    """
    found: dict[str, Threshold] = {}
    problems = []
    for source, texts in given:
        for text in texts:
            try:
                one = parse(text, source)
            except ValueError as error:
                problems.append(str(error))
            else:
                found.setdefault(one.text.replace(" ", ""), one)
    if problems:
        raise UsageError("\n".join(problems))
    return list(found.values())


def of_run(given: Sequence[str], declared: Sequence[str], scenario: str) -> list[Threshold]:
    """Parse all thresholds of a run; returns them in order, without duplicates.

    Args:
        given: The thresholds of the command line.
        declared: Those of the scenario.
        scenario: The scenario's name; empty if it is unknown.

    Raises:
        UsageError: Some are invalid; one line for each.
    """
    return gather((COMMAND_LINE, given), (f"scenario {scenario}".rstrip(), declared))


def misfits(thresholds: Iterable[Threshold], known: Known) -> tuple[list[str], list[str]]:
    """Find thresholds that do not fit the metrics declared before users start.

    Args:
        thresholds: The thresholds of the run.
        known: The metrics declared so far; users may declare more.

    Returns:
        Errors and warnings, one line each.
    """
    wrong, doubtful = [], []
    for one in thresholds:
        for measure in one.measures:
            begin, end = f"threshold {one.text!r}: ", f" (from {one.source})"
            if misfit := measure.misfit(known) or _nonsense_of_kind(one, known):
                wrong.append(f"{begin}{misfit}{end}")
            elif close := measure.resembles(known):
                doubtful.append(
                    f"{begin}no metric {measure.name} is declared yet; did you mean {close}?{end}"
                )
    return wrong, doubtful


def _nonsense_of_kind(one: Threshold, known: Known) -> str:
    """Return why it makes no sense, now that the kind of metric behind a bare name is known."""
    kind = known.get(one.measure.name)
    if one.divisor is not None or kind not in one.measure.units:
        return ""
    try:
        _check_sense(one._replace(measure=one.measure.compared_with(one.measure.units[kind])))
    except ValueError as error:
        return str(error)
    return ""


def known_of(declared: Iterable[tuple[str, int]]) -> dict[str, Kind]:
    """Return names and kinds as in `messages.lifecycle.Ready` and on a board, without crashes."""
    kinds = ((name, Kind(kind)) for name, kind in declared)
    return {name: kind for name, kind in kinds if kind is not Kind.CRASH}


def to_json(threshold: Threshold, result: Result) -> ThresholdPart:
    """Return threshold and result as in the summary."""
    return {
        "expression": threshold.text,
        "source": threshold.source,
        "passed": result.passed,
        "value": result.value,
        "value_text": result.value_text,
        "reason": result.reason,
    }


def _rounded(value: float, digits: int) -> str:
    """Round to `digits` digits, but keep all of those before the decimal point."""
    if not value:
        return "0"
    if not 1e-6 < abs(value) < 1e15:
        return f"{value:.{digits}g}"
    places = max(0, digits - 1 - floor(log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
