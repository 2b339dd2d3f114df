"""Saved requests: files of runs that have not ended, so that a killed server forgets none.

There is one file per run in ``.queue`` below the directory of runs, written atomically. Once a run
has started its file is outdated: the run's own directory has the current state.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from amoc.base import atomic_write
from amoc.service.job import Job

log = logging.getLogger(__name__)

_NAME = ".queue"


class JobFiles:
    """The saved requests of a directory of runs."""

    def __init__(self, base: Path) -> None:
        self._place = base / _NAME

    def keep(self, job: Job) -> None:
        """Save the current state of a run.

        Raises:
            OSError: The file cannot be written.
        """
        self._place.mkdir(0o700, parents=True, exist_ok=True)
        atomic_write.write_json(self._file(job.id), job.to_json())

    def forget(self, run: str) -> None:
        """Remove the file of a run, if there is one."""
        self._file(run).unlink(missing_ok=True)

    def restore(self) -> list[Job]:
        """Return the runs that an earlier server has saved, in the order of their requests."""
        found = []
        for path in self._place.glob("*.json"):
            try:
                found.append(Job.from_json(path.stem, json.loads(path.read_bytes())))
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.error("%s cannot be read, so its run is not started: %s", path, error)
        return sorted(found, key=lambda job: job.asked_at)

    def _file(self, run: str) -> Path:
        return self._place / f"{run}.json"
