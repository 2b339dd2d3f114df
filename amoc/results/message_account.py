"""The message account of a run, as far as it needs the counts of all workers. Pure.

Each worker counts what it knows (`amoc.xmpp.account.ledger`). If no worker knows what became of an
expected message, only the difference between the sums shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amoc.base.text import counted

EXPECTED = "messages_expected"
LOST = "messages_lost"
UNACCOUNTED = "messages_unaccounted"
UNTRACKED = "messages_untracked"
KNOWN = ("messages_delivered", "messages_refused", LOST, UNACCOUNTED)
"""The counters of the known outcomes of expected messages."""


def unaccounted(counters: Mapping[str, int]) -> dict[str, int]:
    """Return what to add to `counters`, those of a run that has ended; empty if nothing."""
    rest = counters.get(EXPECTED, 0) - sum(counters.get(name, 0) for name in KNOWN)
    return {UNACCOUNTED: rest} if rest > 0 else {}


def notes(counters: Mapping[str, int], workers_lost: bool) -> list[str]:
    """Return what readers should know about the messages of a run, one sentence each."""
    expected = counters.get(EXPECTED, 0)
    found = []
    if lost := counters.get(LOST, 0):
        found.append(f"{lost:,} of {expected:,} messages were lost")
    if unknown := counters.get(UNACCOUNTED, 0):
        why = "their recipients were not connected, or left too early"
        if workers_lost:
            why = "a worker was lost along with its records, or their recipients were not connected"
        found.append(f"{unknown:,} of {expected:,} messages are unaccounted for: {why}")
    if rest := unaccounted(counters).get(UNACCOUNTED):
        found.append(
            f"it is unknown which of {rest:,} of {expected:,} messages were lost: the run did not"
            " complete"
        )
    if untracked := counters.get(UNTRACKED, 0):
        found.append(
            f"{counted(untracked, 'message')} could not be tracked: workers had more pairs"
            " of sender and recipient than they can track"
        )
    return found


class Row(NamedTuple):
    """A row of the table that shows whether messages arrived, once, in order and in time."""

    name: str
    total: int
    share: float | None
    """Of the expected messages; None where a share would be meaningless."""


_TOTALS = ("messages_sent", "messages_received", EXPECTED)
_ANSWERS = (
    *("messages_delivered", LOST),
    *("messages_duplicated", "messages_reordered", "messages_late"),
)
"""Shown even if 0."""
_RARE = ("messages_refused", UNACCOUNTED, "messages_foreign", UNTRACKED, "message_errors")
NAMES = frozenset({*_TOTALS, *_ANSWERS, *_RARE})


def rows(counters: Mapping[str, int]) -> list[Row]:
    """Return the table of a run's messages; empty if there were none."""
    expected = counters.get(EXPECTED, 0)
    if not any(counters.get(name) for name in NAMES):
        return []
    shown = [*_TOTALS, *_ANSWERS, *(name for name in _RARE if counters.get(name))]
    return [
        Row(name, count, None if name in _TOTALS or not expected else count / expected)
        for name in shown
        for count in (counters.get(name, 0),)
    ]
