"""Child processes are waited for even if other code reaps them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import gevent
import gevent.subprocess
import pytest

from amoc.runtime.child import STATUS_TAKEN, ChildProcess, start_module
from tests.process.support import eventually


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start children that run some code; those left at the end are killed."""
    started = []
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str, on_line=lambda line: None) -> ChildProcess:
        name = f"told_{len(started)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        started.append(ChildProcess(start_module(name, []), on_line))
        return started[-1]

    yield start
    for child in started:
        child.end(0)


def wait_for_end(child: ChildProcess) -> int:
    def ended() -> bool:
        gevent.sleep(0)
        return child.exit_status() is not None

    eventually(ended, "the child ends")
    return child.exit_status()


def test_the_exit_status_is_known_while_others_use_gevent_subprocess(start):
    child = start("import sys; sys.stdin.read(); sys.exit(7)")
    gevent.subprocess.run(["true"], check=True)
    assert child.exit_status() is None
    child.close_lifeline()
    assert wait_for_end(child) == 7
    gevent.subprocess.run(["true"], check=True)
    assert child.end(5) == child.end(5) == 7


def test_a_child_reaped_by_other_code_has_an_unknown_status(start):
    child = start("import sys; sys.stdin.read()")
    child.close_lifeline()
    os.waitid(os.P_PID, child.pid, os.WEXITED)
    assert wait_for_end(child) == STATUS_TAKEN
    assert child.end(60) == STATUS_TAKEN


@pytest.mark.parametrize("size", [1, 1 << 20], ids=["a beat", "more than a pipe holds"])
def test_a_lifeline_may_be_closed_during_a_write(start, size):
    child = start("import time; time.sleep(60)")
    writing = gevent.spawn(child.write, bytes(size))
    gevent.sleep(0)
    child.close_lifeline()
    writing.get(timeout=60)
    assert child.exit_status() is None


def test_a_child_that_does_not_exit_is_killed_with_its_children(start, tmp_path: Path):
    said: list[str] = []
    code = """
        import subprocess, time
        print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
        time.sleep(60)
    """
    child = start(code, said.append)

    def told() -> bool:
        gevent.sleep(0)
        return bool(said)

    eventually(told, "the child has started another")
    assert child.end(0) == -signal.SIGKILL

    def gone() -> bool:
        try:
            state = Path(f"/proc/{said[0]}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    eventually(gone, "what it has started is gone, too")


FORKING = """
import json, os, sys
import amoc.runtime.child as child

def main():
    read = os.read(0, 100).decode()
    fds = [fd for fd in range(3, 256) if os.path.exists(f"/proc/self/fd/{fd}")]
    me = {"pid": os.getpid(), "group": os.getpgrp(), "path": sys.path, "argv": sys.argv[1:]}
    print(json.dumps({"read": read, "fds": fds, **me}), flush=True)
    os.read(0, 100)  # the end of what is written to it
    os._exit(5)

print("before the fork")
low, high = os.pipe()
os.dup2(high, 200, inheritable=True)
assert child.can_fork()
started = child.start_fork(main)
import gevent  # from here on as in a controller, with an event loop

gevent.get_hub()
assert not child.can_fork()
lines = []
one = child.ChildProcess(started, lines.append)
one.write(b"for you")
while not lines:
    gevent.sleep(0.01)
assert one.exit_status() is None
one.close_lifeline()
print(json.dumps([*lines, one.pid, one.end(60)]))
"""


def test_a_forked_child_inherits_only_loaded_modules(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", FORKING, "an argument"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, told = done.stdout.splitlines()
    line, pid, status = json.loads(told)
    child = json.loads(line)
    assert first == "before the fork"
    assert (child["read"], child["argv"], child["fds"]) == ("for you", [], [])
    assert child["pid"] == child["group"] == pid
    assert not {"", str(tmp_path)} & set(child["path"])
    assert status == 5


def test_a_forked_child_ends_with_its_parent(tmp_path: Path):
    code = """
import os
import amoc.runtime.child as child

def main():
    while os.read(0, 100):
        pass
    open("left", "w").close()

print(child.start_fork(main).pid, flush=True)
os.kill(os.getpid(), 9)
"""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    eventually((tmp_path / "left").exists, "the child has seen its parent's end")


@pytest.mark.skipif(
    not hasattr(sys, "activate_stack_trampoline"), reason="no python -X perf before 3.12"
)
def test_a_run_can_be_profiled_with_perf(tmp_path: Path):
    (tmp_path / "short.py").write_text("def start(user_id):\n    pass\n")
    arguments = ["run", "short.py", "--users", "2", "--duration", "0.2s"]
    done = subprocess.run(
        [sys.executable, "-X", "perf", "-m", "amoc", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
