"""What an idle user takes, and how much of that any greenlet takes: CPU and memory.

- bare: a greenlet that switches to the hub at once, and ends when it is switched to again;
- user: a user of a worker's pool that waits until it is asked to stop.

    python -m benchmarks.greenlets [--count 30000] [--rounds 3]

Each is measured in a separate process that does nothing else. `benchmarks.users` measures users
of a run, with everything that belongs to them. greenlet keeps a copy of the C stack of each
greenlet that is switched out; CPython gives each one a page for its frames.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

import gevent
from gevent import get_hub
from greenlet import greenlet

from amoc import user
from amoc.base import collector
from amoc.ipc.outbox import Outbox
from amoc.ipc.worker_id import WorkerId
from amoc.metrics import registry
from amoc.metrics.board import Board, UserState
from amoc.runtime.worker.user_pool import UserPool
from amoc.runtime.worker_spec import WorkerSpec
from amoc.throttle.worker import Gate
from amoc.users.placement import Placement, one_node
from benchmarks import machine, outcome
from benchmarks.processes import rss_bytes

SHORT = ["--count", "500", "--rounds", "1"]
TURN = 100
"""Number started, or ended, in a turn of the loop."""


def measured(count: int, begin: Callable[[int], None], end: Callable[[], None]) -> list[float]:
    """Return bytes per greenlet, and CPU time to start and to end it, in µs."""
    before, at_s = rss_bytes(os.getpid()), time.process_time()
    for _ in range(count // TURN):
        begin(TURN)
        gevent.sleep(0)
    gevent.sleep(0.01)
    begun_s, memory = time.process_time(), rss_bytes(os.getpid())
    end()
    ended_s = time.process_time()
    return [
        (memory - before) / count,
        (begun_s - at_s) / count * 1e6,
        (ended_s - begun_s) / count * 1e6,
    ]


def bare(count: int) -> list[float]:
    """Measure greenlets that do nothing; the last value is the bytes of C stack kept for each."""
    hub = get_hub()
    rest = greenlet.switch
    every: list[greenlet] = []

    def begin(some: int) -> None:
        begun = [greenlet(lambda: rest(hub), hub) for _ in range(some)]
        every.extend(begun)
        for one in begun:
            hub.loop.run_callback(one.switch)

    kept: list[int] = []

    def end() -> None:
        kept.append(every[0]._stack_saved)  # type: ignore[attr-defined]
        for one in every:
            hub.loop.run_callback(one.switch)
        while not every[-1].dead:
            gevent.sleep(0)

    return [*measured(count, begin, end), kept[0]]


def users(count: int) -> list[float]:
    """Measure users as in a worker; the last value is the bytes of C stack kept for each."""
    board = Board(1, count + 1)
    registry.current.attach(board.area(0), inherit=False)
    worker, placement = WorkerId("node0", 0, 1), Placement(one_node(1))
    gate = Gate(worker, Outbox(lambda *_: None))
    spec = WorkerSpec(worker, placement, board, "", lambda _: user.wait_stopping(), "", 1, "")
    pool = UserPool(spec, lambda _: None, gate)
    ids = iter(range(1, count + 1))
    for number in range(1, count + 1):
        board.users[number] = UserState.STARTING

    def begin(some: int) -> None:
        mine = [next(ids) for _ in range(some)]
        pool._queued.update(dict.fromkeys(mine, False))
        pool._start(mine)

    kept: list[int] = []

    def end() -> None:
        one = pool.find(1)
        assert one is not None
        assert len(pool) == count
        kept.append(one._stack_saved)  # type: ignore[attr-defined]
        assert not pool.stop(60.0).killed

    return [*measured(count, begin, end), kept[0]]


def elsewhere(measure: Callable[[int], list[float]], count: int) -> list[float]:
    """Return the result of `measure` in a separate process."""
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        collector.collect_rarely()  # as in a worker
        os.write(writable, json.dumps(measure(count)).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        found = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"{measure.__name__} did not finish")
    return list(map(float, json.loads(found)))


def main() -> int:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    for _ in range(options.rounds):
        for name, measure in (("bare", bare), ("user", users)):
            size, start_us, end_us, kept = elsewhere(measure, options.count)
            print(
                f"  {name}: {size:,.0f} bytes, {kept:,.0f} of them C's stack;"
                f" {start_us:.2f} µs CPU to start, {end_us:.2f} to end"
            )
            outcome.figure(f"{name}, memory", size, "B")
            outcome.figure(f"{name}, C's stack", kept, "B")
            outcome.figure(f"{name}, CPU to start", start_us, "µs")
            outcome.figure(f"{name}, CPU to end", end_us, "µs")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
