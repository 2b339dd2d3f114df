"""The journal: a run's plan and everything it did, one JSON object per line.

Lines are only ever appended, each with a single write, so a run that is killed loses at most the
line that was being written. Each has `at` (UTC), `t_s` (seconds since the first user could start;
null before that) and a `kind`:

- ``run``: the whole plan, enough to run it again;
- ``state``: a state that the run has entered;
- ``command``: a command with its source, comment, outcome and the workers' answers;
- ``event``: a message for the operator;
- ``metrics``: the names and kinds of the metrics declared when users could start;
- ``crash``, ``failure``: a crash, or a failure of a step, with a new cause;
- ``target``: a server that users connect to;
- ``blocked``: a line of the scenario that blocks its worker;
- ``node``: a node that has joined or was lost; at the end, by how much its clock may be off;
- ``end``: how the run ended.

Values of secret settings are never written. A full disk loses lines but does not stop the run: it
is reported once, and the number of lost lines is written when there is space again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from amoc.base import json_lines
from amoc.base.clock import S_NS, US_NS, now_ns, utc_text
from amoc.base.json_plain import Json, plain_object
from amoc.base.line_check import CRC, LINE, LineCheck
from amoc.base.text import counted
from amoc.results import old_names

MAX_TAIL_BYTES = 8 << 20
"""Read by one call of `JournalTail.new`; the rest is left to the next one."""
_MAX_HEAD_BYTES = 1 << 20
_WHAT = "journal"


class Journal:
    """Writes the journal of one run."""

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        """Start the journal in a new file.

        Args:
            path: The file to create.
            warn: Called once, with one line of text, when a line cannot be written.

        Raises:
            ResourceError: The file cannot be created.
        """
        self._file = json_lines.LineFile(path, _WHAT, warn, seal=True)
        self._begun_ns: int | None = None

    @property
    def lost(self) -> int:
        """Lines lost since one was last written successfully."""
        return self._file.lost

    @property
    def missing(self) -> str:
        """Which lines are missing from the file, and why; empty if none are."""
        return self._file.missing

    def begin(self, begun_ns: int) -> None:
        """Count `t_s` from `begun_ns` on the monotonic clock: the first user may start."""
        self._begun_ns = begun_ns

    def write(self, kind: str, *, when_ns: int | None = None, **fields: object) -> dict[str, Json]:
        """Append a line.

        Args:
            kind: One of the kinds listed in the module's docstring.
            fields: Its other fields, of JSON types; values of other types become text.
            when_ns: When it happened, on the monotonic clock; None means now.

        Returns:
            The entry as it is read back from the file, whether or not it could be written.
        """
        now = now_ns()
        when_ns = now if when_ns is None else when_ns
        at = datetime.now(UTC) - timedelta(microseconds=(now - when_ns) / US_NS)
        begun_ns = self._begun_ns
        entry: dict[str, Json] = {
            "at": utc_text(at),
            "t_s": None if begun_ns is None else round((when_ns - begun_ns) / S_NS, 6),
            "kind": kind,
            **plain_object(fields),
        }
        if lost := self._file.lost:
            text = f"{counted(lost, 'line')} could not be written here"
            moment = {"at": entry["at"], "t_s": entry["t_s"]}
            if not self._file.write({**moment, "kind": "event", "level": "warning", "text": text}):
                return entry
        self._file.write(entry)
        return entry

    def close(self) -> None:
        """Close the file; write nothing more."""
        self._file.close()


class JournalTail:
    """Reads a journal while it is written: each entry once, as soon as its line is complete."""

    def __init__(self, path: Path) -> None:
        """Read from the beginning of `path`, which need not exist yet."""
        self._path = path
        self._at = 0

    def new(self) -> list[dict[str, Json]]:
        """Return the entries not read before; damaged lines are left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read(MAX_TAIL_BYTES)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole) or (len(data) if len(data) == MAX_TAIL_BYTES else 0)
        found = []
        for line in whole.split(b"\n"):
            entry = json_lines.parse(line)
            if entry is not None and "kind" in entry:
                told = {name: value for name, value in entry.items() if name not in (LINE, CRC)}
                found.append(old_names.journal_entry(told))
        return found


def read(path: Path, check: LineCheck | None = None) -> list[dict[str, Json]]:
    """Read the entries of a journal, as far as they were written.

    Args:
        path: The journal's file.
        check: Receives each line, and then knows what is wrong with the file.

    Raises:
        ResourceError: The file cannot be read.
    """
    return [old_names.journal_entry(one) for one in json_lines.read(path, _WHAT, "kind", check)]


def run_entry(path: Path) -> dict[str, Json] | None:
    """Return the ``run`` entry from the first lines of a journal; None if there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_MAX_HEAD_BYTES).split(b"\n")
    except OSError:
        return None
    entries = filter(None, map(json_lines.parse, head[:10]))
    return next((old_names.journal_entry(one) for one in entries if one.get("kind") == "run"), None)


def run_id(path: Path) -> str | None:
    """Return the id of the run that wrote the journal; None if there is none."""
    found = (run_entry(path) or {}).get("id")
    return found if isinstance(found, str) else None
