"""What a wake-up costs, a thousand times a second: with the kernel alone, gevent, or a throttle.

A throttle whose slots are a millisecond apart wakes a worker for each of them, so its execution
costs at least a wake-up. CPU time of this process per wake-up:

- epoll: wait for a timerfd with `select.epoll`, and read it;
- gevent: a timer of a gevent loop switches to a greenlet, which switches back;
- precise: an `amoc.base.timerfd`, as used by throttles, does the same, and is set again.

    python -m benchmarks.wake_ups [--rate 1000] [--seconds 5] [--rounds 3]

Next to other work it costs more, because each wake-up finds its data in no cache.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import sys
import time
from collections.abc import Callable

from gevent import get_hub, getcurrent

from amoc.base.clock import S_NS, now_ns
from amoc.base.timerfd import PreciseTimer
from benchmarks import machine, outcome

SHORT = ["--seconds", "0.1", "--rounds", "1"]


def by_epoll(count: int, interval_ns: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
    every = (ctypes.c_long * 4)(*divmod(interval_ns, S_NS), *divmod(interval_ns, S_NS))
    libc.timerfd_settime(fd, 0, every, None)
    with select.epoll() as poll:
        poll.register(fd, select.EPOLLIN)
        for _ in range(count):
            poll.poll()
            os.read(fd, 8)
    os.close(fd)


def by_gevent(count: int, interval_ns: int) -> None:
    hub, me = get_hub(), getcurrent()
    timer = hub.loop.timer(interval_ns / S_NS, interval_ns / S_NS)
    timer.start(me.switch)
    for _ in range(count):
        hub.switch()
    timer.stop()
    timer.close()


def by_precise_timer(count: int, interval_ns: int) -> None:
    hub, me = get_hub(), getcurrent()
    due_ns = now_ns() + interval_ns

    def ring() -> None:
        nonlocal due_ns
        due_ns += interval_ns
        timer.set(due_ns)
        me.switch()

    timer = PreciseTimer(ring)
    timer.set(due_ns)
    for _ in range(count):
        hub.switch()
    timer.close()


def cost_us(wake: Callable[[int, int], None], rate: float, seconds: float) -> float:
    """Return the CPU time per wake-up."""
    count = max(1, round(rate * seconds))
    begun_ns = time.process_time_ns()
    wake(count, round(S_NS / rate))
    return (time.process_time_ns() - begun_ns) / count / 1e3


def main() -> int:
    """Print all kinds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=1000.0, help="wake-ups per second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine.describe())
    wakers = {"epoll": by_epoll, "gevent": by_gevent, "precise": by_precise_timer}
    for name, wake in wakers.items():
        took = [cost_us(wake, options.rate, options.seconds) for _ in range(options.rounds)]
        for one in took:
            outcome.figure(f"{name}, CPU for each wake-up", one, "µs")
        print(f"  {name:<10}" + ", ".join(f"{one:.1f}" for one in took) + " µs per wake-up")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
