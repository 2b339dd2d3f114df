"""The account of messages of a run, as far as it needs the counts of all workers. Pure.

Each worker counts what it knows (`amoc.xmpp.account.ledger`); a message that was expected and of
which no worker knows what became is known only by what is left of the sum.
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
"""What a message that was expected has become, if that is known."""


def unaccounted(counters: Mapping[str, int]) -> dict[str, int]:
    """What is to be added to `counters`, those of a run that has ended; empty if it is nothing."""
    rest = counters.get(EXPECTED, 0) - sum(counters.get(name, 0) for name in KNOWN)
    return {UNACCOUNTED: rest} if rest > 0 else {}


def notes(counters: Mapping[str, int], workers_lost: bool) -> list[str]:
    """What should be known about the messages of a run, a sentence each."""
    expected = counters.get(EXPECTED, 0)
    found = []
    if lost := counters.get(LOST, 0):
        found.append(f"{lost:,} of {expected:,} messages were lost")
    if unknown := counters.get(UNACCOUNTED, 0):
        why = "their recipients were not there, or left too early"
        if workers_lost:
            why = "a worker was lost with what it knew, or their recipients were not there"
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
    """A line of the table that says whether each message came, once, in order and in time."""

    name: str
    total: int
    share: float | None
    """Of the messages that were expected; None where that says nothing."""


_TOTALS = ("messages_sent", "messages_received", EXPECTED)
_ANSWERS = (
    *("messages_delivered", LOST),
    *("messages_duplicated", "messages_reordered", "messages_late"),
)
"""What is told even if it is 0."""
_RARE = ("messages_refused", UNACCOUNTED, "messages_foreign", UNTRACKED, "message_errors")
NAMES = frozenset({*_TOTALS, *_ANSWERS, *_RARE})


def rows(counters: Mapping[str, int]) -> list[Row]:
    """The table of a run's messages; empty if there is nothing to tell."""
    expected = counters.get(EXPECTED, 0)
    if not any(counters.get(name) for name in NAMES):
        return []
    shown = [*_TOTALS, *_ANSWERS, *(name for name in _RARE if counters.get(name))]
    return [
        Row(name, count, None if name in _TOTALS or not expected else count / expected)
        for name in shown
        for count in (counters.get(name, 0),)
    ]
