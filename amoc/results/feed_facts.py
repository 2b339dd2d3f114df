"""How many rows were used of feeds that hand out each row once, for the notes on a run. Pure."""

from __future__ import annotations

from amoc.base.text import counted
from amoc.metrics.reserved import FEED
from amoc.results.series import Tally

USED, ROWS, STOPPED = ".used", ".rows", ".users_stopped"
"""Suffixes of the names of a feed's metrics, see `amoc.feed.feed`."""


def notes(whole: Tally) -> list[str]:
    """Return a sentence for each feed."""
    found = []
    gauges = whole.last.gauges if whole.last is not None else {}
    for name, rows in sorted(gauges.items()):
        if name.startswith(FEED) and name.endswith(ROWS):
            feed = name.removesuffix(ROWS)
            used = whole.counters.get(feed + USED, 0)
            text = f"feed {feed.removeprefix(FEED)}: {used:,} of {counted(int(rows), 'row')} used"
            if stopped := whole.counters.get(feed + STOPPED):
                text += f"; it has stopped {counted(stopped, 'user')}"
            found.append(text)
    return found
