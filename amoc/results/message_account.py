"""The account of messages of a run, as far as it needs the counts of all workers. Pure.

Each worker counts what it knows (`amoc.xmpp.ledger`); a message that was expected and of which no
worker knows what became is known only by what is left of the sum.
"""

from __future__ import annotations

from collections.abc import Mapping

EXPECTED = "messages_expected"
LOST = "messages_lost"
UNACCOUNTED = "messages_unaccounted"
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
            f"it is not known which of {rest:,} of {expected:,} messages were lost: the run did not"
            " come to its end"
        )
    return found
