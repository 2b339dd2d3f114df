"""The file of ``--json``: either complete or absent, never a leftover of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

from amoc.base import atomic_write
from amoc.base.errors import ResourceError, os_error_as
from amoc.results.summary_types import Summary


class SummaryFile:
    """Writes the summary to the file of ``--json``."""

    def __init__(self, file: str) -> None:
        """Check before the run that `file` can be written.

        Raises:
            ResourceError: It cannot.
        """
        path = Path(file).absolute()
        # Devices, pipes and /dev/stdout are written to; files are replaced, following links.
        device = path.is_relative_to("/dev") or path.is_relative_to("/proc")
        self._special = device or (path.exists() and not path.is_file())
        self._path = path if self._special else path.resolve()
        with os_error_as(ResourceError, f"--json {file} cannot be written"):
            with self._path.open("a"):
                pass
            if not self._special:
                self._path.unlink()

    def write(self, summary: Summary) -> None:
        """Write `summary`.

        Raises:
            ResourceError: The file can no longer be written.
        """
        text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
        with os_error_as(ResourceError, f"--json {self._path} cannot be written"):
            if self._special:
                self._path.write_text(text)
            else:
                atomic_write.write_text(self._path, text, mode=0o666)
