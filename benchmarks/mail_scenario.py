"""Scenario of benchmarks/mail.py: half the users write to the other half, in the other worker.

Of four consecutive users the first and the last write, to the second and the third. With two
workers, users 1 and 3 are in one, 2 and 4 in the other, so every message crosses; a setting keeps
messages within workers instead.
"""

from common_start import common_begin_ns

from amoc import config, metrics, receive, send, setting, sleep
from amoc.base.clock import S_NS, now_ns

rate = setting(50_000, "Messages per second, over all users", verify=lambda n: n > 0)
senders = setting(100, "Number of users that write", verify=lambda n: n > 0)
batch = setting(10, "Messages that a user writes in a row", verify=lambda n: n > 0)
seconds = setting(5.0, "How long to write")
far = setting(True, "Whether every message goes to the other worker")


def start(user_id):
    begin_ns = common_begin_ns(user_id, 2 * senders.get())
    place = (user_id - 1) % 4
    if place in (0, 3):
        near = {0: 2, 3: -2}
        across = {0: 1, 3: -1}
        write(user_id + (across if far.get() else near)[place], begin_ns, user_id)
    else:
        read(begin_ns)


def write(peer, begin_ns, user_id):
    late = metrics.timer("sending_lateness")
    period_ns = int(batch.get() * senders.get() / rate.get() * S_NS)
    due_ns = begin_ns + period_ns * user_id // (2 * senders.get())  # not all at once
    several = range(batch.get())
    end_ns = begin_ns + int(seconds.get() * S_NS)
    while due_ns < end_ns:
        wait_ns = due_ns - now_ns()
        if wait_ns > 0:
            sleep(wait_ns / S_NS)
        late.record_ns(now_ns() - due_ns)
        for _ in several:
            send(peer, now_ns())
        due_ns += period_ns
    send(peer, None)


def read(begin_ns):
    delivery = metrics.timer("delivery")
    while (sent_ns := receive(timeout=config.get("seconds") + 30)) is not None:
        delivery.record_ns(now_ns() - sent_ns)  # type: ignore[operator]  # write() sends numbers
    metrics.gauge("took_s", merge="max").set((now_ns() - begin_ns) / S_NS)
