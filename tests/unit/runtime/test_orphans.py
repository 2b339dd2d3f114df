"""Which processes are ended with a run, and which are not."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

import gevent
import pytest

from amoc.base import ticks
from amoc.runtime.orphans import REAP_S, Orphans

PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)


@pytest.fixture(autouse=True)
def adopts_no_more():
    """After the test, orphans are adopted by init again instead of this process."""
    yield
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@pytest.fixture
def start():
    started = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_earlier_children_and_those_noted_while_shielded_are_left_alone(start):
    before = start()
    orphans = Orphans()
    noted = start()
    orphans.note_own(lambda: True)
    late = start()
    orphans.note_own(lambda: False)
    assert orphans.end() == []
    assert before.poll() is None
    assert noted.poll() is None
    assert late.poll() is not None


def test_an_orphan_that_ends_is_reaped():
    orphans = Orphans()
    # It outlives the shell, which would reap it otherwise.
    shell = subprocess.run(
        ["sh", "-c", "sleep 60 >&- & echo $!"], stdout=subprocess.PIPE, check=True
    )
    pid = int(shell.stdout)
    os.kill(pid, signal.SIGKILL)
    reaper = gevent.spawn(ticks.forever, REAP_S, orphans.reap)
    try:
        with gevent.Timeout(60):
            while Path(f"/proc/{pid}").exists():
                gevent.sleep(0.01)
    finally:
        reaper.kill()
