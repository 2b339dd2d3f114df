"""The notation for several scenarios with loads: ``buy.py=10 browse.py=90``. Pure.

A plan holds them as a single text, quoted as for a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import NamedTuple

from amoc.base.clock import parse_rate
from amoc.scenario.mix import whole_weights

MAX_USERS = 1 << 32
JOINS = "+"
"""Separates the names of scenarios that run together."""
_NUMBER = r"[\d.]{1,20}(?:/\w{1,9})?"
_STAGE = rf"[\d.]{{1,20}}\w{{1,9}}:{_NUMBER}"
_PART = re.compile(rf"(.+)=({_NUMBER}|{_STAGE}(?:,\s*{_STAGE}){{0,999}})")
_FORMS = (
    "must each be FILE=LOAD, where LOAD is a number of users, stages such as 30s:100,2m:1000, or an"
    " arrival rate such as 10/s"
)


class Part(NamedTuple):
    """One of several scenarios."""

    source: str
    load: str
    """A number of users or a weight; stages of users; an arrival rate or stages of one."""

    @property
    def is_count(self) -> bool:
        """Whether its load is a constant number of users."""
        return self.load.isdigit()

    @property
    def is_rate(self) -> bool:
        """Whether its load is an arrival rate, or stages of one."""
        return "/" in self.load

    @property
    def users(self) -> int:
        """The constant number of its users, or its weight; 0 for another load."""
        return int(self.load) if self.is_count else 0

    @property
    def name(self) -> str:
        """Its name: the file's without the suffix, or the module's."""
        return name_of(self.source)


def is_path(source: str) -> bool:
    """Return whether `source` means a file rather than a module's name."""
    if parts_of(source):
        return False
    return source.endswith(".py") or "/" in source or Path(source).is_dir()


def name_of(source: str) -> str:
    """Return the scenario's name: the file's without the suffix, or the module's.

    The names of several scenarios are joined by `JOINS`.
    """
    if parts := parts_of(source):
        return JOINS.join(one.name for one in parts)
    return Path(source).stem if is_path(source) else source


def file_names(text: str) -> str:
    """Return one scenario, or several with loads, with files shortened to their names."""
    if parts := parts_of(text):
        return text_of([one._replace(source=file_names(one.source)) for one in parts])
    return Path(text).name if "/" in text else text


def parts_of(text: str) -> tuple[Part, ...]:
    """Return the scenarios of a plan with several; empty if it has only one."""
    if "=" not in text:
        return ()
    try:
        words = shlex.split(text)
    except ValueError:
        return ()
    found = [part_of(one) for one in words]
    if len(found) < 2 or None in found:
        return ()
    return tuple(one for one in found if one is not None)


def part_of(word: str) -> Part | None:
    """Parse a word such as ``buy.py=10``; None if it has another form."""
    match = _PART.fullmatch(word)
    return Part(match[1], match[2].replace(" ", "")) if match is not None else None


def text_of(parts: Sequence[Part]) -> str:
    """Return several scenarios as a single text."""
    return shlex.join(f"{one.source}={one.load}" for one in parts)


def absolute(text: str) -> str:
    """Return several scenarios with absolute paths."""
    return text_of(
        [
            one._replace(source=str(Path(one.source).resolve())) if is_path(one.source) else one
            for one in parts_of(text)
        ]
    )


def with_rate(parts: Sequence[Part]) -> tuple[tuple[Part, ...], str]:
    """Combine scenarios that all have constant arrival rates, ``buy.py=1/s browse.py=90/min``.

    Returns:
        The scenarios with weights instead of rates, and the total rate. Both are empty if some have
        other loads.

    Raises:
        ValueError: A rate is invalid; a clause that follows "scenarios".
    """
    if not parts or any(not one.is_rate or ":" in one.load for one in parts):
        return (), ""
    rates = []
    for one in parts:
        try:
            count, per_s = parse_rate(one.load, 1.0)
        except ValueError:
            count = 0.0
        if not 0 < count < inf:
            raise ValueError(
                f"must each have a rate such as 10/s or 600/min, above 0, got {text_of([one])!r}"
            )
        rates.append(Fraction(repr(count)) / Fraction(repr(per_s)))
    weighted = tuple(
        one._replace(load=str(n)) for one, n in zip(parts, whole_weights(rates), strict=True)
    )
    total = sum(rates, Fraction(0))
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if (total * seconds).denominator == 1:
            return weighted, f"{total * seconds}/{unit}"
    return weighted, f"{float(total):.12g}/s"


def check(words: Sequence[str]) -> tuple[Part, ...]:
    """Parse and check several scenarios given by the operator.

    Raises:
        ValueError: A word is invalid; a clause that follows "scenarios".
    """
    parts: list[Part] = []
    for word in words:
        one = part_of(word)
        if one is None:
            raise ValueError(f"{_FORMS}, got {word!r}")
        if not (one.is_count or ":" in one.load or one.is_rate):
            raise ValueError(f"must have whole numbers of users, got {word!r}")
        if one.is_count and not 1 <= one.users <= MAX_USERS:
            raise ValueError(f"must each have 1 to {MAX_USERS} users, got {word!r}")
        if one.name in [other.name for other in parts]:
            raise ValueError(f"must have different names, got {one.name!r} twice")
        parts.append(one)
    return tuple(parts)
