"""The feeds declared by a scenario in this process; workers inherit them when they are forked.

A feed's name identifies it in the whole run. Feeds of modules that have since been replaced, as in
tests that load several scenarios, are ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from amoc.base import context
from amoc.base.errors import ScenarioError
from amoc.scenario.facts import RunFacts

if TYPE_CHECKING:
    from amoc.feed.feed import Feed

MAX_FEEDS = 1_000
DECLARE = "feed.declare"
"""The controller's operation that declares a feed."""


class _Declared(NamedTuple):
    feed: Feed[object]
    module: str
    file: str
    line: int
    scenario: str
    """The scenario file that declared it, if several run together; empty if it is shared."""


_all: list[_Declared] = []


def add(feed: Feed[object], caller: FrameType) -> None:
    """Register a feed declared by code in the frame `caller`."""
    module, file = caller.f_globals.get("__name__", ""), caller.f_code.co_filename
    facts = context.find(RunFacts)
    scenario = facts.scenario if facts is not None else ""
    if scenario and Path(scenario).resolve() != Path(file):
        scenario = ""  # declared in a module that all of them may import
    _all.append(_Declared(feed, module, file, caller.f_lineno, scenario))


def declared() -> list[Feed[object]]:
    """Return the feeds of all modules currently loaded."""
    return [one.feed for one in _of_present_modules()]


def _of_present_modules() -> Iterator[_Declared]:
    for one in _all:
        module = sys.modules.get(one.module)
        if module is not None and getattr(module, "__file__", None) in (one.file, None):
            yield one


def calls() -> list[tuple[str, tuple[object, ...]]]:
    """Return the calls that declare the feeds to the controller, in the form that init() records.

    Raises:
        ScenarioError: Two feeds have the same name, or there are too many.
    """
    found: dict[str, _Declared] = {}
    for one in _of_present_modules():
        known = found.setdefault(one.feed.name, one)
        if known is not one:
            raise ScenarioError(
                f"feed {one.feed.name} must be declared once, got it in line {known.line} of"
                f" {known.module} and line {one.line} of {one.module}; give one another name="
            )
    if len(found) > MAX_FEEDS:
        raise ScenarioError(f"there can be at most {MAX_FEEDS:,} feeds, got {len(found):,}")
    return [(DECLARE, (*one.feed.declaration, one.scenario)) for one in found.values()]


@contextmanager
def separate() -> Iterator[None]:
    """Hide all feeds not declared within the block, for tests."""
    global _all
    before, _all = _all, []
    try:
        yield
    finally:
        _all = before
