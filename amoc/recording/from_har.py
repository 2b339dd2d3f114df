"""Pure. A scenario from a HAR file: all of its files, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Iterable

from amoc.recording import data_text, har, parts, planner, script, selection
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
    """Turn a recording into a scenario.

    Args:
        content: The HAR file.
        source: Its name, for messages.
        name: The scenario's.
        hosts: Hosts that are kept beside the first page's.
        everything: Keep all hosts and static files.
        taken_names: Settings that exist already.

    Raises:
        UsageError: The file is no HAR file, or has nothing to repeat.
    """
    recording = har.parse(content, source)
    chosen = selection.select(recording.exchanges, list(hosts), everything, source)
    plan = planner.plan(chosen, recording.titles, name, taken_names)
    files = {f"{name}.py": script.write(plan, name).encode()}
    if plan.columns:
        files[f"{name}.csv"] = data_text.table(plan.columns).encode()
    files |= plan.files
    notes = [plan.opening]
    notes += [f"left out: {count} {reason}" for reason, count in chosen.left_out.most_common()]
    notes += parts.credential_notes(plan.settings)
    return Written(files, notes + plan.notes)


__all__ = ["MAX_BYTES", "convert"]
