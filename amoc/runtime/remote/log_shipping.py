"""Copies log files of a node on another host to the run's directory, as they grow.

The keeper reads what was appended since the last call, and the controller appends it to a file of
the same name. Names of processes are unique in a run, so no two nodes have files of the same name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from amoc.base.append_file import AppendFile
from amoc.base.errors import ResourceError
from amoc.ipc.messages.keeper import Logged

PART_BYTES = 256 << 10
"""Most bytes read from a file at a time."""
WINDOW_BYTES = 1 << 20
"""Most bytes on their way. Beats use the same connection, and must not wait for long on a slow one:
without them a keeper assumes that its controller is lost."""
MAX_FILES = 2_000
_NAME = re.compile(r"(node[0-9]{1,6}|supervisor(-[0-9]{1,6})?|worker-[0-9]{1,6})\.jsonl")
"""Names of log files of a node's processes; the controller writes its own."""


class LogReader:
    """Reads what is appended to the log files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}

    def new_parts(self) -> Iterator[Logged]:
        """Yield a part of each file that has grown, until none has."""
        grown = True
        while grown:
            grown = False
            for path in sorted(self._directory.glob("*.jsonl"))[:MAX_FILES]:
                with path.open("rb") as file:
                    file.seek(self._read.get(path.name, 0))
                    data = file.read(PART_BYTES)
                if data:
                    grown = True
                    self._read[path.name] = self._read.get(path.name, 0) + len(data)
                    yield Logged(path.name, data)


def ship(
    reader: LogReader, report: Callable[[Logged], object], arrived: Callable[[], object]
) -> None:
    """Send what was logged since the last call.

    Args:
        reader: The log files.
        report: Sends a part; it may wait.
        arrived: Waits until all that was sent has arrived.
    """
    on_way = 0
    for part in reader.new_parts():
        if on_way + len(part.data) > WINDOW_BYTES:
            arrived()
            on_way = 0
        report(part)
        on_way += len(part.data)


class LogWriter:
    """Appends data from other hosts to the log files in a directory."""

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        """Write to `directory`; `warn` is called once if that is not possible."""
        self._directory = directory
        self._warn = warn
        self._warned = False
        self._files: dict[str, AppendFile] = {}

    def write(self, part: Logged) -> None:
        """Append a part of a file."""
        name = str(part.name)
        if not _NAME.fullmatch(name) or not isinstance(part.data, bytes):
            return  # not a log of amoc's
        if name not in self._files and len(self._files) >= MAX_FILES:
            return
        file = self._files.get(name)
        if file is None:
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                file = AppendFile(self._directory / name, "log", self._warn, "part")
            except (OSError, ResourceError) as error:
                if not self._warned:
                    self._warned = True
                    self._warn(f"{error}; the run continues without it")
                return
            self._files[name] = file
        file.append(part.data)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
