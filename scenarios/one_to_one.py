"""Users chat with their neighbours, those with the next numbers; every message that was sent arrives.

amoc run scenarios/one_to_one.py --users 200 --duration 30s

Without further ado amoc starts a small XMPP server for it. To load your own, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import setting, user, xmpp

neighbours = setting(4, "How many users to each side a user writes to", verify=lambda n: n >= 1)
interval = setting(0.5, "Seconds between two messages of a user, on average", verify=lambda s: s > 0)


def start(user_id):
    # The client measures by itself: connections, messages sent and received, and the time that each
    # message took from here to the other user (messages_sent, messages_received, message_ttd, …).
    with xmpp.connect(user_id) as client:
        client.send_presence()
        # Users start one by one and leave when the run ends. Neighbours tell each other when they are
        # there, so that nobody writes to a user that could not get the message.
        near = range(user_id - neighbours.get(), user_id + neighbours.get() + 1)
        others = xmpp.Neighbours(client, [one for one in near if one > 0 and one != user_id])
        # Each user has random numbers of its own, so nobody marches in step. wait_leaving() sleeps, and
        # says at once when the user should come to its end.
        while not user.wait_leaving(interval.get() * user.random.uniform(0.5, 1.5)):
            if others:
                client.send_chat(user.random.choice(list(others)), "How do you do?")
        # Say goodbye, and stay until the last message on its way to us has come.
        others.part()
