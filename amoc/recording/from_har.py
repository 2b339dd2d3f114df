"""Pure. Converts a HAR file to a scenario: all of its files, and notes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from amoc.base.text import counted
from amoc.recording import har, parts, planner, script, selection
from amoc.recording.files import Written
from amoc.recording.har import MAX_BYTES


def convert(
    content: bytes,
    source: str,
    name: str,
    hosts: Iterable[str] = (),
    everything: bool = False,
    taken_names: Iterable[str] = (),
) -> Written:
    """Convert a recording to a scenario.

    Args:
        content: The HAR file.
        source: Its name, for messages.
        name: The scenario's name.
        hosts: Hosts to keep besides that of the first page.
        everything: Whether to keep all hosts and static files.
        taken_names: Names of existing settings.

    Raises:
        UsageError: The file is not a HAR file, or contains nothing to replay.
    """
    recording = har.parse(content, source)
    chosen = selection.select(recording.exchanges, list(hosts), everything, source)
    plan = planner.plan(chosen, recording.titles, name, taken_names)
    files = {f"{name}.py": script.write(plan, name).encode()}
    if plan.columns:
        files[f"{name}.csv"] = _table(plan.columns).encode()
    files |= plan.files
    notes = [plan.opening]
    notes += [
        f"left out: {counted(count, 'request')} {reason}"
        for reason, count in chosen.left_out.most_common()
    ]
    notes += parts.credential_notes(plan.settings)
    return Written(files, notes + plan.notes)


def _table(row: Mapping[str, str]) -> str:
    """Return a header line and a single row, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row)
    writer.writerow(row.values())
    return text.getvalue()


__all__ = ["MAX_BYTES", "convert"]
