"""The feeds that a scenario has declared in this process; workers find them as they were forked.

A feed is known by its name over the whole run. Of modules that were replaced since, as tests do
when they load one scenario after the other, feeds are passed over.
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
"""The controller's operation that takes the declaration of a feed."""


class _Declared(NamedTuple):
    feed: Feed
    module: str
    file: str
    line: int
    scenario: str
    """Whose file has declared it, of several that run together; empty where nobody else can."""


_said: list[_Declared] = []


def add(feed: Feed, caller: FrameType) -> None:
    """Note a feed that code in the frame `caller` has declared."""
    module, file = caller.f_globals.get("__name__", ""), caller.f_code.co_filename
    facts = context.find(RunFacts)
    scenario = facts.scenario if facts is not None else ""
    if scenario and Path(scenario).resolve() != Path(file):
        scenario = ""  # a module that all of them may import
    _said.append(_Declared(feed, module, file, caller.f_lineno, scenario))


def declared() -> list[Feed]:
    """The feeds of the modules that are there."""
    return [one.feed for one in _of_present_modules()]


def _of_present_modules() -> Iterator[_Declared]:
    for one in _said:
        module = sys.modules.get(one.module)
        if module is not None and getattr(module, "__file__", None) in (one.file, None):
            yield one


def calls() -> list[tuple[str, tuple[object, ...]]]:
    """What the controller must be asked for, so that it deals the feeds; as init() notes calls.

    Raises:
        ScenarioError: Two feeds have one name, or there are too many.
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
    """Within the block there are no feeds but those declared in it: for tests."""
    global _said
    before, _said = _said, []
    try:
        yield
    finally:
        _said = before
