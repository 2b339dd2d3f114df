"""A process that follows the clock of a run uses it everywhere, and so do its forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOUR_NS = 3600 * 10**9


def run(script: str, *arguments: str) -> list[str]:
    """Return the words that `script` prints in a new process."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_clock_follows_the_offset_after_changes_and_in_forks(tmp_path: Path):
    script = """
import os, sys
from pathlib import Path
from amoc.base import run_clock
cell = run_clock.shared(Path(sys.argv[1]))
cell[0] = int(sys.argv[2])
run_clock.follow(Path(sys.argv[1]), "theirs")
from time import monotonic_ns, perf_counter_ns
from amoc.base.clock import now_ns
def ahead():
    for clock in (now_ns, monotonic_ns, perf_counter_ns):
        print(round((clock() - run_clock.host_ns()) / 1e9, 1), end=" ", flush=True)
ahead()
cell[0] += 10**9
if os.fork() == 0:
    ahead()
    os._exit(0)
os.wait()
print(run_clock.clock(), run_clock.host_clock() != "theirs")
print(run_clock.to_host_ns(now_ns()) - run_clock.host_ns() < 10**9)
"""
    assert run(script, str(tmp_path / "clock"), str(-HOUR_NS)) == [
        *["-3600.0"] * 3,
        *["-3599.0"] * 3,
        *("theirs", "True", "True"),
    ]


def test_a_precise_timer_uses_the_clock_of_the_run(tmp_path: Path):
    script = """
import sys
from pathlib import Path
from amoc.base import run_clock
run_clock.shared(Path(sys.argv[1]))[0] = int(sys.argv[2])
run_clock.follow(Path(sys.argv[1]), "theirs")
import gevent
from gevent.event import Event
from amoc.base.clock import now_ns
from amoc.base.timerfd import PreciseTimer
rung = Event()
timer = PreciseTimer(lambda: (rung.set(), timer.set(1 << 62)))
at_ns = now_ns() + 50_000_000
timer.set(at_ns)
print(rung.wait(30), now_ns() >= at_ns)
timer.close()
"""
    for offset_ns in (HOUR_NS, -HOUR_NS):
        assert run(script, str(tmp_path / "clock"), str(offset_ns)) == ["True", "True"]


def test_following_after_the_clock_was_read_is_refused(tmp_path: Path):
    script = """
import sys
from pathlib import Path
import amoc.base.clock
from amoc.base import run_clock
try:
    run_clock.follow(Path(sys.argv[1]), "theirs")
except RuntimeError as error:
    print(error)
"""
    assert " ".join(run(script, str(tmp_path / "c"))) == "the clock must be set before it is read"
