"""Users chat with their neighbours, those with the next numbers; every message sent arrives.

amoc run scenarios/xmpp/one_to_one.py --users 200 --duration 30s

Without xmpp_servers amoc starts a small XMPP server for it. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, setting, user, xmpp

neighbours = setting(4, "How many users to each side are written to", verify=lambda n: n >= 1)
interval = setting(0.5, "Seconds between two messages of a user", verify=lambda s: s > 0)

expect("messages_lost == 0")
expect("crashes == 0")


def start(user_id):
    # The client measures by itself: connections, messages_sent, messages_received, and the time
    # from one user to another, message_ttd. Nobody reads what comes, so nothing is kept.
    with xmpp.connect(user_id, inbox_size=0) as client:
        client.send_presence()
        # Users start one by one, and leave when the run ends. Neighbours let each other know when
        # they are there, so that nobody writes to a user that could not get the message.
        near = range(user_id - neighbours.get(), user_id + neighbours.get() + 1)
        others = xmpp.Neighbours(client, [one for one in near if one > 0 and one != user_id])
        # Every user draws random numbers of its own, so they do not march in step. wait_stopping()
        # sleeps, and says whether it is time to go.
        while not user.wait_stopping(interval.get() * user.random.uniform(0.5, 1.5)):
            if others:
                client.send_chat(user.random.choice(list(others)), "How do you do?")
        # Say goodbye, and stay until the last message that is on its way here has come.
        others.part()
