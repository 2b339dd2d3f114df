"""A process forked by a user is not part of the run: it counts nothing, runs no users, and ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.support import lines, running

pytestmark = pytest.mark.slow

ARGUMENTS = (
    *("--users", "11", "--workers", "1", "--set", "user_rate=inf", "--set", "repeat_num=1"),
    *("--stop-timeout", "20s"),
)

FORKERS = """
    import multiprocessing
    import os
    import subprocess
    import sys
    import threading
    import time

    import gevent
    from amoc import AmocError, coordinator, feed, metrics, receive, send, sleep, throttle, user

    in_hand, not_yet = feed.rows(range(99), name="in hand"), feed.rows(range(99), name="not yet")
    count = metrics.counter("counted")
    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(line):
        os.write(log, (line + "\\n").encode())

    def refused():
        calls = {
            "inc": count.inc,
            "counter": lambda: metrics.counter("another"),
            "record": lambda: metrics.timer("took").record(1),
            "wait": lambda: throttle.wait("t"),
            "start": lambda: throttle.start("u", 1),
            "add": lambda: coordinator.add("c"),
            "send": lambda: send(1, "x"),
            "receive": receive,
            "sleep": lambda: sleep(0),
            "next": in_hand.next,
            "first": not_yet.next,
        }
        for name, call in calls.items():
            try:
                call()
            except AmocError as error:
                if "in a process forked by a user" in str(error):
                    write(f"refused {name}")

    def work():
        for _ in range(1000):
            count.inc()

    def returns():
        time.sleep(0.5)  # in the worker's event loop, other users would run now
        refused()

    def exits():
        sys.exit(7)

    def closes():
        print("buffered", end="")
        os.close(1)
        sys.stderr.close()

    def raises():
        raise ValueError("the child's own")

    def fork(child):
        pid = os.fork()
        if pid == 0:
            write(f"child {os.getpid()}")
            return child()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            sleep(0.02)
        write(f"{child.__name__} {os.waitstatus_to_exitcode(ended[1])}")

    def init():
        throttle.start("t", 60000)
        coordinator.start("c", (2, lambda event: None))

    def start(user_id):
        metrics.timer("took").record(0.001)
        if user_id == 1:
            in_hand.next(), in_hand.next()  # the second call buffers more rows than it returns
            for child in (returns, exits, closes, raises):
                pid = os.getpid()
                fork(child)
                if os.getpid() != pid:
                    return
            forked = multiprocessing.get_context("fork").Process(target=work)
            forked.start()
            work()
            forked.join()
            write(f"multiprocessing {forked.exitcode}")
            gevent.spawn(fork, exits).join()
            write("joined")
            # Last, because from now on gevent reaps all children of this process.
            done = subprocess.run(["true"], preexec_fn=lambda: write("preexec"), check=True)
            write(f"subprocess {done.returncode}")
        elif user_id == 2:
            threads = [threading.Thread(target=work) for _ in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            pool = gevent.get_hub().threadpool
            [one.get() for one in [pool.spawn(work) for _ in range(4)]]
        else:
            for _ in range(20):
                write(f"user {os.getpid()}")
                sleep(0.05)
"""


def test_a_process_forked_by_a_user_counts_nothing_runs_no_users_and_ends(
    scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    with running(scenario(FORKERS), *ARGUMENTS, directory=tmp_path) as run:
        assert run.end() == os.EX_OK, run.output
        summary = run.summary()
    written = lines(tmp_path / "log")
    users = {line for line in written if line.startswith("user ")}
    assert len(users) == 1, "users act in the worker only"
    assert written.count(next(iter(users))) == 9 * 20
    forked = [line for line in written if line.startswith("child ")]
    assert len(set(forked)) == len(forked) == 5
    assert [line.split()[1] for line in written if line.startswith("refused ")] == [
        *("inc", "counter", "record", "wait", "start", "add", "send", "receive", "sleep"),
        *("next", "first"),
    ]
    expected = ["returns 0", "raises 1", "multiprocessing 1", "preexec", "subprocess 0", "joined"]
    assert [line for line in expected if written.count(line) != 1] == []
    assert written.count("exits 7") == 2
    assert summary["counters"]["counted"] == 1000 + 8 * 1000, "threads are exact, children nothing"
    assert summary["timers"]["took"]["count"] == 11
    assert summary["users"]["finished"] == 11
    assert not summary["crashes"]
    assert "ValueError: the child's own" in run.output
