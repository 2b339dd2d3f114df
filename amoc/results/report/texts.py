"""Formats numbers, times and foreign text for a page. Pure."""

from __future__ import annotations

from math import floor, log10

from amoc.base.clock import format_duration
from amoc.base.text import counted
from amoc.results.step_rows import NO_VALUE

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def clip(text: object, most: int = 300) -> str:
    """Shorten `text` to at most `most` characters, keeping its beginning."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def figure(value: float | None, unit: str = "") -> str:
    """Format a value with its unit, as in `amoc.results.report.charts.Chart`."""
    if value is None:
        return NO_VALUE
    if unit == "s":
        return format_duration(value)
    if unit == "%":
        return f"{100 * value:.3g} %"
    if unit == "B":
        return size(value)
    return f"{number(value)}{unit}"


def number(value: float | None) -> str:
    """Format a number: without decimals if it is large, otherwise with four digits."""
    if value is None:
        return NO_VALUE
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def shortened(value: float | None) -> float | None:
    """Round `value` to four digits, which is precise enough for a mean."""
    return None if value is None else float(f"{value:.4g}")


def times(count: int) -> str:
    """Format how often something happened: ``1 time``, ``17 times``."""
    return counted(count, "time")


def worker(node: str, index: int) -> str:
    """Return the name of a worker, as used by `amoc.results.generator_health`."""
    return f"worker {index} of {clip(node, 40)}"


def size(value: float) -> str:
    """Format a number of bytes."""
    power = 0
    while value >= 1024 and power < len(_BYTES) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.3g} {_BYTES[power]}" if value < 999.5 else f"{value:.0f} {_BYTES[power]}"


def moment(t_s: float | None) -> str:
    """Format a time since the first user could start: ``0:31``, ``1:02:05``."""
    if t_s is None:
        return NO_VALUE
    sign, rest = ("-", -t_s) if t_s < 0 else ("", t_s)
    minutes, seconds = divmod(round(rest), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if hours else f"{sign}{minutes}:{seconds:02}"


def difference(
    first: float | None, second: float | None, unit: str, exact: bool = False
) -> tuple[str, str]:
    """Format the change from `first` to `second`, absolute and relative: ``+3 ms``, ``+12.3 %``.

    Args:
        first: The old value.
        second: The new value.
        unit: The unit of both.
        exact: Format a change even if it is below the digits shown; otherwise it is left empty.
    """
    if first is None or second is None or first == second:
        return "", ""
    step = _last_digit(max(abs(first), abs(second)), unit)
    apart = second - first if exact else round((second - first) / step) * step
    if not apart:
        return "", ""
    sign = "+" if apart > 0 else "-"
    share = _share((second - first) / abs(first)) if first else ""
    return f"{sign}{_between(abs(apart), unit)}", share


def around(noise: float | None, value: float | None, unit: str) -> str:
    """Format the noise of a value: ``± 3 ms``; no more than two digits of it are meaningful.

    Noise below the digits in which the value is shown becomes 0.
    """
    if noise is None or value is None:
        return ""
    if noise < _last_digit(abs(value), unit) / 2:
        return "± 0"
    return f"± {_between(float(f'{noise:.2g}'), unit)}"


def _last_digit(value: float, unit: str) -> float:
    """Return the weight of the last digit in which `figure` shows a value."""
    digits = 3 if unit in ("s", "%", "B") else 4
    least = 10.0 ** (floor(log10(value)) + 1 - digits) if value else 0.0
    return least if unit in ("%", "B") else min(1.0, least)


def _between(difference: float, unit: str) -> str:
    """Format a difference with its unit; differences between shares are in percentage points."""
    if unit != "%":
        return figure(difference, unit)
    points = float(f"{100 * difference:.3g}")
    return f"{number(points)} {'point' if points == 1 else 'points'}"


def _share(relative: float) -> str:
    percent = 100 * relative
    if abs(percent) < 0.05:
        return f"{percent:+.1g} %"
    return f"{percent:+,.0f} %" if abs(percent) >= 100 else f"{percent:+.1f} %"
