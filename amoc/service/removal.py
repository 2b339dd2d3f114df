"""Deletion of runs: single ones, and those beyond the retention limits."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from amoc.base.errors import os_error_as
from amoc.results.run_directory import RunDirectory, runs
from amoc.service import retention
from amoc.service.problems import Problem, unavailable

log = logging.getLogger(__name__)

_DELETED = ".deleted-"


def remove(directory: RunDirectory) -> None:
    """Delete all files of a run.

    Raises:
        Problem: That is not possible.
    """
    # Renamed first, so that it disappears at once, however long the deletion takes.
    gone = directory.path.with_name(f"{_DELETED}{directory.id}")
    with os_error_as(unavailable, f"run {directory.id} cannot be deleted"):
        directory.path.rename(gone)
        shutil.rmtree(gone)
    log.info("run %s deleted", directory.id)


def clear(base: Path) -> None:
    """Delete what a killed server has left half deleted."""
    for gone in base.glob(f"{_DELETED}*"):
        shutil.rmtree(gone, ignore_errors=True)


def tidy(base: Path, busy: Collection[str], keep: int | None, keep_days: float | None) -> float:
    """Delete ended runs beyond the retention limits. Return the seconds until the next check.

    Args:
        base: Directory of the runs.
        busy: Ids of runs that have not ended.
        keep: As for `retention.surplus`.
        keep_days: As for `retention.surplus`.
    """
    now = datetime.now(UTC)
    over = [one for one in runs(str(base)) if one.id not in busy]
    ages = [(now - _ended_at(one)) / timedelta(days=1) for one in over]
    for directory in retention.surplus(over, ages, keep, keep_days):
        if directory.answers():
            continue  # started from a shell
        try:
            remove(directory)
        except Problem as problem:
            log.warning("%s", problem.detail)
    return retention.next_look_s(ages, keep_days)


def _ended_at(directory: RunDirectory) -> datetime:
    """Return when a run ended: the time of the last write to its journal."""
    try:
        return datetime.fromtimestamp(directory.journal.stat().st_mtime, UTC)
    except FileNotFoundError:  # it is being deleted
        return datetime.now(UTC)
