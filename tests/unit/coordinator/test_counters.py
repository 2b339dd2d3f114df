"""Counters of coordinators: each is documented, and each event has one."""

from __future__ import annotations

import re
from pathlib import Path

from amoc.coordinator.counters import OF_EVENT, Barriers
from amoc.coordinator.plan import COORDINATE, KINDS
from amoc.metrics.coordinator_counts import Counted

PAGE = (Path(__file__).parents[3] / "docs/coordinator.md").read_text()


def test_the_docs_list_exactly_the_existing_counters() -> None:
    rows = re.findall(r"^\| (`(?:coordinator\.NAME|barriers)\.[^|]*) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"[.…](\w+)`", row)}
    assert named == {*Counted, *Barriers}


def test_every_event_but_a_complete_group_has_its_counter() -> None:
    assert set(OF_EVENT) == set(KINDS) - {COORDINATE}
