"""Runs that were asked for and are not over, in files: a server that is killed forgets none.

A file for each below ``.queue`` in the directory of runs, written as a whole. What it says of a run
that has begun is how it was before: the run's own directory says more.
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
    """The files of a directory of runs."""

    def __init__(self, base: Path) -> None:
        self._place = base / _NAME

    def keep(self, job: Job) -> None:
        """Write how a run is now.

        Raises:
            OSError: It cannot be written.
        """
        self._place.mkdir(0o700, parents=True, exist_ok=True)
        atomic_write.write_json(self._file(job.id), job.to_json())

    def forget(self, run: str) -> None:
        """Remove what was kept of a run, if anything was."""
        self._file(run).unlink(missing_ok=True)

    def restore(self) -> list[Job]:
        """What an earlier server has left, in the order in which it was asked for."""
        found = []
        for path in self._place.glob("*.json"):
            try:
                found.append(Job.from_json(path.stem, json.loads(path.read_bytes())))
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.error("%s cannot be read, so its run is not started: %s", path, error)
        return sorted(found, key=lambda job: job.asked_at)

    def _file(self, run: str) -> Path:
        return self._place / f"{run}.json"
