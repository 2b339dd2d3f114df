"""Users write to a neighbour from time to time, and look up what they have written (XEP-0313).

amoc run scenarios/xmpp/mam_lookup.py --users 100 --duration 30s

Users 1 and 2 are neighbours, 3 and 4, and so on. A user's own archive does not depend on whether
its neighbour is online. A look-up reads the last messages of the conversation page by page:
archive_page is the time of each page, lookup that of the whole look-up. archived_messages counts
the messages found; they are not part of messages_received.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, metrics, setting, user, xmpp

lookups = setting(0.25, "Share of look-ups among a user's actions", verify=lambda p: 0 <= p <= 1)
interval = setting(2.0, "Mean seconds between two actions of a user", verify=lambda s: s > 0)
last = setting(50, "Number of messages that a look-up reads", verify=lambda n: n >= 1)
page_size = setting(20, "Number of messages per page", verify=lambda n: n >= 1)

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
        # Each page is requested when the loop gets to it.
        for page in client.archive(with_=neighbour, last=last.get(), page_size=page_size.get()):
            found.inc(len(page.messages))
