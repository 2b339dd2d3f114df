"""Users chat with their neighbours, the users with adjacent numbers; every message arrives.

amoc run scenarios/xmpp/one_to_one.py --users 200 --duration 30s

Each user writes to one of its neighbours, chosen at random, every interval seconds on average,
until the run ends. connection is the time that a login takes, message_ttd the time of a message
from one user to another. messages_received equals messages_sent; messages_lost counts those that
are missing, and must be 0.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, setting, user, xmpp

neighbours = setting(4, "Number of neighbours on each side", verify=lambda n: n >= 1)
interval = setting(0.5, "Seconds between two messages of a user", verify=lambda s: s > 0)

expect("messages_lost == 0")
expect("crashes == 0")


def start(user_id):
    # The client measures automatically: connections, messages_sent, messages_received, and the time
    # from one user to another, message_ttd. Messages are not read here, so none are kept.
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        # Users start one by one, and leave when the run ends. Neighbours tell each other when they
        # are ready, so that nobody writes to a user that could not receive the message.
        near = range(user_id - neighbours.get(), user_id + neighbours.get() + 1)
        others = xmpp.Neighbours(client, [one for one in near if one > 0 and one != user_id])
        # Every user has its own random numbers, so they do not act in lockstep. wait_stopping()
        # sleeps, and returns whether it is time to stop.
        while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
            if others:
                client.send_chat(user.random.choice(list(others)), "How do you do?")
        # Say goodbye, and stay until the last message on its way to this user has arrived.
        others.part()
