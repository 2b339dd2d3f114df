"""Journals of other versions of amoc: no field that is missing or differs prevents a summary."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from amoc.results.journal_facts import JournalFacts
from amoc.results.report.event_dedup import Deduplication
from amoc.results.report.run_annotations import Interruptions, of_events
from amoc.results.summary import rebuild
from tests.unit.results import runs

MISSING = object()
OTHERS = [
    MISSING,
    None,
    True,
    3,
    -1.5,
    float("nan"),
    10**400,
    "x",
    [],
    [1],
    ["a"],
    {},
    {"a": 1},
    [{"a": 1}],
]
SHARED = {"t_s": 1.0, "at": "2026-11-25T02:00:01.000Z"}
PLAN = {
    "comment": "c", "seed": 4, "users": [1, 11], "warmup_s": 1.0, "thresholds": ["a < 1"],
    "stages": {"text": "10s:5", "start": 1}, "arrivals": {"rate": "2/s", "max_users": 3},
}  # fmt: skip
ENTRIES: list[dict[str, Any]] = [
    {"kind": "run", "id": "1a2b", "scenario": {"source": "chat.py", "name": "chat"}, "plan": PLAN,
     "thresholds": ["b < 1"], "versions": {"amoc": "0.1"}, "started_at": SHARED["at"],
     "settings": [{"name": "base", "module": "chat", "value": "http://127.0.0.1/"}]},
    {"kind": "command", "name": "set", "outcome": "ok", "comment": "c", "answer": {"summary": "x"},
     "arguments": {"values": {"a": 1}, "on_nodes": ["node0"]}},
    {"kind": "metrics", "declared": [["a", 0]]},
    {"kind": "state", "state": "paused"},
    {"kind": "crash", "cause": "OSError", "user_id": 3, "traceback": "…"},
    {"kind": "failure", "step": "buy", "cause": "late", "user_id": 3, "message": "20 s"},
    {"kind": "target", "address": "http://127.0.0.1:8080"},
    {"kind": "blocked", "place": "chat.py:3", "times": 1, "total_ns": 3, "longest_ns": 3,
     "trace": "…"},
    {"kind": "node", "name": "node0", "host": "h1", "id": "", "workers": [0, 1], "state": "lost",
     "reason": "silent", "clock_bound_s": 0.1, "joined_at_s": 0.0, "restarted": 2, "lost": 1},
    {"kind": "event", "level": "warning", "text": "x"},
    {"kind": "end", "duration_s": 3.0, "paused_s": 0.0, "verdict": "ok", "message": "",
     "exit_code": 0, "reasons": ["why"], "notes": ["so"]},
]  # fmt: skip


def changed(entry: dict[str, Any], other: object) -> Iterator[dict[str, Any]]:
    """Yield copies of an entry in which one field, or one in a field, is another value."""
    for name, value in entry.items():
        if name == "kind":
            continue
        rest = {key: deepcopy(one) for key, one in entry.items() if key != name}
        yield rest if other is MISSING else {**rest, name: other}
        if isinstance(value, dict):
            yield from ({**rest, name: one} for one in changed(value, other))


@pytest.mark.parametrize("other", OTHERS, ids=lambda one: str(one)[:20])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda one: one["kind"])
def test_a_summary_is_made_whatever_a_field_contains(entry: dict[str, Any], other: object) -> None:
    for one in changed({**entry, **SHARED}, other):
        journal = [*(known for known in runs.journal(4) if known["kind"] != one["kind"]), one]
        made = rebuild("x", "/runs/x", journal, [], running=False)
        assert made["run"]["verdict"]
        of_events(Deduplication([one, entry]).events, Interruptions())


def test_a_node_keeps_what_it_reported_first() -> None:
    node = next(one for one in ENTRIES if one["kind"] == "node")
    up = {**node, **SHARED, "state": "up", "restarted": 0, "lost": 0, "reason": ""}
    clock = {"kind": "node", "name": "node0", "state": "clock", "clock_bound_s": 0.3}
    lost = {"kind": "node", "t_s": 5.0, "name": "node0", "state": "lost", "reason": "silent"}
    found = JournalFacts.of([up, clock, lost]).nodes["node0"]
    assert found["host"] == "h1"
    assert found["workers"] == 2
    assert (found["clock_bound_s"], found["lost_at_s"], found["reason"]) == (0.3, 5.0, "silent")
