"""Scenario of benchmarks/coordinator.py: users add themselves, or meet at a barrier."""

import gevent
from common_start import common_begin_ns

from amoc import coordinator, metrics, setting, sleep
from amoc.base.clock import S_NS, now_ns

seconds = setting(5.0, "How long to add")
rate = setting(50_000, "Adds per second, over all users; 0 for barriers", verify=lambda n: n >= 0)
crowd = setting(100, "Number of users", verify=lambda n: n > 0)
batch = setting(10, "Adds that a user makes in a row", verify=lambda n: n > 0)
size = setting(2, "Users in a group", verify=lambda n: n > 0)
rounds = setting(3, "How often users meet at the barrier", verify=lambda n: n > 0)


def init():
    coordinator.start("groups", (size.get(), act), timeout=5)


def act(event, users):
    metrics.counter("acted").inc(event.count)
    metrics.gauge("last_action_s", merge="max").set(now_ns() / S_NS)


def start(user_id):
    if rate.get():
        add(user_id, common_begin_ns(user_id, crowd.get()))
    else:
        meet()


def add(user_id, begin_ns):
    late = metrics.timer("adding_lateness")
    period_ns = int(batch.get() * crowd.get() / rate.get() * S_NS)
    due_ns = begin_ns + period_ns * user_id // crowd.get()  # not all at once
    end_ns = begin_ns + int(seconds.get() * S_NS)
    several = range(batch.get())
    while due_ns < end_ns:
        wait_ns = due_ns - now_ns()
        if wait_ns > 0:
            sleep(wait_ns / S_NS)
        late.record_ns(now_ns() - due_ns)
        for _ in several:
            coordinator.add("groups", "user@localhost")
        due_ns += period_ns
    gevent.sleep(2)  # until the last actions have run


def meet():
    for number in range(rounds.get()):
        first = metrics.gauge(f"first_{number}_s", merge="min")
        last = metrics.gauge(f"last_{number}_s", merge="max")
        coordinator.barrier("all", crowd.get(), timeout=120)
        now_s = now_ns() / S_NS
        if number not in _begun:
            _begun.add(number)
            first.set(now_s)
        last.set(now_s)
        sleep(1)


_begun: set[int] = set()
