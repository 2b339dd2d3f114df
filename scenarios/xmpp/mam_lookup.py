"""Users write to a neighbour now and then, and look up what they have written (XEP-0313).

amoc run scenarios/xmpp/mam_lookup.py --users 100 --duration 30s

Users 1 and 2 are neighbours, 3 and 4, and so on. Whether the other one is there makes no
difference to one's own archive. A look-up reads the last messages of the conversation, page by
page: archive_page is the time of each, lookup that of all. archived_messages counts what they
brought; it is no part of messages_received.

Without xmpp_servers amoc starts a small XMPP server for it. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, metrics, setting, user, xmpp

lookups = setting(
    0.25, "The share of look-ups among all that users do", verify=lambda p: 0 <= p <= 1
)
interval = setting(2.0, "Mean seconds between what a user does", verify=lambda s: s > 0)
last = setting(50, "How many messages a look-up reads", verify=lambda n: n >= 1)
page_size = setting(20, "How many of them are on a page", verify=lambda n: n >= 1)

expect("archive_page.failures == 0")
expect("lookup.p99 < 5s")


def start(user_id):
    neighbour = user_id + 1 if user_id % 2 else user_id - 1
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
            if user.random.random() < lookups.get():
                look_up(client, neighbour)
            else:
                client.send_chat(neighbour, "How do you do?")


def look_up(client, neighbour):
    found = metrics.counter("archived_messages")
    with metrics.timer("lookup").time():
        # Pages are asked for one after the other, each when the loop comes to it.
        for page in client.archive(with_=neighbour, last=last.get(), page_size=page_size.get()):
            found.inc(len(page.messages))
