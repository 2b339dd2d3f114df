"""Users chat with a neighbour, lose their connections from time to time, and reconnect (XEP-0198).

amoc run scenarios/xmpp/reconnect.py --users 100 --duration 60s

Users 1 and 2 are neighbours, 3 and 4, and so on. A user that lost its connection reconnects after a
pause and resumes its session: each side resends what the other does not have. outage is the time
from the loss to the next session, sessions_resumed counts resumed sessions; messages_lost and
messages_duplicated show whether the server kept its promise. With resume=false each loss ends the
session: messages sent meanwhile arrive as offline messages, late, or are lost.

loss=silent: the server gets nothing at all, as from a phone in a tunnel; loss=reset: it gets a RST.
--set xmpp_reconnect_pause=5 is the mean pause before a user reconnects.

Without xmpp_servers, amoc starts a small XMPP server. To load yours, with accounts user_1 /
password_1 and so on: --set xmpp_servers=127.0.0.1:5222 --set xmpp_domain=localhost
"""

from amoc import expect, setting, user, xmpp

interval = setting(2.0, "Mean seconds between two messages of a user", verify=lambda s: s > 0)
lasts = setting(20.0, "Mean seconds that a connection lasts", verify=lambda s: s > 0)
loss = setting("silent", "How connections are lost", verify=["silent", "reset"], type=str)
resume = setting(True, "Whether sessions are resumed")

expect("outage.p99 < 30s")


def start(user_id):
    neighbour = user_id + 1 if user_id % 2 else user_id - 1
    # The block below ends when the connection is lost, and the loop continues with the next one.
    for client in xmpp.staying_connected(user_id, resumable=resume.get(), inbox_size=0):
        with client:
            if not client.resumed:  # a new session, which contacts do not know of yet
                client.send_presence()
            chat(client, neighbour)


def chat(client, neighbour):
    left = user.random.expovariate(1 / lasts.get())  # seconds until the connection is lost
    while True:
        pause = interval.get() * user.random.uniform(0.5, 1.5)
        if user.wait_stopping(min(pause, left)):
            return
        if pause >= left:
            client.cut(reset=loss.get() == "reset")
            return
        left -= pause
        client.send_chat(neighbour, "Are you there?")
