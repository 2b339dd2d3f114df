"""A real detector on a real loop, in a separate process: it needs a thread and a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amoc.runtime.stack_file import SIGNAL, ask, file_of, where_it_hangs
from amoc.runtime.stall_causes import COLLECTOR, CROWDED, Frame, to_text
from amoc.runtime.worker import stall_detector
from tests.process.support import eventually

pytestmark = pytest.mark.slow

LOAD = """
import ctypes, gc, re
import gevent
from gevent import monkey

really_sleep = monkey.get_original("time", "sleep")
holding = ctypes.PyDLL(None)  # its calls hold the interpreter

def releases():
    really_sleep(0.3)  # releases

def holds():
    holding.usleep(300_000)  # holds

def matches():
    re.match(r"(a+)+$", "a" * 23 + "b")  # matches

def loops():
    number = 0
    while number < 25_000_000: number += 1  # loops
    return number

def little():
    total = 0
    for number in range(200_000):
        total += number

def many():
    gevent.joinall([gevent.spawn(little) for _ in range(80)])

gc.disable()  # it would be told of whatever ran when it came by itself

def collects():
    rings = [[] for _ in range(400_000)]
    for _ in range(40):
        gc.collect()  # looks at all of them

def hangs_in_python():
    while True: pass  # hangs in Python

def hangs_in_c():
    print("hangs", flush=True)
    holding.pause()  # hangs in C

def hangs_for_a_while():
    really_sleep(1.2)  # hangs for a while

def waits():
    gevent.sleep(0.3)

def both():
    first, second = gevent.spawn(releases), gevent.spawn(holds)
    gevent.joinall([first, second])
"""

DRIVER = """
import gc, json, sys
from gevent import monkey
monkey.patch_all()
import gevent, gevent.fileobject
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import load
from amoc.runtime.worker.stall_detector import StallDetector
from amoc.runtime.worker.heartbeat import BEAT_NS, Pauses, waited_ns
from amoc.metrics.board import Cell, ROW_BYTES
from amoc.metrics.health_figures import cell
from amoc.base.clock import S_NS, now_ns
from amoc.base.proc_files import ProcFile

row = memoryview(bytearray(ROW_BYTES)).cast("Q")
gc.callbacks.append(Pauses(row).note)
trap = StallDetector(0, sys.path[0], Path(sys.argv[1]).with_suffix(".stack"))

beats = 0

def beat():
    global beats
    queue = ProcFile("/proc/self/schedstat")
    while True:
        cpu_wait_ns, collected_ns = waited_ns(queue.read()), row[cell("gc_s")]
        trap.set(now_ns() + BEAT_NS)
        gevent.sleep(BEAT_NS / S_NS)
        trap.turned(waited_ns(queue.read()) - cpu_wait_ns, row[cell("gc_s")] - collected_ns)
        beats += 1

gevent.spawn(beat)
print("ready", flush=True)
for line in gevent.fileobject.FileObject(sys.stdin):
    gevent.spawn(getattr(load, line.strip())).join()
    until = beats + 2
    while beats < until:
        gevent.sleep(0.01)
    print(json.dumps([blocked._asdict() for blocked in trap.take()]), flush=True)
"""


class Driver:
    """A process whose loop runs functions of `LOAD` on request."""

    def __init__(self, directory: Path) -> None:
        self.load = directory / "load.py"
        self.load.write_text(LOAD)
        self.file = self.load.with_suffix(".stack")
        driver = directory / "drive.py"
        driver.write_text(DRIVER)
        self.process = subprocess.Popen(
            [sys.executable, driver, self.load],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        )
        assert self.said() == "ready\n"

    def begin(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def do(self, what: str) -> list[dict[str, Any]]:
        """Run `what`; return what its detector reports."""
        self.begin(what)
        told: list[dict[str, Any]] = json.loads(self.said())
        return told

    def told(self, what: str, place: str) -> dict[str, Any]:
        """Return the report for a place; repeat `what` if no core was free for the detector."""
        told: dict[str, Any] = eventually(
            lambda: next((one for one in self.do(what) if one["place"] == place), None),
            f"{what} blocks at {place}",
        )
        return told

    def place(self, function: str, mark: str) -> str:
        (line,) = [
            number for number, text in enumerate(LOAD.split("\n"), 1) if text.endswith(f"# {mark}")
        ]
        return f"load.py:{line} in {function}"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A driver whose loop always recovers; shared by the tests."""
    driver = Driver(tmp_path_factory.mktemp("turning"))
    yield driver
    driver.end()


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Driver]:
    """A driver whose loop a test may block permanently."""
    driver = Driver(tmp_path)
    yield driver
    driver.end()


@pytest.mark.parametrize("function", ["releases", "holds", "matches", "loops"])
def test_a_blocking_call_is_reported_with_its_line(turning: Driver, function: str) -> None:
    told = turning.told(function, turning.place(function, function))
    assert told["times"] == 1
    assert told["total_ns"] == told["longest_ns"] >= stall_detector.BLOCKED_NS
    assert f"in {function}\n" in told["trace"]


def test_two_blocking_greenlets_in_one_turn_are_told_apart(turning: Driver) -> None:
    both = {turning.place(one, one) for one in ("releases", "holds")}
    eventually(lambda: {one["place"] for one in turning.do("both")} == both, "both are told")


def test_many_short_greenlets_are_not_reported_as_one_blocking_call(turning: Driver) -> None:
    assert turning.told("many", CROWDED)["trace"] == ""


def test_garbage_collection_is_not_blamed_on_the_line_where_it_ran(turning: Driver) -> None:
    # Which line the interpreter was at depends on when the thread gets a core.
    assert turning.told("collects", COLLECTOR)["longest_ns"] >= stall_detector.BLOCKED_NS


def test_a_waiting_user_is_not_reported_as_blocking(turning: Driver) -> None:
    assert turning.do("waits") == []


@pytest.mark.parametrize("where", ["Python", "C"])
def test_a_permanent_hang_can_be_located_from_outside(hanging: Driver, where: str) -> None:
    function = f"hangs_in_{where.lower()}"
    place = hanging.place(function, f"hangs in {where}")
    hanging.begin(function)

    def found() -> str:
        if where == "C":  # in Python it reports by itself
            ask(hanging.process.pid, hanging.file)
        return where_it_hangs(hanging.file)

    if where == "C":
        assert hanging.said() == "hangs\n"
        eventually(lambda: _sleeps(hanging.process.pid), "it waits in C")
    assert eventually(found, "it says where it hangs") == place
    assert hanging.process.poll() is None


def _sleeps(pid: int) -> bool:
    """Whether the main thread of a process is sleeping."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


def test_a_loop_that_has_recovered_is_not_hanging(turning: Driver) -> None:
    turning.told("hangs_for_a_while", turning.place("hangs_for_a_while", "hangs for a while"))
    assert turning.file.read_text().count("\n") == 1
    assert where_it_hangs(turning.file) == ""


def test_a_process_without_a_handler_is_not_sent_the_signal(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file = file_of(str(tmp_path), "w0.1")
    ask(child.pid, file)  # no file
    file.touch()
    ask(child.pid, file)  # an empty file
    file.write_text("7f01 /home\n" + to_text([Frame("/home/a.py", 3, "b")], 0x7F01))
    ask(child.pid, file)  # it has already reported
    child.communicate(b"\n")
    assert child.returncode == 0
    assert where_it_hangs(file) == "a.py:3 in b"


def test_the_signal_is_a_real_time_signal() -> None:
    assert signal.SIGRTMIN < SIGNAL < signal.SIGRTMAX
