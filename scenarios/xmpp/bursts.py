"""Users wait for each other and then all write at once: how does the server handle a burst?

amoc run scenarios/xmpp/bursts.py --users 200 --set together=200 --duration 30s

As soon as enough users have gathered, each is assigned another one to write to; a barrier then
releases all of them at the same moment. Each writes a burst of messages, and waits until it has
received as many. message_ttd is the time of each message; burst is the time from a user's first
message to the last one that it received; bursts counts them, once per user.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from time import monotonic

from amoc import coordinator, expect, metrics, receive, send, setting, user, xmpp

together = setting(200, "Number of users that write at once", verify=lambda n: n >= 1)
messages = setting(10, "Number of messages that each writes", verify=lambda n: n >= 1)
pause = setting(2.0, "Seconds between two bursts", verify=lambda s: s >= 0)

expect("message_ttd.p99 < 5s")


def init():
    coordinator.start("bursts", (together.get(), draw), timeout=10)


def draw(event, users):
    # Each user writes to the next one, the last to the first. If there are too few, they try again.
    ids = [user_id for user_id, _ in users]
    for user_id, target in zip(ids, ids[1:] + ids[:1], strict=True):
        send(user_id, target if event.kind == "coordinate" else None)


def start(user_id):
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        arrived = metrics.counter("bursts")
        received = []
        client.on_received(xmpp.is_chat, received.append)
        while not user.stopping:
            coordinator.add("bursts")
            target = receive(timeout=600)
            if target is None:
                continue
            received.clear()
            coordinator.barrier("burst", together.get(), timeout=60)
            begin = monotonic()
            for _ in range(messages.get()):
                client.send_chat(target, "Now!")
            client.wait_until(lambda: len(received) >= messages.get(), timeout=60)
            metrics.timer("burst").record(monotonic() - begin)
            arrived.inc()
            user.wait_stopping(pause.get())
