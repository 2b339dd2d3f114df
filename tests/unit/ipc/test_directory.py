"""Directories of sockets: which of them are left by runs that were killed, and removed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amoc.ipc.bus.directory import MIN_AGE_S, new_directory, remove_dead


@pytest.fixture
def base() -> Iterator[Path]:
    """A place for temporary files; its path is short, as paths of sockets must be."""
    path = Path(tempfile.mkdtemp(prefix="amoc-test-"))
    yield path
    shutil.rmtree(path)


def left(base: Path, name: str = "amoc-0123456789abcdef", age_s: float = 2 * MIN_AGE_S) -> Path:
    """What a killed run has left: sockets of its controller and its node, and a worker's file."""
    directory = base / name
    (directory / "node0").mkdir(parents=True)
    for path in (directory / "commands", directory / "node0" / "reports"):
        bound(path).close()
    (directory / "node0" / "w0.1.stack").touch()
    os.utime(directory, (time.time() - age_s,) * 2)
    return directory


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(1)
    return made


def test_the_next_run_removes_the_directory_of_a_killed_one(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    dead = left(base)
    fresh = Path(new_directory())
    assert not dead.exists()
    assert fresh.parent == base
    assert not fresh.exists()


@pytest.mark.parametrize("name", ["commands", "node0/reports"])
def test_a_run_with_any_live_process_keeps_its_directory(base: Path, name: str) -> None:
    directory = left(base)
    (directory / name).unlink()
    age = directory.stat()
    with bound(directory / name):
        os.utime(directory, (age.st_atime - 1000, age.st_mtime - 1000))
        remove_dead(str(base))
        assert directory.exists()
    remove_dead(str(base))
    assert not directory.exists()


def test_a_directory_whose_owner_is_too_busy_to_accept_is_kept(base: Path) -> None:
    directory = left(base)
    (directory / "commands").unlink()
    with bound(directory / "commands"):
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        for line in waiting:
            line.setblocking(False)
            line.connect_ex(str(directory / "commands"))
        os.utime(directory, (0, 0))
        remove_dead(str(base))
        assert directory.exists()
        for line in waiting:
            line.close()


def test_what_is_no_left_directory_stays(base: Path) -> None:
    young = left(base, "amoc-00000000000000ff", age_s=0)
    other = left(base, "amoc-runs")
    (elsewhere := base / "elsewhere").mkdir()
    os.utime(elsewhere, (0, 0))
    link = base / "amoc-00000000000000fd"
    link.symlink_to(elsewhere)
    os.utime(link, (0, 0), follow_symlinks=False)
    (file := base / "amoc-00000000000000fc").touch()
    os.utime(file, (0, 0))
    remove_dead(str(base))
    assert all(path.exists() for path in (young, other, elsewhere, file))
    assert link.is_symlink()
    remove_dead(str(base / "not there"))
