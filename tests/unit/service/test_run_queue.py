"""Queued runs start once each, within the limit of concurrent runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gevent
import pytest

from amoc.base.json_plain import JsonObject
from amoc.results.run_directory import RunDirectory
from amoc.service import run_queue
from amoc.service.job import Job, JobFiles
from amoc.service.run_queue import RunQueue
from amoc.service.start_bodies import StartBody

DEADLINE_S = 30


def test_each_queued_run_starts_once_despite_concurrent_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    class SlowRun:
        """Stand-in for a process: yields to other greenlets while it starts."""

        exit_code = None

        def __init__(
            self, _: Sequence[str], __: Path, ___: JsonObject, place: Path, ____: Callable[[], None]
        ) -> None:
            self.directory, self.output = RunDirectory(place), deque[str]()
            started.append(place.name)
            gevent.sleep(0)

        def begun(self, _: float) -> bool:
            return True

    monkeypatch.setattr(run_queue, "RunProcess", SlowRun)
    now = datetime.now(UTC)
    for number, run in enumerate(("first", "second", "third", "fourth")):
        at = now - timedelta(seconds=9 - number)
        JobFiles(tmp_path).keep(Job(run, "chat", StartBody(scenario="chat"), at))
    queue = RunQueue(tmp_path, 3, lambda _: tmp_path / "chat.py")
    looking = [gevent.spawn(queue.work) for _ in range(2)]
    assert len(gevent.joinall(looking, DEADLINE_S)) == 2
    assert started == ["first", "second", "third"]
    assert [one.id for one in queue if one.state == "queued"] == ["fourth"]
