"""Compare two files of results, figure by figure: ratios and their spread. Pure.

A file has, for each program, the values of each figure in each round. The ratio of two figures is
the median of the ratios of all pairs of values, and its spread is the range of these. If that
includes 1, the rounds do not distinguish the two. No verdict is given, because a figure does not
say whether more is better, nor what else the machine was doing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any, NamedTuple

FORMAT = 1


class Ratio(NamedTuple):
    """A ratio of two figures, with its spread."""

    middle: float
    least: float
    most: float


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Return `after` / `before`; None if a value of `before` is 0 and there is no ratio."""
    if not before or not after or not all(before):
        return None
    found = sorted(new / old for old, new in product(before, after))
    return Ratio(median(found), found[0], found[-1])


def joined(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file with the values of further rounds added, for versions measured alternately.

    Raises:
        ValueError: They are not of the same version, machine and arguments.
    """
    if before["version"] != more["version"]:
        raise ValueError(f"it is of {before['version']}, and this of {more['version']}")
    if found := [*unlike(before, more)]:
        raise ValueError(found[0])
    programs = dict(before["programs"])
    for name, new in more["programs"].items():
        old = programs.get(name, {**new, "exit_codes": [], "failed": False, "figures": {}})
        figures = {key: {**one, "values": [*one["values"]]} for key, one in old["figures"].items()}
        for key, one in new["figures"].items():
            figures.setdefault(key, {**one, "values": []})["values"].extend(one["values"])
        programs[name] = {
            **old,
            "exit_codes": [*old["exit_codes"], *new["exit_codes"]],
            "failed": old["failed"] or new["failed"],
            "figures": figures,
        }
    return {**before, "load": [before["load"][0], more["load"][1]], "programs": programs}


def unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield the other differences between two files, which may explain differing figures."""
    for name in sorted({*before["machine"], *after["machine"]}):
        old, new = before["machine"].get(name, "?"), after["machine"].get(name, "?")
        if old != new:
            yield f"{name}: {old} before, {new} after"
    for name in _shared(before, after):
        old, new = (one["programs"][name]["arguments"] for one in (before, after))
        if old != new:
            yield f"{name}: arguments {_in_words(old)} before, {_in_words(new)} after"


def _failures(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for which, one in (("before", before), ("after", after)):
        for name, program in one["programs"].items():
            if program["failed"]:
                yield f"{name} failed {which}, so its figures mean nothing"


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comparison of two files as lines of text."""
    for which, one in (("before", before), ("after", after)):
        begin, end = one["load"]
        yield f"{which}: {one['version']}, {one['at']}, load {begin:.1f} to {end:.1f}"
    for line in unlike(before, after):
        yield f"not the same: {line}"
    yield from _failures(before, after)
    for name in _shared(before, after):
        old, new = (one["programs"][name]["figures"] for one in (before, after))
        both = [figure for figure in old if figure in new]
        yield ""
        yield f"{name:<44}{'before':>12}{'after':>12}{'':8}{'ratio':>7}  spread"
        for figure in both:
            yield _line(figure, old[figure], new[figure])
        for figure in sorted({*old} ^ {*new}):
            yield f"  {figure}: {'before' if figure in old else 'after'} only"
    for name in sorted({*before["programs"]} ^ {*after["programs"]}):
        yield f"\n{name}: {'before' if name in before['programs'] else 'after'} only"


def _in_words(arguments: Sequence[str]) -> str:
    return " ".join(arguments) or "none"


def _shared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in before["programs"] if name in after["programs"]]


def _line(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    found = ratio(old["values"], new["values"])
    shown = (
        "      -"
        if found is None
        else f"{found.middle:7.2f}  {found.least:.2f} to {found.most:.2f}"
    )
    values = (median(old["values"]), median(new["values"]))
    count = f"{len(old['values'])} and {len(new['values'])} values"
    return f"  {name:<42}{values[0]:>12,.4g}{values[1]:>12,.4g} {new['unit']:<7}{shown}  ({count})"
