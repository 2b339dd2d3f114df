"""Deletes runs: one, or those that are not to be kept."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from amoc.results.run_directory import RunDirectory, runs
from amoc.service import retention
from amoc.service.problems import Problem

log = logging.getLogger(__name__)

_DELETED = ".deleted-"


def remove(directory: RunDirectory) -> None:
    """Delete all that a run has left.

    Raises:
        Problem: That is not possible.
    """
    # Under another name it is gone for everybody at once, however long it takes.
    gone = directory.path.with_name(f"{_DELETED}{directory.id}")
    try:
        directory.path.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        why = f"run {directory.id} cannot be deleted: {error.strerror}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why) from None
    log.info("run %s deleted", directory.id)


def clear(base: Path) -> None:
    """Delete what was being deleted by a server that was killed meanwhile."""
    for gone in base.glob(f"{_DELETED}*"):
        shutil.rmtree(gone, ignore_errors=True)


def tidy(base: Path, busy: Collection[str], keep: int | None, keep_days: float | None) -> float:
    """Delete runs that are over, beyond those that are to be kept; when to look again, in s.

    Args:
        base: Where runs are.
        busy: Ids of those that are not over.
        keep: As in `retention.surplus`.
        keep_days: As there.
    """
    now = datetime.now(UTC)
    over = [one for one in runs(str(base)) if one.id not in busy]
    ages = [(now - _ended_at(one)) / timedelta(days=1) for one in over]
    for directory in retention.surplus(over, ages, keep, keep_days):
        if directory.control.exists() and directory.answers():
            continue  # a run of a shell
        try:
            remove(directory)
        except Problem as problem:
            log.warning("%s", problem.detail)
    return retention.next_look_s(ages, keep_days)


def _ended_at(directory: RunDirectory) -> datetime:
    """When a run that is over ended: its journal was not written to since."""
    try:
        return datetime.fromtimestamp(directory.journal.stat().st_mtime, UTC)
    except FileNotFoundError:  # somebody else is deleting it
        return datetime.now(UTC)
