"""Log files of a node on another host go to the run's directory, as they grow.

The keeper reads what was appended since the last look, and the controller appends it to a file of
the same name: names of processes are those of one run, so no two nodes have one of the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from amoc.base.append_file import AppendFile
from amoc.base.errors import ResourceError
from amoc.ipc.messages.keeper import Logged

PART_BYTES = 256 << 10
"""What is read of a file at a time."""
MAX_FILES = 2_000
_NAME = re.compile(r"[a-z]{1,20}(-?[0-9]{1,6})?\.jsonl")


class LogReader:
    """Reads what is appended to the log files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}

    def news(self) -> Iterator[Logged]:
        """A part of each file that has grown, until none has."""
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


class LogWriter:
    """Appends to the log files in a directory what comes from other hosts.

    Attributes:
        notices: What could not be written; emptied when it is shown.
    """

    def __init__(self, directory: Path) -> None:
        self.notices: list[str] = []
        self._directory = directory
        self._files: dict[str, AppendFile] = {}

    def write(self, part: Logged) -> None:
        """Append a part of a file."""
        name = str(part.name)
        if not _NAME.fullmatch(name) or (name not in self._files and len(self._files) >= MAX_FILES):
            return  # of no process of ours
        file = self._files.get(name)
        if file is None:
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                file = AppendFile(self._directory / name, "log", self.notices.append, "part")
            except (OSError, ResourceError) as error:
                if not self.notices:
                    self.notices.append(f"{error}; the run goes on without it")
                return
            self._files[name] = file
        file.append(bytes(part.data))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
