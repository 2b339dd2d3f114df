"""Users become each other's contacts, update their presence, and part again (RFC 6121).

amoc run scenarios/xmpp/presence.py --users 100 --duration 30s

Strangers are paired. befriend is the time until both are subscribed to the other's presence, roster
the time to fetch the contacts. Then each changes its presence at random intervals; state_seen is
the time until the other one has received it. At the end, both remove the other from their contacts.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

import contextlib
from time import monotonic

from amoc import coordinator, expect, metrics, receive, send, setting, user, xmpp

interval = setting(5.0, "Mean seconds between two changes of a user", verify=lambda s: s > 0)
changes = setting(5, "Number of changes before a user parts", verify=lambda n: n >= 1)

expect("befriend.failures == 0")


def init():
    coordinator.start("pairs", (2, introduce), timeout=5)


def introduce(event, a, b):
    # A user that is still alone after 5 s gets None, and adds itself again.
    if b is not None:
        send(b[0], a[0])
    if a is not None:
        send(a[0], b and b[0])


def start(user_id):
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        while not user.stopping:
            coordinator.add("pairs")
            contact = receive(timeout=60)
            if contact is not None:
                be_friends(client, contact)


def be_friends(client, contact):
    client.befriend(contact)
    with metrics.timer("roster").time():
        client.roster()
    forget = client.on_received(xmpp.is_available & xmpp.from_jid(contact), seen)
    with contextlib.suppress(xmpp.IqError):  # the other user may have parted first
        for _ in range(changes.get()):
            if user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
                break
            client.send_presence(show=user.random.choice(["away", "dnd", "chat"]), status=clock())
        client.remove_from_roster(contact)
    forget()


def clock():
    return f"{monotonic():.6f}"  # the same clock for all workers of a host


def seen(presence):
    status = presence.xml.findtext("{jabber:client}status")
    if status:
        metrics.timer("state_seen").record(max(0.0, monotonic() - float(status)))
