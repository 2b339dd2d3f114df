"""Strangers are paired, and take turns chatting at a rate that all users share.

amoc run scenarios/paired_chat.py --users 100 --duration 30s

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

import contextlib

from amoc import coordinator, receive, send, setting, throttle, user, xmpp

rate = setting(
    3000,
    "Messages per minute over all users",
    verify=lambda n: n >= 0,
    update=lambda _, new: throttle.change_rate("messages", new),
)
length = setting(
    5, "How many messages each user of a pair writes before they part", verify=lambda n: n >= 1
)


def init():
    throttle.start("messages", rate=rate.get(), interval=60)
    # As soon as two users have been added, they are introduced to each other, whichever workers
    # they are in. A user without a partner after 5 s is told so.
    coordinator.start("pairs", (2, introduce), timeout=5)


def introduce(event, a, b):
    # This runs in a worker, once per pair; a and b are (user id, the value added with it).
    if b is not None:
        send(a[0], ("meet", b[1], True))
        send(b[0], ("meet", a[1], False))
    elif a is not None:
        send(a[0], ("meet", None, False))


def start(user_id):
    with xmpp.connect(user_id) as client:
        client.send_presence()
        while not user.stopping:
            coordinator.add("pairs", client.jid)
            _, peer, begins = receive(match=lambda mail: mail[0] == "meet", timeout=60)
            if peer is not None:
                chat(client, peer, begins)


def chat(client, peer, my_turn):
    """Take turns writing, until enough was written or one of the two is asked to stop."""
    from_peer = xmpp.is_chat & xmpp.from_jid(peer)
    heard_goodbye = False
    try:
        for _ in range(2 * length.get()):
            if my_turn:
                throttle.wait("messages")
                client.send_chat(peer, "How do you do?")
            elif client.receive(from_peer, timeout=60).body == "Goodbye":
                heard_goodbye = True
                break
            my_turn = not my_turn
    finally:
        # A user that is asked to stop while it waits, for its turn or for its peer, gets an
        # exception there. That happens only once, so it may wait again here, for its peer's
        # goodbye: then nobody writes to a user that has left.
        client.send_chat(peer, "Goodbye")
        with contextlib.suppress(TimeoutError):
            while not heard_goodbye:
                heard_goodbye = client.receive(from_peer, timeout=2).body == "Goodbye"
