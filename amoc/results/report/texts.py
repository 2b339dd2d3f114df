"""Numbers, times and foreign text as a page shows them. Pure."""

from __future__ import annotations

from math import floor, log10

from amoc.base.clock import format_duration
from amoc.base.text import counted

NO_VALUE = "–"
"""Stands where there is no value."""
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def clip(text: object, most: int = 300) -> str:
    """`text` in at most so many characters; what is longer keeps its beginning."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def figure(value: float | None, unit: str = "") -> str:
    """A value with its unit, as in `amoc.results.report.charts.Chart`."""
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
    """A number: whole if it is large, else to four digits."""
    if value is None:
        return NO_VALUE
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def shortened(value: float | None) -> float | None:
    """`value` to four digits, as a mean deserves."""
    return None if value is None else float(f"{value:.4g}")


def times(count: int) -> str:
    """How often: ``1 time``, ``17 times``."""
    return counted(count, "time")


def worker(node: str, index: int) -> str:
    """What a worker is called, as `amoc.results.generator_health` does."""
    return f"worker {index} of {clip(node, 40)}"


def size(value: float) -> str:
    """A number of bytes."""
    power = 0
    while value >= 1024 and power < len(_BYTES) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.3g} {_BYTES[power]}" if value < 999.5 else f"{value:.0f} {_BYTES[power]}"


def moment(t_s: float | None) -> str:
    """A time since the first user could start: ``0:31``, ``1:02:05``."""
    if t_s is None:
        return NO_VALUE
    sign, rest = ("-", -t_s) if t_s < 0 else ("", t_s)
    minutes, seconds = divmod(round(rest), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02}:{seconds:02}" if hours else f"{sign}{minutes}:{seconds:02}"


def difference(
    first: float | None, second: float | None, unit: str, exact: bool = False
) -> tuple[str, str]:
    """By how much `second` is above `first`, and that as a share of it: ``+3 ms``, ``+12.3 %``.

    Args:
        first: What is compared with.
        second: What is compared.
        unit: Of both.
        exact: Also where it is beyond the digits in which both are shown; else nothing is said.
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
    """The noise of a value: ``± 3 ms``; it is not known well enough for more than two digits.

    What is beyond the digits in which the value is shown is 0.
    """
    if noise is None or value is None:
        return ""
    if noise < _last_digit(abs(value), unit) / 2:
        return "± 0"
    return f"± {_between(float(f'{noise:.2g}'), unit)}"


def _last_digit(value: float, unit: str) -> float:
    """How much the last digit is worth in which `figure` shows a value."""
    digits = 3 if unit in ("s", "%", "B") else 4
    least = 10.0 ** (floor(log10(value)) + 1 - digits) if value else 0.0
    return least if unit in ("%", "B") else min(1.0, least)


def _between(difference: float, unit: str) -> str:
    """A difference with its unit; between shares it is one of points."""
    if unit != "%":
        return figure(difference, unit)
    points = float(f"{100 * difference:.3g}")
    return f"{number(points)} {'point' if points == 1 else 'points'}"


def _share(relative: float) -> str:
    percent = 100 * relative
    if abs(percent) < 0.05:
        return f"{percent:+.1g} %"
    return f"{percent:+,.0f} %" if abs(percent) >= 100 else f"{percent:+.1f} %"
