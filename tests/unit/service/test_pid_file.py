"""The lock of a daemon, and processes that check whether one is running."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from amoc.base import polling
from amoc.base.errors import UsageError
from amoc.service import pid_file
from amoc.service.pid_file import PidFile


def test_a_concurrent_check_does_not_prevent_a_daemon_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pid_file.path_in(tmp_path)
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(polling.time, "sleep", lambda _: looking.close())
        PidFile(tmp_path).close()


def test_a_second_daemon_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pid_file, "LOCK_WAIT_S", 0.0)
    first = PidFile(tmp_path)
    first.write("http://127.0.0.1:4000")
    with pytest.raises(UsageError, match=r"a server for .* is already running at http"):
        PidFile(tmp_path)
    first.close()
